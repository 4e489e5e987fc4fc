"""The pipeline's parameters: one table for the definition, the command line and the documentation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.settings import Settings
from steps.core.choices import BACKBONES, QUANTIZATIONS
from steps.core.classes import AUTO
from steps.core.errors import UserError
from steps.core.hyperparameters import Hyperparameters
from steps.core.rules import RULES


@dataclass(frozen=True, slots=True)
class Parameter:
    """A typed parameter of the pipeline; without a default it must be given at every start."""

    name: str
    kind: type[str] | type[int] | type[float]
    default: Any
    help: str
    choices: tuple[str, ...] = ()


def pipeline_parameters(settings: Settings) -> tuple[Parameter, ...]:
    defaults = Hyperparameters()
    return (
        Parameter("DatasetUri", str, None, "dataset snapshot, named by its content digest"),
        Parameter("PlanUri", str, None, "plan of the run: what is new in the snapshot, and what to compare it with"),
        Parameter("PretrainedWeightsUri", str, settings.uri("weights", "random"), "folder of backbone weights"),
        Parameter("Classes", str, AUTO, "names of the negative and the positive class; auto takes 0 and 1 as they are"),
        Parameter("LabelAttribute", str, AUTO, "the manifest's label attribute, where it has several"),
        Parameter(
            "MaxLabelChanges", float, RULES["label-changes"].limit, "largest share of labels that a night may change"
        ),
        Parameter("TileSize", int, 224, "side of the model's input in pixels"),
        Parameter("Backbone", str, defaults.backbone, "MobileNetV3 variant", BACKBONES),
        Parameter("BatchSize", int, defaults.batch_size, "tiles in a training step"),
        Parameter(
            "HeadEpochs", int, defaults.head_epochs, "epochs of phase 1, the head on a frozen backbone; 0 skips it"
        ),
        Parameter("FineTuneEpochs", int, defaults.fine_tune_epochs, "most epochs of phase 2 in TrainModel"),
        Parameter("TuningEpochs", int, 5, "most epochs of phase 2 in a trial"),
        Parameter(
            "FineTuneLayer", int, defaults.fine_tune_layer, "first layer of the model that phase 2 trains, from 0"
        ),
        Parameter("LearningRateMin", float, 1e-5, "lower end of the tuned fine-tuning learning rate"),
        Parameter("LearningRateMax", float, 1e-3, "upper end of the tuned fine-tuning learning rate"),
        Parameter("NegativeWeight", float, defaults.negative_weight, "weight of a negative tile in the loss"),
        Parameter("PositiveWeight", float, defaults.positive_weight, "weight of a positive tile in the loss"),
        Parameter("ObjectiveFpr", float, defaults.objective_fpr, "FPR at which tuning and early stopping read the TPR"),
        Parameter("MaxTuningJobs", int, 8, "trials"),
        Parameter("MaxParallelTuningJobs", int, 2, "trials at a time"),
        Parameter("MaxFpr", float, 0.01, "limit of the false-positive rate's upper bound, per screenshot"),
        Parameter("MinTpr", float, 0.3, "floor of the true-positive rate's lower bound"),
        Parameter("Quantization", str, "float16", "form of the TFLite model", QUANTIZATIONS),
        Parameter("ProcessingInstanceType", str, "ml.m5.xlarge", "of the processing jobs"),
        Parameter("TrainingInstanceType", str, "ml.m5.2xlarge", "of the training jobs"),
    )


# For the embedded sample: small enough for a first run of minutes from random weights, with a limit that its size can
# prove.
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


def check_parameters(values: Mapping[str, Any]) -> None:
    """Raise UserError for values that a step would refuse, before hours of work have led up to it.

    `values` holds every parameter; the rules are the steps' own.
    """
    from steps.core.classes import Classes
    from steps.core.gate import Limits
    from steps.core.spec import PreprocessingSpec

    Classes.parse(values["Classes"])
    PreprocessingSpec(tile_size=values["TileSize"])
    Limits(values["MaxFpr"], values["MinTpr"])
    if not 0 <= values["MaxLabelChanges"] <= 1:
        raise UserError(f"MaxLabelChanges {values['MaxLabelChanges']}: a share from 0 to 1 is wanted")
    names = {
        "batch-size": "BatchSize",
        "head-epochs": "HeadEpochs",
        "fine-tune-epochs": "FineTuneEpochs",
        "fine-tune-layer": "FineTuneLayer",
        "negative-weight": "NegativeWeight",
        "positive-weight": "PositiveWeight",
        "objective-fpr": "ObjectiveFpr",
    }
    given = {wire: str(values[name]) for wire, name in names.items()}
    Hyperparameters.parse(given)
    Hyperparameters.parse({"fine-tune-epochs": str(values["TuningEpochs"])})
    for name in ("LearningRateMin", "LearningRateMax"):
        Hyperparameters.parse({"fine-tune-learning-rate": str(values[name])})
    if values["LearningRateMin"] >= values["LearningRateMax"]:
        raise UserError(
            f"LearningRateMin {values['LearningRateMin']} is not below LearningRateMax {values['LearningRateMax']}: "
            "tuning needs a range to search"
        )
    for name in ("MaxTuningJobs", "MaxParallelTuningJobs"):
        if values[name] < 1:
            raise UserError(f"{name} {values[name]}: a number of at least 1 is wanted")
