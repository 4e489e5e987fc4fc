"""The pipeline's parameters: one table for the definition, the command line and the documentation."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.definition.settings import CHAMPIONS, LEDGERS, NONE, Settings
from steps.core.common.choices import ALL_THERE_IS, BACKBONES, HALF_OF_LIMIT, NO, VARIANTS, YES, wanted_variants
from steps.core.common.errors import UserError
from steps.core.dataset.classes import AUTO
from steps.train import hyperparameters
from steps.train.hyperparameters import TUNED, Hyperparameters
from steps.validate.checks.stops import label_changes

# Parameters that move the bounds of a tuned hyperparameter, by its name.
BOUNDS = {"fine-tune-learning-rate": ("LearningRateMin", "LearningRateMax")}
# Hyperparameters that every training job gets from a pipeline parameter, by their names.
STATIC = {"backbone": "Backbone", "batch-size": "BatchSize", "fine-tune-epochs": "FineTuneEpochs"}
SEED = 17
# SageMaker starts warm from jobs with the same names of hyperparameters alone; with another seed trials are others.
SEARCH = f"{' '.join(sorted({*STATIC, *(tuned.name for tuned in TUNED)}))} seed={SEED}"
MOST_WARM_START_PARENTS = 5
_WARM_START_PARENT = "WarmStartParent"
# The gate's own names, spelled again because importing the gate costs half a second of every command.
CHAMPION_RULES = ("non-inferior", "not-proven-worse")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A typed parameter of the pipeline; without a default it must be given at every start."""

    name: str
    kind: type[str] | type[int] | type[float]
    default: Any
    help: str
    choices: tuple[str, ...] = ()


def pipeline_parameters(settings: Settings) -> tuple[Parameter, ...]:
    weights, champion, ledger = (
        settings.artifact_uri(*folder) for folder in (("weights", settings.weights), (CHAMPIONS, NONE), (LEDGERS, NONE))
    )
    defaults = Hyperparameters()
    rate = next(tuned for tuned in TUNED if tuned.name in BOUNDS)
    return (
        Parameter("DatasetUri", str, None, "dataset snapshot, named by its content digest"),
        Parameter("PlanUri", str, None, "plan of the run: what is new in the snapshot, and what to compare it with"),
        Parameter("CheckpointsUri", str, None, "folder of the checkpoints of trainings on this plan"),
        Parameter("PretrainedWeightsUri", str, weights, "folder of backbone weights"),
        Parameter("ChampionUri", str, champion, "folder of the champion's bundle, if any"),
        Parameter("LedgerUri", str, ledger, "folder of the ledger of earlier looks at tests"),
        Parameter("Classes", str, AUTO, "names of the negative and the positive class; auto takes 0 and 1 as they are"),
        Parameter("LabelAttribute", str, AUTO, "the manifest's label attribute, where it has several"),
        Parameter("MaxLabelChanges", float, label_changes.limit, "largest share of labels that a night may change"),
        Parameter("TileSize", int, 224, "side of the model's input in pixels"),
        Parameter("Backbone", str, defaults.backbone, "MobileNetV3 variant", BACKBONES),
        Parameter("BatchSize", int, defaults.batch_size, "screenshots in a training step"),
        Parameter("FineTuneEpochs", int, defaults.fine_tune_epochs, "most epochs of fine-tuning"),
        Parameter("LearningRateMin", float, rate.low, "lower end of the tuned fine-tuning learning rate"),
        Parameter("LearningRateMax", float, rate.high, "upper end of the tuned fine-tuning learning rate"),
        Parameter("MaxTuningJobs", int, 4, "trials"),
        Parameter("MaxParallelTuningJobs", int, 2, "trials at a time"),
        Parameter(
            "Search", str, SEARCH, "what trials are made of; fixed, it tells nights of another search", (SEARCH,)
        ),
        *(
            Parameter(name, str, None, "earlier tuning job that this one learns from")
            for name in warm_start_names(settings.warm_start_parents)
        ),
        Parameter("MaxFpr", float, 0.01, "limit of the false-positive rate's upper bound, per screenshot"),
        Parameter("MinTpr", float, 0.3, "floor of the true-positive rate's lower bound"),
        Parameter("ChampionRule", str, CHAMPION_RULES[0], "how the candidate has to compare", CHAMPION_RULES),
        Parameter(
            "MaxFprIncrease",
            float,
            HALF_OF_LIMIT,
            f"most that the FPR may rise above the champion's; {HALF_OF_LIMIT:g} is half of MaxFpr",
        ),
        Parameter("MaxTprDecrease", float, 0.05, "most that the TPR may fall below the champion's"),
        Parameter(
            "TrainAnyway", str, NO, "train on data that cannot prove the limits even without an error", (NO, YES)
        ),
        Parameter("Phones", int, 300, "phones in use, to tell the reviewers' hours"),
        Parameter("ScreenshotsPerDay", float, 200.0, "screenshots of a phone a day, to tell the reviewers' hours"),
        Parameter("ReviewSeconds", float, 10.0, "seconds that a review takes, to tell the reviewers' hours"),
        Parameter("Variants", str, ALL_THERE_IS, f"forms of the TFLite model to judge: some of {', '.join(VARIANTS)}"),
        Parameter("MaxFlipped", float, 0.005, "share of decisions that may differ from the trained model's"),
        Parameter("ProcessingInstanceType", str, "ml.m5.xlarge", "of the processing jobs"),
        Parameter("ProcessingInstanceCount", int, 1, "instances that PreprocessTiles cuts on; the result is the same"),
        Parameter("TrainingInstanceType", str, "ml.m5.2xlarge", "of the training jobs"),
        Parameter("TrainingInstanceCount", int, 1, "instances that share each batch of a training job"),
    )


def key_of(name: str) -> str:
    """Return how programs, commands and configuration files call a parameter: `max-fpr`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def warm_start_names(parents: int) -> tuple[str, ...]:
    """Return the names of the parameters that name earlier tuning jobs, one for each."""
    return tuple(f"{_WARM_START_PARENT}{number}" for number in range(1, parents + 1))


def is_warm_start(name: str) -> bool:
    return name.startswith(_WARM_START_PARENT)


# For the embedded sample: small enough for a first run of minutes, with a limit that its size can prove.
SAMPLE_PARAMETERS: Mapping[str, str | int | float] = {
    "Classes": "other,promotion",
    "TileSize": 96,
    "FineTuneEpochs": 2,
    "MaxTuningJobs": 2,
    "MaxFpr": 0.15,
    "Variants": "float16,weight-int8",
}


def first_trials(values: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what a search tries before anything else, as far as the bounds in `values` allow."""
    return hyperparameters.first_trials({name: (values[low], values[high]) for name, (low, high) in BOUNDS.items()})


def check_parameters(values: Mapping[str, Any]) -> None:
    """Raise UserError for values that a step would refuse, before hours of work have led up to it.

    `values` holds every parameter; the rules are the steps' own.
    """
    from steps.core.dataset.classes import Classes
    from steps.core.gate.limits import Fleet, Limits
    from steps.core.tiles.spec import PreprocessingSpec

    Classes.parse(values["Classes"])
    PreprocessingSpec(tile_size=values["TileSize"])
    Limits(
        values["MaxFpr"],
        values["MinTpr"],
        max_fpr_increase=values["MaxFprIncrease"],
        max_tpr_decrease=values["MaxTprDecrease"],
        champion_rule=values["ChampionRule"],
    )
    Fleet(
        phones=values["Phones"],
        screenshots_per_day=values["ScreenshotsPerDay"],
        seconds_per_review=values["ReviewSeconds"],
    )
    wanted_variants(values["Variants"])
    for name in ("MaxLabelChanges", "MaxFlipped"):
        if not 0 <= values[name] <= 1:
            raise UserError(f"{name} {values[name]}: a share from 0 to 1 is wanted")
    Hyperparameters.parse({wire: str(values[name]) for wire, name in STATIC.items()})
    for wire, ends in BOUNDS.items():
        for name in ends:
            Hyperparameters.parse({wire: str(values[name])})
        low, high = ends
        if values[low] >= values[high]:
            raise UserError(f"{low} {values[low]} is not below {high} {values[high]}: tuning needs a range to search")
    for name in ("MaxTuningJobs", "MaxParallelTuningJobs", "ProcessingInstanceCount", "TrainingInstanceCount"):
        if values[name] < 1:
            raise UserError(f"{name} {values[name]}: a number of at least 1 is wanted")
