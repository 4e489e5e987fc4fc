"""An execution at a glance: the few figures, files and sentences that its own run shows of its steps' results."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from pipelines.definition.step_table import CONVERT, EVALUATE, REGISTER, TRAIN, TUNE, VALIDATE
from pipelines.executor.files import read_json
from pipelines.tracking.experiment import Links

PASSED, REJECTED = "passed", "rejected"
CARD = "MODEL_CARD.md"
# The output of a step that is shown, and of its files those below a path in a folder of their own.
SHOWN = {VALIDATE.name: "report", EVALUATE.name: "evaluation", CONVERT.name: "bundle"}
_FOLDERS = {VALIDATE.name: ("data", ""), EVALUATE.name: ("test", ""), CONVERT.name: ("tflite", "evidence/")}
_DOCUMENTS = {"data": "validation.json", "test": "evaluation.json", "tflite": "evaluation.json"}
_RATES = {
    "fpr": "gate/fpr/value",
    "fpr_upper": "gate/fpr/upper",
    "tpr": "gate/tpr/value",
    "tpr_lower": "gate/tpr/lower",
    "pauc": "ranking/partial_auc/value",
}
_FIGURES: Mapping[str, Mapping[str, str]] = {
    "data": {"screenshots": "accepted", "groups": "groups", "quarantined": "quarantined"},
    "test": _RATES,
    "tflite": {**_RATES, "bytes": "subject/bytes"},
}
_OF_TRAINING = ("validation:pauc", "validation:auc", "validation:loss")


# What a step's result adds to the execution's run: figures by name, and files by their place in it.
Shown = tuple[dict[str, float], dict[str, Path]]


@dataclass(slots=True)
class Overview:
    """What is known of an execution so far: `documents` are those of its figures, by folder, `trials` are runs."""

    documents: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    places: set[str] = field(default_factory=set)
    trials: list[str] = field(default_factory=list)
    group: str = ""
    version: str = ""
    in_mlflow: bool = False

    def add(self, step: str, properties: Mapping[str, Any], files: Mapping[str, Path]) -> Shown:
        """Take in a step's result, whether it was made now or taken from the cache; `files` by their relative path."""
        figures, shown = _figures_of_jobs(step, properties), dict[str, Path]()
        if step in _FOLDERS:
            folder, below = _FOLDERS[step]
            own = {name.removeprefix(below): path for name, path in files.items() if name.startswith(below)}
            shown = {f"{folder}/{name}": path for name, path in own.items()}
            if document := shown.get(f"{folder}/{_DOCUMENTS[folder]}"):
                figures |= self._read(folder, document)
            if card := files.get(f"bundle/{CARD}"):
                shown[CARD] = card
        if step == REGISTER and (arn := str(properties.get("ModelPackageArn") or "")):
            self.group, self.version = arn.split("/")[-2:]
            self.in_mlflow = "ModelPackageVersion" in properties
        self.places |= shown.keys()
        return figures, shown

    def _read(self, folder: str, path: Path) -> dict[str, float]:
        value = read_json(path)
        if not isinstance(value, Mapping):
            return {}
        self.documents[folder] = value
        found = {f"{folder}/{name}": _at(value, place) for name, place in _FIGURES[folder].items()}
        return {name: float(one) for name, one in found.items() if _is_number(one)}

    @property
    def dataset_name(self) -> str:
        """What is looked for, and in how much; empty as long as the data were not validated."""
        data = self.documents.get("data")
        if not data:
            return ""
        return f"{_at(data, 'names/1') or 'positive'}, {data.get('accepted', 0):,} screenshots"

    def description(self, verdict: str, reason: str, link: Links) -> str:
        """Return the Markdown below the run's title."""
        return "\n\n".join(filter(None, self._parts(verdict, reason, link)))

    def _parts(self, verdict: str, reason: str, link: Links) -> Iterator[str]:
        yield f"**{verdict.capitalize()}**" + (f": {_inline(reason)}" if reason else "")
        yield " · ".join(self._links(link))
        rows = [_row(title, self.documents[key]) for key, title in _MODELS.items() if key in self.documents]
        if rows:
            yield "\n".join([_HEAD, "|---|---|---|---|---|", *rows])
            limits = (self.documents.get("tflite") or self.documents["test"]).get("gate") or {}
            if _is_number(limits.get("max_fpr")) and _is_number(limits.get("min_tpr")):
                least = f"found at least {limits['min_tpr']:.2%}"
                yield f"Wanted: false positives at most {limits['max_fpr']:.2%} and {least}, both proven."
        if self.version and self.in_mlflow and verdict == PASSED:
            yield f"To decide, as long as nobody has: `tilegate models approve {self.version} --by NAME --reason TEXT`"

    def _links(self, link: Links) -> Iterator[str]:
        named = {
            "tflite/report.html": "Report on the TFLite file",
            "test/report.html": "Report on the trained model",
            "data/report.html": "Data page",
            CARD: "Model card",
        }
        for place, title in named.items():
            if place in self.places:
                yield f"[{title}]({link.file(place)})"
        if self.trials:
            yield f"[Trials side by side]({link.compared(self.trials)})"
        if self.version:
            title = f"{self.group} version {self.version}"
            yield f"[{title}]({link.version(self.group, self.version)})" if self.in_mlflow else title
        yield "what to do next: `docs/operate.md`"


_MODELS = {"test": "trained model", "tflite": "TFLite file"}
_HEAD = "| on the test split | false positives | at most | found | at least |"


def _row(title: str, evaluation: Mapping[str, Any]) -> str:
    subject, gate = evaluation.get("subject") or {}, evaluation.get("gate") or {}
    variant = f" {subject['quantization']}" if subject.get("quantization") else ""
    size = f", {subject['bytes'] / 1e6:.2f} MB" if _is_number(subject.get("bytes")) else ""
    fpr, tpr = gate.get("fpr") or {}, gate.get("tpr") or {}
    cells = (_counted(fpr), _share(fpr.get("upper")), _counted(tpr), _share(tpr.get("lower")))
    return f"| {title}{variant}{size} | {' | '.join(cells)} |"


def _counted(rate: Mapping[str, Any]) -> str:
    counted = f" ({rate['count']} of {rate['trials']})" if "count" in rate and "trials" in rate else ""
    return _share(rate.get("value")) + counted


def _share(value: Any) -> str:
    return f"{value:.2%}" if _is_number(value) else "-"


def _figures_of_jobs(step: str, properties: Mapping[str, Any]) -> dict[str, float]:
    if step == TRAIN.name:
        final = {item["MetricName"]: item["Value"] for item in properties.get("FinalMetricDataList") or []}
        return {name.replace(":", "/"): float(final[name]) for name in _OF_TRAINING if name in final}
    best = (properties.get("BestTrainingJob") or {}).get("FinalHyperParameterTuningJobObjectiveMetric") or {}
    return {"tuning/objective": float(best["Value"])} if step == TUNE.name and "Value" in best else {}


def _at(value: Any, path: str) -> Any:
    for name in path.split("/"):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _inline(text: str) -> str:
    """Return a text of strangers as one line in which Markdown and HTML see nothing of their own."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>|#" else c for c in " ".join(text.split()))
