"""What nights cost in AWS: jobs of the definition x durations x prices, and what is paid by the month besides.

It is an estimate, not a bill: durations are told, measured or assumed, and prices are those of a table that says of
each where it comes from and whether anybody has checked it.
"""

from pipelines.costs.durations import ASSUMED_MINUTES, Duration, durations, minutes_of_run
from pipelines.costs.estimate import Estimate, StepCost, estimate
from pipelines.costs.jobs import JobKind, job_kinds
from pipelines.costs.monthly import ALARMS, CUSTOM_METRICS, FUNCTIONS, KMS_KEYS, Assumptions
from pipelines.costs.prices import PRICES, Price, Prices

__all__ = [
    "ALARMS",
    "ASSUMED_MINUTES",
    "CUSTOM_METRICS",
    "FUNCTIONS",
    "KMS_KEYS",
    "PRICES",
    "Assumptions",
    "Duration",
    "Estimate",
    "JobKind",
    "Price",
    "Prices",
    "StepCost",
    "durations",
    "estimate",
    "job_kinds",
    "minutes_of_run",
]
