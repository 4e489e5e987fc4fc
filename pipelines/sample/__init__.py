"""The embedded sample: labelled phone screens drawn by code, for a first run and for the tests."""

from collections.abc import Mapping

from pipelines.sample.writer import SAMPLE_VERSION, write_sample

# Small enough for a first run of minutes from random weights; the limit is one that the sample's size can prove.
SAMPLE_PARAMETERS: Mapping[str, str | int | float] = {
    "Classes": "other,promotion",
    "TileSize": 96,
    "HeadEpochs": 2,
    "TuningEpochs": 3,
    "FineTuneEpochs": 8,
    "LearningRateMin": 1e-3,
    "LearningRateMax": 1e-2,
    "MaxTuningJobs": 2,
    "MaxFpr": 0.05,
}

__all__ = ["SAMPLE_PARAMETERS", "SAMPLE_VERSION", "write_sample"]
