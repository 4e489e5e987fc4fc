"""The pipeline's parameters: one table for the definition, the command line and the documentation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.settings import Settings


@dataclass(frozen=True, slots=True)
class Parameter:
    """A typed parameter of the pipeline; without a default it must be given at every start."""

    name: str
    kind: type[str] | type[int] | type[float]
    default: Any
    help: str
    choices: tuple[str, ...] = ()


def pipeline_parameters(settings: Settings) -> tuple[Parameter, ...]:
    backbones = ("small", "large", "small-minimalistic", "large-minimalistic")
    return (
        Parameter("DatasetUri", str, None, "dataset snapshot, named by its content digest"),
        Parameter("PretrainedWeightsUri", str, settings.uri("weights", "random"), "folder of backbone weights"),
        Parameter("Classes", str, "negative,positive", "names of the negative and the positive class"),
        Parameter("LabelAttribute", str, "auto", "the manifest's label attribute, where it has several"),
        Parameter("TileSize", int, 224, "side of the model's input in pixels"),
        Parameter("Backbone", str, "small", "MobileNetV3 variant", backbones),
        Parameter("BatchSize", int, 32, "tiles in a training step"),
        Parameter("HeadEpochs", int, 30, "epochs of phase 1, the head on a frozen backbone; 0 skips it"),
        Parameter("FineTuneEpochs", int, 10, "most epochs of phase 2 in TrainModel"),
        Parameter("TuningEpochs", int, 5, "most epochs of phase 2 in a trial"),
        Parameter("FineTuneLayer", int, 0, "first layer that phase 2 trains"),
        Parameter("LearningRateMin", float, 1e-5, "lower end of the tuned fine-tuning learning rate"),
        Parameter("LearningRateMax", float, 1e-3, "upper end of the tuned fine-tuning learning rate"),
        Parameter("NegativeWeight", float, 1.0, "weight of a negative tile in the loss"),
        Parameter("PositiveWeight", float, 1.0, "weight of a positive tile in the loss"),
        Parameter("ObjectiveFpr", float, 0.05, "FPR at which tuning and early stopping read the TPR"),
        Parameter("MaxTuningJobs", int, 8, "trials"),
        Parameter("MaxParallelTuningJobs", int, 2, "trials at a time"),
        Parameter("MaxFpr", float, 0.01, "limit of the false-positive rate's upper bound, per screenshot"),
        Parameter("MinTpr", float, 0.3, "floor of the true-positive rate's lower bound"),
        Parameter("Quantization", str, "float16", "form of the TFLite model", ("float32", "float16", "dynamic")),
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
