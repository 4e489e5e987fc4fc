"""What is paid beside the jobs: functions by the call, and what an environment keeps by the month."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from pipelines.costs.prices import Prices
from steps.core.common.errors import UserError

# What an environment with a schedule holds: a test of the infrastructure holds these against the templates.
KMS_KEYS, ALARMS = 4, 11
# Decisions, Rejections and RefusedReleases.
CUSTOM_METRICS = 3
# MiB of the functions: every night calls the starter, one with new data may end in a call of the others.
FUNCTIONS: Mapping[str, int] = {"starter": 3008, "publisher": 1769, "recorder": 1769}
_STARTER = "starter"
HOURS_A_MONTH = 730


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Amounts that nobody has measured, each to be given for an estimate of one's own.

    A job is paid for `startup_minutes` before its program runs (the image, the data); a function runs for
    `function_seconds`; `s3_gb`, `image_gb` and `log_gb` are what lies in the buckets and the registry of images, and
    what is logged in a month. Raises UserError for what is no amount.
    """

    startup_minutes: float = 5
    function_seconds: float = 60
    s3_gb: float = 50
    image_gb: float = 10
    log_gb: float = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            amount = getattr(self, field.name)
            if not (math.isfinite(amount) and amount >= 0):
                raise UserError(f"{field.name} {amount}: an amount of 0 or more is wanted")


def quiet_night(prices: Prices, assumptions: Assumptions) -> float:
    """Return USD of a night that finds nothing new: a call of the starter."""
    return _call(_STARTER, prices, assumptions)


def functions_of_a_night(prices: Prices, assumptions: Assumptions) -> float:
    """Return USD of all functions' calls around an execution, if its model is released."""
    return sum(_call(name, prices, assumptions) for name in FUNCTIONS)


def _call(name: str, prices: Prices, assumptions: Assumptions) -> float:
    gb_seconds = FUNCTIONS[name] / 1024 * assumptions.function_seconds
    return gb_seconds * prices.item("lambda_compute") + prices.item("lambda_request")


def monthly_items(prices: Prices, assumptions: Assumptions, *, mlflow_server: bool = False) -> dict[str, float]:
    """Return USD by the month of what is there whether nights are held or not."""
    mlflow = prices.item("mlflow_server") * HOURS_A_MONTH if mlflow_server else prices.item("mlflow_app")
    return {
        f"{KMS_KEYS} KMS keys": KMS_KEYS * prices.item("kms_key"),
        f"{ALARMS} alarms": ALARMS * prices.item("alarm"),
        f"{CUSTOM_METRICS} metrics": CUSTOM_METRICS * prices.item("custom_metric"),
        f"{assumptions.log_gb:g} GB of logs": assumptions.log_gb * prices.item("log_ingestion"),
        f"{assumptions.s3_gb:g} GB in S3": assumptions.s3_gb * prices.item("s3_storage"),
        f"{assumptions.image_gb:g} GB of images": assumptions.image_gb * prices.item("ecr_storage"),
        f"MLflow, {'a server' if mlflow_server else 'the app'}": mlflow,
    }
