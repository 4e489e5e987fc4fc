"""Which earlier nights' tuning jobs tonight's learns from.

Their trials tell where good hyperparameters lie, not how good they are: on other data the same ones score otherwise.
So the search compares a trial with those of its own night only (`pipelines.local.search`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.local import load_runs
from pipelines.local.files import read_json
from pipelines.parameters import MOST_WARM_START_PARENTS, STATIC
from pipelines.settings import Settings

STEP = "TuneHyperparameters"
# What a trial is, besides its hyperparameters: nights that differ in it are not of one search.
_ALIKE = ("Classes", "TileSize", "PretrainedWeightsUri", "TuningEpochs", *STATIC.values())


def warm_start_parents(home: Path, settings: Settings, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the tuning jobs to start warm from, the latest first; at most five, as SageMaker allows.

    They are those of earlier data: of the runs before the first one on this dataset, so that a repeated run has the
    same parents and finds its own result again.
    """
    parents = list[str]()
    for run in load_runs(home):
        if run.parameters.get("DatasetUri") == parameters["DatasetUri"]:
            break
        if run.pipeline == settings.name and all(run.parameters.get(n) == parameters[n] for n in _ALIKE):
            document = read_json(run.run_dir / "steps" / STEP / "result.json")
            if document and document["status"] == "Succeeded":
                # One that was reused bears the name of the job that it was.
                parents.append(document["properties"]["HyperParameterTuningJobName"])
    return tuple(dict.fromkeys(reversed(parents)))[:MOST_WARM_START_PARENTS]
