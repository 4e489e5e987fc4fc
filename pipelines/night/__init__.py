"""The night: once a day, or whenever somebody asks, decide whether there is something to decide, and start it once."""

from pipelines.night.decide import Nothing, Rules, Start, Status, Why, decide
from pipelines.night.executions import Executions, Outcome
from pipelines.night.holding import Data, Held, Site, hold_night
from pipelines.night.lease import NightBusyError

__all__ = [
    "Data",
    "Executions",
    "Held",
    "NightBusyError",
    "Nothing",
    "Outcome",
    "Rules",
    "Site",
    "Start",
    "Status",
    "Why",
    "decide",
    "hold_night",
]
