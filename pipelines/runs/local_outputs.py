"""The outputs of a run on this machine: its evidence, its bundle, the version that it registered."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.definition.step_table import CONVERT, EVALUATE, REGISTER, VALIDATE
from pipelines.executor.files import read_json as read_if_there
from pipelines.executor.store import LocalStore
from pipelines.registry.protocol import PENDING
from pipelines.runs.standing import figures
from steps.core.common.files import read_json
from steps.core.common.text import printable

EVALUATION, REPORT, BUNDLE = "evaluation.json", "report.html", "bundle"


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of a run, by what its steps have written down; `failed_step` is the one that ended it."""

    run_dir: Path
    failed_step: str | None
    store: LocalStore

    def result(self, step: str) -> Mapping[str, Any]:
        return dict(read_if_there(self.run_dir / "steps" / step / "result.json") or {})

    def folder(self, step: str, output: str) -> Path | None:
        """Return an output of a step that was published, or of the one that failed, whose folder is still there."""
        result = self.result(step)
        if found := result.get("outputs", {}).get(output):
            return self.store.path(str(found["uri"]))
        unpublished = self.run_dir / "steps" / step / "opt/ml/processing/output" / output
        return unpublished if self.failed_step == step and unpublished.is_dir() else None

    def validation(self) -> Path | None:
        """Return the folder of the validation's report."""
        found = self.folder(VALIDATE.name, "report")
        return found if found and (found / "validation.json").is_file() else None

    def judged(self) -> tuple[str, Path] | None:
        """Return what the last verdict is about and the folder of its evidence."""
        bundle = self.folder(CONVERT.name, "bundle")
        if bundle and (bundle / "evidence" / REPORT).is_file():
            unpublished = ", which was not published" if self.failed_step == CONVERT.name else ""
            return f"the TFLite model{unpublished}", bundle / "evidence"
        evaluation = self.folder(EVALUATE.name, "evaluation")
        return ("the trained model", evaluation) if evaluation else None

    def evaluation(self) -> Mapping[str, Any] | None:
        """Return the last verdict, None before there is one."""
        judged = self.judged()
        return dict(read_json(judged[1] / EVALUATION)) if judged else None

    def bundle(self) -> Path | None:
        """Return the folder of what phones get, None where nothing was published."""
        found = None if self.failed_step == CONVERT.name else self.folder(CONVERT.name, "bundle")
        return found / BUNDLE if found else None

    def report(self) -> Path | None:
        """Return the page to decide by: that of the verdict, else that of the data."""
        judged = self.judged()
        folder = judged[1] if judged else self.validation()
        return folder / REPORT if folder else None

    def registered(self) -> Mapping[str, Any] | None:
        """Return the properties of the registered version, None if there is none."""
        return self.result(REGISTER).get("properties") or None

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what a person needs at the end, as far as the run got."""
        if validation := self.validation():
            yield from told_counts(read_json(validation / "validation.json"))
            yield "Data page", str(validation / REPORT)
        if judged := self.judged():
            what, folder = judged
            yield "Judged", what
            yield from figures(read_json(folder / EVALUATION))
            yield "Report", str(folder / REPORT)
        if bundle := self.bundle():
            yield "Bundle", str(bundle)
        if registered := self.registered():
            group, version = registered["ModelPackageGroupName"], registered["ModelPackageVersion"]
            yield "Model", f"{group} version {version}, {registered['ModelApprovalStatus']}"
            if registered["ModelApprovalStatus"] == PENDING:
                yield "Next", f"tilegate report {version}    # what it can do, and where it errs"
                yield "", f"tilegate models approve {version} --by NAME --reason TEXT    # or reject"


def told_counts(counts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts["quarantined_by_reason"].items())
    refused = f"; {counts['quarantined']:,} quarantined ({reasons})" if reasons else ""
    yield "Screenshots", f"{counts['accepted']:,} of {counts['groups']:,} groups{refused}"
    if counts["ungrouped"]:
        alone = f"{counts['ungrouped']:,} have no group, app or session"
        yield "Groups", f"{alone}: screenshots of one app may be on both sides of a split"
    for label, name in sorted(counts["names"].items()):
        called = ", ".join(printable(name, 40) for name in counts["class_names"][label][:3])
        as_called = f" ({called} in the data)" if called not in ("", name) else ""
        yield f"Label {label}", f"{name}{as_called}: {counts['classes'][name]:,}"
