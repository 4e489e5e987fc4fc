"""The load of the people who review what is flagged, from the rates."""

from typing import Any

from steps.core.gate.limits import Fleet
from steps.core.gate.rates import Rate

PER_NEGATIVES = 100_000
_SECONDS_PER_HOUR = 3600


def false_alarms(fpr: Rate) -> dict[str, float]:
    """Return the false alarms per 100,000 negatives, with one-sided bounds."""
    return {"per_negatives": PER_NEGATIVES} | {name: rate * PER_NEGATIVES for name, rate in _interval(fpr).items()}


def people(fpr: Rate, tpr: Rate, fleet: Fleet) -> dict[str, Any]:
    """Return what reviewers have to do: false alarms, and hours a day on false and on true ones, with bounds."""
    screenshots = fleet.phones * fleet.screenshots_per_day
    negatives, positives = screenshots * (1 - fleet.positive_share), screenshots * fleet.positive_share
    hours = fleet.seconds_per_review / _SECONDS_PER_HOUR
    wasted = {name: rate * negatives * hours for name, rate in _interval(fpr).items()}
    useful = {name: rate * positives * hours for name, rate in _interval(tpr).items()}
    return {
        "fleet": {
            "phones": fleet.phones,
            "screenshots_per_day": fleet.screenshots_per_day,
            "positive_share": fleet.positive_share,
            "seconds_per_review": fleet.seconds_per_review,
        },
        "false_alarms": false_alarms(fpr),
        "screenshots_per_day": screenshots,
        "negatives_per_day": negatives,
        "false_alarms_per_day": {name: rate * negatives for name, rate in _interval(fpr).items()},
        "reviewer_hours_per_day": {name: wasted[name] + useful[name] for name in wasted},
        "wasted_hours_per_day": wasted,
        "useful_hours_per_day": useful,
    }


def _interval(rate: Rate) -> dict[str, float]:
    return {"value": rate.value, "lower": rate.lower, "upper": rate.upper}
