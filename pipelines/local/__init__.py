"""A local executor of SageMaker Pipelines definitions: every job is a subprocess under the `/opt/ml` contract.

Names are imported on first use, so that a command line that only lists runs does not load the executor.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.local.containers import ContainerEngine
    from pipelines.local.errors import DefinitionError, StepFailed
    from pipelines.local.events import (
        ConditionDecided,
        Event,
        ExecutionFinished,
        ExecutionStarted,
        Listener,
        StepFailedEvent,
        StepMetric,
        StepProgress,
        StepRetried,
        StepReused,
        StepSkipped,
        StepStarted,
        StepSucceeded,
        TrialFinished,
        TrialStarted,
    )
    from pipelines.local.executor import Executor
    from pipelines.local.images import Image, ImageResolver
    from pipelines.local.progress import ConsoleProgress
    from pipelines.local.registry import JsonRegistry, Register
    from pipelines.local.results import ExecutionResult, StepResult, StoredOutput
    from pipelines.local.runs import RunSummary, load_runs
    from pipelines.local.store import LocalStore

_HOMES = {
    "containers": ("ContainerEngine",),
    "errors": ("DefinitionError", "StepFailed"),
    "events": (
        "ConditionDecided",
        "Event",
        "ExecutionFinished",
        "ExecutionStarted",
        "Listener",
        "StepFailedEvent",
        "StepMetric",
        "StepProgress",
        "StepRetried",
        "StepReused",
        "StepSkipped",
        "StepStarted",
        "StepSucceeded",
        "TrialFinished",
        "TrialStarted",
    ),
    "executor": ("Executor",),
    "images": ("Image", "ImageResolver"),
    "progress": ("ConsoleProgress",),
    "registry": ("JsonRegistry", "Register"),
    "results": ("ExecutionResult", "StepResult", "StoredOutput"),
    "runs": ("RunSummary", "load_runs"),
    "store": ("LocalStore",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ConditionDecided",
    "ConsoleProgress",
    "ContainerEngine",
    "DefinitionError",
    "Event",
    "ExecutionFinished",
    "ExecutionResult",
    "ExecutionStarted",
    "Executor",
    "Image",
    "ImageResolver",
    "JsonRegistry",
    "Listener",
    "LocalStore",
    "Register",
    "RunSummary",
    "StepFailed",
    "StepFailedEvent",
    "StepMetric",
    "StepProgress",
    "StepResult",
    "StepRetried",
    "StepReused",
    "StepSkipped",
    "StepStarted",
    "StepSucceeded",
    "StoredOutput",
    "TrialFinished",
    "TrialStarted",
    "load_runs",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
