"""Which labelled screenshots may be learned from: every row of every batch ends as accepted or as quarantined."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steps.core.classes import Classes
from steps.core.dataset import Quarantined, Screenshot
from steps.core.errors import UserError
from steps.core.files import sha256_file
from steps.core.images import ImageFacts, ImageRefusedError, read_image
from steps.core.labels import CLASS_NAME, LabelledRow, RefusedRow, read_labels
from steps.core.paths import PathRefusedError, locate
from steps.core.snapshot import Batch
from steps.core.splits import Split, group_of, split_of


@dataclass(frozen=True, slots=True)
class Candidate:
    """A labelled row whose file lies inside the batch: `file` is its path, `uri` its key below the labelled data."""

    batch: Batch
    row: LabelledRow
    file: Path
    uri: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What opening a candidate's file told: `refusal` is "" for a readable image."""

    sha256: str
    facts: ImageFacts | None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Validation:
    """Every row, on one side or the other."""

    accepted: Sequence[Screenshot]
    quarantined: Sequence[Quarantined]

    def summary(self, classes: Classes) -> dict[str, Any]:
        """Return the counts that `validation.json` holds."""
        names = (classes.negative, classes.positive)
        return {
            "version": 1,
            "rows": len(self.accepted) + len(self.quarantined),
            "accepted": len(self.accepted),
            "quarantined": len(self.quarantined),
            "quarantined_by_reason": dict(sorted(Counter(q.reason for q in self.quarantined).items())),
            "groups": len({s.group for s in self.accepted}),
            "ungrouped": sum(s.group == s.id for s in self.accepted),
            "class_names": {str(i): sorted(self._class_names(i)) for i in (0, 1)},
            "classes": {name: sum(s.label == i for s in self.accepted) for i, name in enumerate(names)},
            "splits": {
                str(split): {
                    name: sum(s.label == i and s.split == split for s in self.accepted) for i, name in enumerate(names)
                }
                for split in Split
            },
        }

    def _class_names(self, label: int) -> set[str]:
        """Return what the data call a class, for a person to see that nothing is the wrong way round."""
        return {s.slices[CLASS_NAME] for s in self.accepted if s.label == label and CLASS_NAME in s.slices}


def inspect(file: Path) -> Inspection:
    """Hash a file and decode all of its pixels: an image that breaks later would break a night."""
    try:
        checksum = sha256_file(file)
    except OSError as error:
        return Inspection("", None, f"the file cannot be read: {error.strerror or error}")
    try:
        return Inspection(checksum, read_image(file)[1])
    except ImageRefusedError as error:
        return Inspection(checksum, None, str(error))


def validate(
    batches: Sequence[Batch],
    labelled: Path,
    classes: Classes,
    *,
    inspect_all: Callable[[Sequence[Path]], Iterable[Inspection]],
    attribute: str | None = None,
) -> Validation:
    """Read every batch below `labelled` and sort its rows; `inspect_all` opens the files, in order.

    Raises UserError if a labels file as a whole is unreadable, or if what is left cannot train and judge a model.
    """
    quarantined: list[Quarantined] = []
    candidates: list[Candidate] = []
    for batch in batches:
        for row in read_labels(labelled / batch.name, batch.labels, classes, attribute):
            if isinstance(row, RefusedRow):
                quarantined.append(_refuse(batch, row, row.reason, row.detail))
            elif isinstance(found := _locate(batch, row, labelled), Candidate):
                candidates.append(found)
            else:
                quarantined.append(found)
    inspections = inspect_all([candidate.file for candidate in candidates])
    opened = _opened(zip(candidates, inspections, strict=True), quarantined)
    validation = Validation(_without_duplicates(opened, quarantined), quarantined)
    _check_usable(validation, classes)
    return validation


def _refuse(batch: Batch, row: LabelledRow | RefusedRow, reason: str, detail: str, sha256: str = "") -> Quarantined:
    return Quarantined(
        batch.name,
        batch.labels,
        row.row,
        row.source_ref[:500].encode(errors="replace").decode(),
        sha256,
        reason,
        detail,
    )


def _locate(batch: Batch, row: LabelledRow, labelled: Path) -> Candidate | Quarantined:
    """Find a row's file inside its batch; a path that leaves it is refused before anything is opened."""
    root = labelled / batch.name
    try:
        path = locate(root, row.source_ref)
    except PathRefusedError as error:
        return _refuse(batch, row, error.reason, str(error))
    return Candidate(batch, row, root / path, f"{batch.name}/{path}")


def _opened(
    inspected: Iterable[tuple[Candidate, Inspection]], quarantined: list[Quarantined]
) -> list[tuple[Screenshot, Candidate]]:
    opened = []
    for candidate, inspection in inspected:
        batch, row, facts = candidate.batch, candidate.row, inspection.facts
        declared = row.slices.get("sha256", inspection.sha256).lower()
        if facts is None:
            quarantined.append(_refuse(batch, row, "image", inspection.refusal, inspection.sha256))
        elif declared != inspection.sha256:
            detail = f"the file's sha256 is {inspection.sha256}, the row says {declared[:64]}"
            quarantined.append(_refuse(batch, row, "checksum", detail, inspection.sha256))
        else:
            group = group_of(row.slices, inspection.sha256)
            screenshot = Screenshot(
                id=inspection.sha256,
                uri=candidate.uri,
                batch=batch.name,
                row=row.row,
                label=row.label,
                group=group,
                split=split_of(group),
                width=facts.width,
                height=facts.height,
                format=facts.format,
                slices=row.slices,
            )
            opened.append((screenshot, candidate))
    return opened


def _without_duplicates(
    opened: Sequence[tuple[Screenshot, Candidate]], quarantined: list[Quarantined]
) -> list[Screenshot]:
    """Keep one row for each screenshot: contradicting labels all go, repeats of one label go but for the first."""
    same: dict[str, list[tuple[Screenshot, Candidate]]] = defaultdict(list)
    for pair in opened:
        same[pair[0].id].append(pair)
    kept = []
    for rows in same.values():
        conflict = len({screenshot.label for screenshot, _ in rows}) > 1
        first = rows[0][0]
        if not conflict:
            kept.append(first)
        for screenshot, candidate in rows if conflict else rows[1:]:
            reason = "label-conflict" if conflict else "duplicate"
            detail = (
                f"{len(rows)} rows label these very bytes, and not the same: a reviewer has to decide"
                if conflict
                else f"the same bytes as {first.uri}, row {first.row}"
            )
            quarantined.append(_refuse(candidate.batch, candidate.row, reason, detail, screenshot.id))
    return kept


def _check_usable(validation: Validation, classes: Classes) -> None:
    refused = len(validation.quarantined)
    why = (
        f" ({refused} rows were quarantined, the first because: {validation.quarantined[0].detail})" if refused else ""
    )
    if not validation.accepted:
        raise UserError(f"no usable screenshot in the data{why}")
    names = (classes.negative, classes.positive)
    for name in (name for index, name in enumerate(names) if all(s.label != index for s in validation.accepted)):
        raise UserError(f"the class {name!r} has no usable screenshot{why}: a model needs both classes")
    for index, name in enumerate(names):
        per_split = Counter(s.split for s in validation.accepted if s.label == index)
        for split in Split:
            if not per_split[split]:
                raise UserError(
                    f"the {split} split has no screenshot of class {name!r} (splits follow the groups, of which there "
                    f"are {len({s.group for s in validation.accepted})}): add labelled data from more groups"
                )
