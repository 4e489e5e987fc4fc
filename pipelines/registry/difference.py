"""Two versions side by side: what was measured, on which data, and how they were trained and converted."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.registry.protocol import ModelRegistry, ModelVersion
from steps.core.common.scratch import scratch
from steps.network.archive import unpacked

EVALUATION, CONTRACT = "evaluation.json", "model.json"
Batches = Mapping[str, str]
"""The batches of a snapshot: the sha256 of each by its name."""


@dataclass(frozen=True, slots=True)
class Side:
    """A version with what its archive says of it, empty where it says nothing; `batches` is None if nobody knows."""

    version: ModelVersion
    evaluation: Mapping[str, Any]
    contract: Mapping[str, Any]
    batches: Batches | None

    @property
    def gate(self) -> Mapping[str, Any]:
        return self.evaluation.get("gate") or {}

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        return (self.evaluation.get("subject") or {}).get("hyperparameters") or {}


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the comparison; `a` and `b` are JSON, None for what is not known. `kind` says how it is printed."""

    name: str
    a: Any
    b: Any
    kind: str = "text"


def read_side(registry: ModelRegistry, version: ModelVersion, batches: Callable[[str], Batches | None]) -> Side:
    """Read a version's verified archive; `batches` gives those of a snapshot's URI, None if it is not at hand."""
    with scratch("diff") as folder:
        registry.download(version, folder)
        with unpacked(folder) as bundle:
            evaluation, contract = (_read(bundle / file) for file in (EVALUATION, CONTRACT))
    dataset = version.metadata.get("dataset", "")
    return Side(version, evaluation, contract, batches(dataset) if dataset else None)


def facts(a: Side, b: Side) -> list[Fact]:
    """Return the facts in the order in which a person asks for them; none that neither side knows."""
    found = [Fact(name, of(a), of(b), kind) for name, kind, of in _FACTS]
    return [fact for fact in found if fact.a is not None or fact.b is not None]


def hyperparameters(a: Side, b: Side) -> list[Fact]:
    """Return what each was trained with, by name; what both have alike is in it as well."""
    ours, theirs = a.hyperparameters, b.hyperparameters
    return [Fact(name, ours.get(name), theirs.get(name)) for name in sorted(ours.keys() | theirs.keys())]


def batches_of_one(a: Side, b: Side) -> tuple[list[str], list[str]] | None:
    """Return the batches that A alone has, and those that B alone has; None if a snapshot is not at hand."""
    if a.batches is None or b.batches is None:
        return None
    ours, theirs = a.batches.items(), b.batches.items()
    return sorted(name for name, _ in ours - theirs), sorted(name for name, _ in theirs - ours)


def as_json(a: Side, b: Side) -> dict[str, Any]:
    """Return the comparison for scripts: rates as numbers with their bounds, names as in the table."""
    found = batches_of_one(a, b)
    return {
        "version": 1,
        "a": _head(a.version),
        "b": _head(b.version),
        "facts": _sides(facts(a, b)),
        "hyperparameters": _sides(hyperparameters(a, b)),
        "batches": None if found is None else {"only_a": found[0], "only_b": found[1]},
    }


def _sides(found: list[Fact]) -> dict[str, Any]:
    return {fact.name: {"a": fact.a, "b": fact.b} for fact in found}


def _head(version: ModelVersion) -> dict[str, Any]:
    return {
        "group": version.group,
        "version": version.version,
        "sha256": version.sha256,
        "created": version.created,
        "decisions": [asdict(decision) for decision in version.decisions],
        "outside": version.outside,
    }


def _read(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _passed(gate: Mapping[str, Any]) -> str | None:
    if "passed" not in gate:
        return None
    return "passed" if gate["passed"] else f"rejected, {gate.get('failed_checks')} checks failed"


def _rate(rate: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {name: rate.get(name) for name in ("value", "lower", "upper", "count", "trials")} if rate else None


def _metric(evaluation: Mapping[str, Any], name: str) -> Any:
    return ((evaluation.get("binary_classification_metrics") or {}).get(name) or {}).get("value")


def _failed_slices(gate: Mapping[str, Any]) -> int | None:
    slices = gate.get("slices")
    return None if slices is None else sum(part.get("status") == "failed" for part in slices)


_FACTS: tuple[tuple[str, str, Callable[[Side], Any]], ...] = (
    ("status", "text", lambda side: side.version.status),
    ("champion", "text", lambda side: "yes" if side.version.is_champion else "no"),
    ("gate", "text", lambda side: _passed(side.gate)),
    ("FPR", "rate", lambda side: _rate(side.gate.get("fpr"))),
    ("FPR limit", "percent", lambda side: side.gate.get("max_fpr")),
    ("TPR", "rate", lambda side: _rate(side.gate.get("tpr"))),
    ("TPR floor", "percent", lambda side: side.gate.get("min_tpr")),
    ("AUC", "number", lambda side: _metric(side.evaluation, "auc")),
    ("threshold", "number", lambda side: side.contract.get("threshold")),
    ("test negatives", "count", lambda side: (side.gate.get("fpr") or {}).get("trials")),
    ("test positives", "count", lambda side: (side.gate.get("tpr") or {}).get("trials")),
    ("slices that failed", "count", lambda side: _failed_slices(side.gate)),
    ("variant", "text", lambda side: side.contract.get("quantization")),
    ("model.tflite", "bytes", lambda side: side.contract.get("bytes")),
    ("flipped decisions", "percent", lambda side: side.contract.get("flipped_decisions")),
    ("tile size", "count", lambda side: (side.contract.get("preprocessing") or {}).get("tile_size")),
    ("dataset", "text", lambda side: side.version.metadata.get("dataset", "").rpartition("/")[2] or None),
    ("execution", "text", lambda side: side.version.metadata.get("execution")),
    ("definition", "text", lambda side: side.version.metadata.get("definition")),
    ("data image", "text", lambda side: side.version.metadata.get("data_image")),
    ("model image", "text", lambda side: side.version.metadata.get("model_image")),
)
