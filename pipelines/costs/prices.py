"""The table of prices: a figure, its unit, its region, where it comes from, and whether anybody has checked it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steps.core.common.errors import UserError

PRICES = Path(__file__).with_name("prices.json")
INSTANCE_UNIT = "instance-hour"
# Every table has to have these, in the units that the estimate counts in.
UNITS: Mapping[str, str] = {
    "job_volume": "GB-month",
    "spot": "share of the price on demand",
    "kms_key": "key-month",
    "alarm": "alarm-month",
    "custom_metric": "metric-month",
    "s3_storage": "GB-month",
    "ecr_storage": "GB-month",
    "log_ingestion": "GB",
    "lambda_compute": "GB-second",
    "lambda_request": "request",
    "mlflow_app": "month",
    "mlflow_server": "hour",
}


@dataclass(frozen=True, slots=True)
class Price:
    """`usd` for one `unit`; for `spot` it is no money but a share."""

    usd: float
    unit: str
    region: str
    source: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of one region: `instances` by type, `items` by the names of `UNITS`; `path` is the file they are from."""

    path: Path
    instances: Mapping[str, Price]
    items: Mapping[str, Price]

    @classmethod
    def read(cls, path: Path = PRICES) -> "Prices":
        """Read a table; raises UserError that says what is wrong with which price of which file."""
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            instances = {
                str(name): _price(f"{path}: {name}", told, INSTANCE_UNIT) for name, told in table["instances"].items()
            }
            items = {name: _price(f"{path}: {name}", table["items"][name], unit) for name, unit in UNITS.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is no table of prices ({error!r}): {PRICES.name} of the package is one") from None
        regions = {price.region for price in (*instances.values(), *items.values())}
        if len(regions) > 1:
            raise UserError(f"{path} mixes prices of {', '.join(sorted(regions))}: those of one region are wanted")
        if items["spot"].usd > 1:
            raise UserError(f"{path}: spot {items['spot'].usd}: a share of the price on demand is wanted, at most 1")
        return cls(path, instances, items)

    def instance_hour(self, instance_type: str) -> float:
        """Return USD of an hour on demand; raises UserError for a type that the table does not have."""
        if instance_type not in self.instances:
            known = ", ".join(sorted(self.instances))
            raise UserError(
                f"no price is known for {instance_type}: {self.path} has {known}; add it to a table of your own"
            )
        return self.instances[instance_type].usd

    def item(self, name: str) -> float:
        return self.items[name].usd

    @property
    def region(self) -> str:
        return self.items["spot"].region

    @property
    def unverified(self) -> int:
        """Return how many of the prices nobody has checked."""
        return sum(not price.verified for price in (*self.instances.values(), *self.items.values()))


def _price(what: str, told: Any, unit: str) -> Price:
    found = Price(float(told["usd"]), str(told["unit"]), str(told["region"]), str(told["source"]), told["verified"])
    if found.unit != unit:
        raise UserError(f"{what} is by the {found.unit}: its price by the {unit} is wanted")
    if not (math.isfinite(found.usd) and found.usd >= 0):
        raise UserError(f"{what} is {found.usd}: a price of 0 or more is wanted")
    if not isinstance(found.verified, bool):
        raise UserError(f"{what}: verified is {found.verified!r}, true or false is wanted")
    return found
