"""Which earlier nights' tuning jobs tonight's learns from.

Their trials tell where good hyperparameters lie, not how good they are: on other data the same ones score otherwise.
So the search compares a trial with those of its own night only (`pipelines.executor.search`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.definition.parameters import MOST_WARM_START_PARENTS, STATIC
from pipelines.planning.earlier_runs import EarlierRun, before

# What a trial is: the names of its hyperparameters, the seed, and more. Nights that differ in it are of other searches.
_ALIKE = ("Search", "Classes", "TileSize", "PretrainedWeightsUri", *STATIC.values())


def warm_start_parents(earlier: Sequence[EarlierRun], pipeline: str, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the tuning jobs to start warm from, the latest first; at most five, as SageMaker allows.

    They are those of earlier data: of the runs before the first one on this dataset, so that a repeated run has the
    same parents and finds its own result again. `earlier` begins with the oldest; nights' records hold text.
    """
    alike = (
        run
        for run in before(earlier, parameters["DatasetUri"])
        if run.pipeline == pipeline and all(str(run.parameters.get(n)) == str(parameters[n]) for n in _ALIKE)
    )
    parents = [job for run in alike if (job := run.tuning_job())]
    return tuple(dict.fromkeys(reversed(parents)))[:MOST_WARM_START_PARENTS]
