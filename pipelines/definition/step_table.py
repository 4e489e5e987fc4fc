"""The table of steps: the program, image, role, instances and usual duration of each step that runs jobs.

The DAG (`dag.py`) says what a step reads and writes; whoever else needs to know something of a step reads it here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from steps.core.common.program import EXIT_REJECTED

DATA, TRAINING, JUDGE = "data", "training", "judge"
# What the jobs of a role do: a role of its own in IAM, and in the settings.
ROLES: Mapping[str, str] = {
    DATA: "Jobs that read screenshots and labels, and make tiles",
    TRAINING: "Jobs that train: they do not see what models are judged on",
    JUDGE: "Jobs that judge models on data that training never saw",
}
# With TensorFlow, and without.
MODEL_IMAGE, DATA_IMAGE = "model", "data"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the DAG whose jobs run `python3 -m steps.<program>`.

    `instance_type` and `instance_count` are parameters of the pipeline; without the latter it is one instance.
    `usual_minutes` are those of one job, a trial's of the tuning, without its start-up: assumed for ten thousand
    screenshots and the default instances. `hidden` is what the step must not get: outputs, as `<step>/<output>`, and
    parameters.
    """

    name: str
    program: str
    image: str
    role: str
    instance_type: str
    usual_minutes: float
    instance_count: str = ""
    hidden: tuple[str, ...] = ()


_PROCESSING, _TRAINING = "ProcessingInstanceType", "TrainingInstanceType"
_HELD_OUT = (
    "ValidateData/screenshots",
    "ValidateData/report",
    "EvaluateModel/evaluation",
    "EvaluateModel/new-ledger",
    "ChampionUri",
    "LedgerUri",
)

VALIDATE = Step("ValidateData", "validate", MODEL_IMAGE, DATA, _PROCESSING, 15)
PREPROCESS = Step("PreprocessTiles", "preprocess", DATA_IMAGE, DATA, _PROCESSING, 15, "ProcessingInstanceCount")
INDEX = Step("IndexTiles", "index", MODEL_IMAGE, DATA, _PROCESSING, 10)
TUNE = Step(
    "TuneHyperparameters", "train", MODEL_IMAGE, TRAINING, _TRAINING, 40, "TrainingInstanceCount", hidden=_HELD_OUT
)
TRAIN = Step("TrainModel", "train", MODEL_IMAGE, TRAINING, _TRAINING, 90, "TrainingInstanceCount", hidden=_HELD_OUT)
EVALUATE = Step("EvaluateModel", "evaluate", MODEL_IMAGE, JUDGE, _PROCESSING, 15)
CONVERT = Step("ConvertToTFLite", "convert", MODEL_IMAGE, JUDGE, _PROCESSING, 45)
STEPS: tuple[Step, ...] = (VALIDATE, PREPROCESS, INDEX, TUNE, TRAIN, EVALUATE, CONVERT)

# Steps that run no job: the conditions, on the data and on the model, and what they lead to.
CHECK_DATA, REJECT_DATA = "CheckProvableLimit", "RejectData"
CHECK, REJECT, REGISTER = "CheckFalsePositiveRate", "RejectModel", "RegisterModel"
REJECTIONS = (REJECT_DATA, REJECT)
# How the program of ConvertToTFLite begins to say that the gate has rejected every variant.
REFUSAL = "No converted model may ship."
_REFUSED = re.compile(rf"exit code:? *{EXIT_REJECTED}\b|{re.escape(REFUSAL)}", re.IGNORECASE)


def is_rejected(failed_step: str | None, exit_code: int | None, reason: str = "") -> bool:
    """Tell whether the gate ended an execution that failed: by a step of its own, or by the exit code of a program.

    Of a program's end SageMaker tells words only: the `reason`.
    """
    refused = failed_step == CONVERT.name and _REFUSED.search(reason) is not None
    return failed_step in REJECTIONS or exit_code == EXIT_REJECTED or refused


def names(role: str) -> tuple[str, ...]:
    """Return the names of the steps whose jobs run under a role."""
    return tuple(step.name for step in STEPS if step.role == role)


def programs(*, role: str = "", image: str = "") -> tuple[str, ...]:
    """Return the programs of the steps, each once: all, those of a role, or those that run in an image."""
    found = (step.program for step in STEPS if role in ("", step.role) and image in ("", step.image))
    return tuple(dict.fromkeys(found))


def hidden_from(name: str) -> frozenset[str]:
    """Return what the step of that name must not get; nothing is hidden from one that the table does not have."""
    return frozenset(hidden for step in STEPS if step.name == name for hidden in step.hidden)


def images(role: str) -> tuple[str, ...]:
    """Return the images that the jobs of a role run in."""
    return tuple(sorted({step.image for step in STEPS if step.role == role}))
