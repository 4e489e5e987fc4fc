"""Parameters of a run that is about the workflow, not the model: one trial, one epoch, limits that it can prove."""

SCREENSHOTS = 300
QUICK = {
    "Classes": "other,promotion",
    "TileSize": 64,
    "FineTuneEpochs": 1,
    "MaxTuningJobs": 1,
    "MaxFpr": 0.95,
    "MinTpr": 0.0001,
    "MaxFlipped": 1.0,
    "ChampionRule": "not-proven-worse",
    "Variants": "float16",
}
