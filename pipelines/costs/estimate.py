"""Jobs times durations times prices: a night's cost, and a month's."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.costs.durations import Duration
from pipelines.costs.jobs import JobKind
from pipelines.costs.monthly import HOURS_A_MONTH, Assumptions, functions_of_a_night, monthly_items, quiet_night
from pipelines.costs.prices import Prices

NIGHTS_A_MONTH = 30
# Labels come on working days: an assumption too.
NIGHTS_WITH_DATA = 22


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a step costs in a night with new data.

    `machine_hours` are those of all its machines in all its jobs, start-ups among them. `worst_usd` is the price on
    demand of jobs that are each stopped at their limit; a retry after a fault of AWS comes on top of it.
    """

    job: JobKind
    duration: Duration
    machine_hours: float
    elapsed_hours: float
    usd: float
    worst_usd: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """USD. `functions_usd` belong to a night with new data; `quiet_night_usd` is all of one without."""

    steps: tuple[StepCost, ...]
    functions_usd: float
    quiet_night_usd: float
    nights_with_data: int
    monthly: Mapping[str, float]
    assumptions: Assumptions

    @property
    def night_usd(self) -> float:
        return sum(step.usd for step in self.steps) + self.functions_usd

    @property
    def worst_night_usd(self) -> float:
        return sum(step.worst_usd for step in self.steps) + self.functions_usd

    @property
    def night_hours(self) -> float:
        """Return how long a night takes, its steps one after the other."""
        return sum(step.elapsed_hours for step in self.steps)

    @property
    def quiet_nights(self) -> int:
        return NIGHTS_A_MONTH - self.nights_with_data

    @property
    def month_usd(self) -> float:
        return self._month(self.night_usd)

    @property
    def worst_month_usd(self) -> float:
        return self._month(self.worst_night_usd)

    def _month(self, night: float) -> float:
        nights = self.nights_with_data * night + self.quiet_nights * self.quiet_night_usd
        return nights + sum(self.monthly.values())

    @property
    def spot_share(self) -> float:
        """Return which part of a night's money is paid for jobs on spot instances, 0 to 1."""
        spot = sum(step.usd for step in self.steps if step.job.spot)
        return spot / self.night_usd if self.night_usd else 0.0

    def as_json(self) -> dict[str, Any]:
        computed = (
            "night_usd",
            "worst_night_usd",
            "night_hours",
            "quiet_nights",
            "month_usd",
            "worst_month_usd",
            "spot_share",
        )
        return asdict(self) | {name: getattr(self, name) for name in computed}


def estimate(
    kinds: Sequence[JobKind],
    taking: Mapping[str, Duration],
    prices: Prices,
    assumptions: Assumptions,
    *,
    nights_with_data: int = NIGHTS_WITH_DATA,
    mlflow_server: bool = False,
) -> Estimate:
    """Price a night and a month of `nights_with_data` such nights, of 30.

    `taking` holds each step's duration. Raises UserError for an instance type without a price.
    """
    return Estimate(
        steps=tuple(_priced(kind, taking[kind.step], prices, assumptions) for kind in kinds),
        functions_usd=functions_of_a_night(prices, assumptions),
        quiet_night_usd=quiet_night(prices, assumptions),
        nights_with_data=nights_with_data,
        monthly=monthly_items(prices, assumptions, mlflow_server=mlflow_server),
        assumptions=assumptions,
    )


def _priced(kind: JobKind, duration: Duration, prices: Prices, assumptions: Assumptions) -> StepCost:
    on_demand = prices.instance_hour(kind.instance_type)
    machine = on_demand * prices.item("spot") if kind.spot else on_demand
    volume = kind.volume_gb * prices.item("job_volume") / HOURS_A_MONTH
    job = (duration.minutes + assumptions.startup_minutes) / 60
    longest = (kind.max_minutes + assumptions.startup_minutes) / 60
    machines = kind.instances * kind.jobs
    return StepCost(
        job=kind,
        duration=duration,
        machine_hours=job * machines,
        elapsed_hours=job * math.ceil(kind.jobs / kind.parallel),
        usd=job * machines * (machine + volume),
        worst_usd=longest * machines * (on_demand + volume),
    )
