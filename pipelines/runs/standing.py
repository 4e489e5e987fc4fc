"""How an execution stands, for a person and for a program."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipelines.executor.events import duration
from pipelines.runs.executions import Execution, StepState

_WATCH_SECONDS = 15.0
_NAME_WIDTH, _STATUS_WIDTH, _TIME_WIDTH = 22, 10, 12


@dataclass(frozen=True, slots=True)
class Standing:
    """`status` is SageMaker's, or Rejected where the gate ended it; `verdict` an `evaluation.json`, if there is one.

    `left` says where people find what it left, by name: report, data page, bundle, model.
    """

    execution: Execution
    status: str
    steps: tuple[StepState, ...]
    verdict: Mapping[str, Any] | None = None
    left: Mapping[str, str] = field(default_factory=dict)


def follow(
    lookup: Callable[[str], Standing], found: Standing, *, tell: Callable[[str], None], sleep: Callable[[float], None]
) -> Standing:
    """Tell each step's changes until an execution has ended, and return how it stands then."""
    shown: dict[str, str] = {}
    while True:
        for step in found.steps:
            if shown.get(step.name) != step.status:
                shown[step.name] = step.status
                tell(step_line(step, datetime.now(UTC)))
        if not found.execution.goes_on:
            return found
        sleep(_WATCH_SECONDS if found.execution.arn.startswith("arn:") else 1)
        found = lookup(found.execution.arn)


def lines_of(found: Standing, now: datetime) -> Iterator[str]:
    """Yield it as a person reads it."""
    execution = found.execution
    took = duration(((execution.ended or now) - execution.started).total_seconds())
    yield f"{execution.id}  {execution.name}".rstrip()
    yield f"{found.status}, {'for' if execution.goes_on else 'after'} {took}, from {execution.started:%Y-%m-%d %H:%M}"
    yield from execution.note.splitlines()
    for step in found.steps:
        yield "  " + step_line(step, now)
    if execution.reason and not any(step.reason for step in found.steps):
        yield f"Reason: {execution.reason}"
    if found.verdict:
        for label, text in figures(found.verdict):
            yield f"{label}: {text}"
    for name, text in found.left.items():
        yield f"{name.capitalize()}: {text}"


def step_line(step: StepState, now: datetime) -> str:
    seconds = step.took(now)
    took = f"as in {step.source}" if step.source else "" if seconds is None else duration(seconds)
    notes = "; ".join(filter(None, (step.note, " ".join(step.reason.split()))))
    return f"{step.name:<{_NAME_WIDTH}}  {step.status:<{_STATUS_WIDTH}}  {took:<{_TIME_WIDTH}}  {notes}".rstrip()


def document_of(found: Standing, now: datetime) -> dict[str, Any]:
    """Return it as JSON has it."""
    execution = found.execution
    return {
        "execution": execution.id,
        "name": execution.name,
        "status": found.status,
        "started": execution.started.isoformat(),
        "ended": execution.ended.isoformat() if execution.ended else None,
        "reason": execution.reason,
        "note": execution.note,
        "steps": [
            {
                "name": step.name,
                "status": step.status,
                "started": step.started.isoformat() if step.started else None,
                "ended": step.ended.isoformat() if step.ended else None,
                "seconds": step.took(now),
                "reason": step.reason,
                "source": step.source,
                "told": step.note,
                "job": step.job.name if step.job else "",
            }
            for step in found.steps
        ],
        "gate": found.verdict["gate"] if found.verdict else None,
        **({name.replace(" ", "_"): text for name, text in found.left.items()}),
    }


def figures(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield label and text of threshold, FPR, TPR and size, as far as the verdict has them."""
    gate, subject = evaluation["gate"], evaluation["subject"]
    confidence = f"{gate['confidence']:.0%}"
    if point := gate["operating_point"]:
        yield "Threshold", f"{point['threshold']:.6f}, from {point['calibration']} calibration negatives"
    if fpr := gate["fpr"]:
        counted = f"{fpr['value']:.2%} ({fpr['count']} of {fpr['trials']} negatives)"
        yield "FPR", f"{counted}, at most {fpr['upper']:.2%} at {confidence}; limit {gate['max_fpr']:.2%}"
    if tpr := gate["tpr"]:
        counted = f"({tpr['count']} of {tpr['trials']} positives)"
        yield "TPR", f"{tpr['value']:.1%} {counted}, at least {tpr['lower']:.1%} at {confidence}"
    if "bytes" in subject:
        yield "Size", f"{subject['bytes'] / 1e6:.2f} MB, TFLite {subject['quantization']}"
