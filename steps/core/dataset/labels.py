"""Labelled data as it comes in: a Ground Truth output manifest, a CSV or Parquet table, or a folder for each class.

The manifest is SageMaker's augmented manifest (JSON Lines): `source-ref`, a label attribute `X` and `X-metadata`; see
https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html. Unknown keys pass through as slice columns, if
they hold a text, a number, a truth value or (Parquet) a time; others are passed over.

Whoever labels may be mistaken or mean harm, so everything here has a bound, and a row is refused rather than mended.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steps.core.common.errors import UserError
from steps.core.common.text import printable
from steps.core.dataset.classes import Classes, LabelError
from steps.core.dataset.label_files import (
    MANIFEST_SUFFIXES,
    MAX_COLUMNS,
    MAX_FIELD_CHARACTERS,
    MAX_LINE_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_ROWS,
    MAX_TABLE_BYTES,
    SOURCE_KEYS,
    TABLE_SUFFIXES,
    RowError,
    check_name,
    check_text,
    is_formula,
    is_ordinary,
    read_records,
)
from steps.core.dataset.label_resolution import WAIVABLE
from steps.core.dataset.paths import PathRefusedError, locate
from steps.core.dataset.splits import GROUP_KEYS

__all__ = [
    "CLASS_NAME",
    "DECISION_KEYS",
    "FOLDER_PER_CLASS",
    "MANIFEST_SUFFIXES",
    "MAX_COLUMNS",
    "MAX_FIELD_CHARACTERS",
    "MAX_LINE_CHARACTERS",
    "MAX_NAME_CHARACTERS",
    "MAX_ROWS",
    "MAX_TABLE_BYTES",
    "TABLE_SUFFIXES",
    "LabelledRow",
    "RefusedRow",
    "ReviewedRow",
    "choose_labels",
    "find_labels",
    "read_labels",
    "read_review",
    "rows_of_folders",
]

FOLDER_PER_CLASS = "."
CLASS_NAME = "class-name"
_WHOLE = re.compile(r"-?\d+\.0+")
DECISION_KEYS = ("by", "reason", "waive")
_METADATA = "-metadata"
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One labelled screenshot: `row` counts from 1 in its file, `label` is 0 or 1, `slices` holds the other columns."""

    row: int
    source_ref: str
    label: int
    slices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReviewedRow:
    """A reviewer's decision on one screenshot: a label, or rules waived for it, or both.

    `sha256` is set, and `source_ref` is the same, where the row names the screenshot by its digest and not by a path.
    `decision` may hold `by` (whom), `reason` and `waive` (names of waivable rules
    with commas between).
    """

    row: int
    source_ref: str
    sha256: str | None
    label: int | None
    decision: Mapping[str, str]
    slices: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that cannot be used: `reason` is a stable code, `detail` a sentence for a person."""

    row: int
    source_ref: str
    reason: str
    detail: str


def find_labels(folder: Path, classes: Classes) -> str:
    """Return the name of the labels file in `folder`, or "." for a folder per class.

    A manifest goes before a Parquet table, that before a CSV. Raises UserError if there is nothing, or a tie.
    """
    inside = list(folder.iterdir())
    files, folders = ([p.name for p in inside if kind(p)] for kind in (Path.is_file, Path.is_dir))
    return choose_labels(files, folders, classes, str(folder))


def choose_labels(files: Iterable[str], folders: Iterable[str], classes: Classes, where: str) -> str:
    """Like `find_labels`, of the names of what lies directly at a place that is called `where`."""
    names = sorted(files)
    for suffixes in (MANIFEST_SUFFIXES, (".parquet",), (".csv",)):
        found = [name for name in names if Path(name).suffix.lower() in suffixes]
        if len(found) > 1:
            raise UserError(f"{where} holds several labels files ({', '.join(found)}): name the one to use")
        if found:
            return found[0]
    if {classes.negative, classes.positive} & set(folders):
        return FOLDER_PER_CLASS
    raise UserError(
        f"{where} holds no labelled data: a Ground Truth manifest (*.manifest, *.jsonl), a table (*.parquet, *.csv) "
        f"or the folders {classes.negative!r} and {classes.positive!r} are wanted"
    )


def read_labels(
    folder: Path, labels: str, classes: Classes, attribute: str | None = None
) -> Iterator[LabelledRow | RefusedRow]:
    """Yield every row of `folder / labels`, refused ones among them; nothing is dropped and no image is opened.

    `attribute` names the manifest's label attribute where it has several. Raises UserError if the file as a whole
    cannot be read.
    """
    if labels == FOLDER_PER_CLASS:
        files = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())
        yield from rows_of_folders(files, classes)
        return
    path = _labels_file(folder, labels)
    take_label, names = _label_taker(path, classes, attribute, review=False), set[str]()
    for row, record in read_records(path, review=False):
        if isinstance(record, RowError):
            yield RefusedRow(row, "", record.reason, str(record))
            continue
        source = ""
        try:
            source = _take_source(record)
            label = take_label(record)
            slices = _slices(record, path, row, names)
        except (LabelError, RowError) as error:
            yield RefusedRow(row, printable(source), error.reason, str(error))
        else:
            yield LabelledRow(row, source, label, slices)


def read_review(
    folder: Path, labels: str, classes: Classes, attribute: str | None = None
) -> Iterator[ReviewedRow | RefusedRow]:
    """Yield every row of a file of reviewers' decisions; like `read_labels`, but a row may lack a path or a label.

    A screenshot may be named by the column `sha256` alone; a row that waives rules needs no label. In a manifest the
    label may also be the plain key `label`.
    """
    path = _labels_file(folder, labels)
    take_label, names = _label_taker(path, classes, attribute, review=True), set[str]()
    for row, record in read_records(path, review=True):
        if isinstance(record, RowError):
            yield RefusedRow(row, "", record.reason, str(record))
            continue
        source = ""
        try:
            source = _take_source(record, needed=False)
            label = take_label(record) if _has_label(record) else None
            slices = _slices(record, path, row, names)
            sha256 = None if source else _take_sha256(slices)
            source = source or sha256 or ""
            decision = {key: slices.pop(key) for key in DECISION_KEYS if key in slices}
            _check_decision(label, decision)
        except (LabelError, RowError) as error:
            yield RefusedRow(row, printable(source), error.reason, str(error))
        else:
            yield ReviewedRow(row, source, sha256, label, decision, slices)


def rows_of_folders(paths: Iterable[str], classes: Classes) -> Iterator[LabelledRow | RefusedRow]:
    """Yield a row for each of a batch's files, sorted, the class being its first folder; hidden files are passed over.

    Whatever its name, a file is taken: what is no image is refused later.
    """
    visible = sorted(path for path in paths if not any(part.startswith(".") for part in path.split("/")))
    for row, source in enumerate(visible, start=1):
        first, inside, _ = source.partition("/")
        try:
            yield LabelledRow(row, source, classes.index(first if inside else ""))
        except LabelError as error:
            wanted = f"{classes.negative!r} or {classes.positive!r}"
            detail = f"the file lies in no folder named {wanted}"
            yield RefusedRow(row, printable(source), error.reason, detail)


def _labels_file(folder: Path, labels: str) -> Path:
    try:
        path = folder / locate(folder, labels)
    except PathRefusedError as error:
        says = "is missing" if error.reason == "missing-file" else f"cannot be read: {error}"
        raise UserError(f"the labels file {folder / labels} {says}") from None
    if path.suffix.lower() not in MANIFEST_SUFFIXES + TABLE_SUFFIXES:
        raise UserError(f"{path.name}: wanted one of {', '.join(MANIFEST_SUFFIXES + TABLE_SUFFIXES)}")
    return path


def _take_source(record: dict[str, Any], *, needed: bool = True) -> str:
    for key in SOURCE_KEYS:
        value = record.pop(key, None)
        if isinstance(value, str) and value:
            if is_formula(value):
                raise RowError(f"{key} {printable(value, 80)!r} is a formula to a spreadsheet: rename it", "formula")
            return value
    if needed:
        raise RowError(f"no image: one of the keys {', '.join(SOURCE_KEYS)} must hold its path")
    return ""


def _label_taker(
    path: Path, classes: Classes, attribute: str | None, *, review: bool
) -> Callable[[dict[str, Any]], int]:
    """Return what takes the label out of a record, and raises LabelError if it is none of the classes."""

    def of_table(record: dict[str, Any]) -> int:
        return classes.index(record.pop("label", None))

    def of_manifest(record: dict[str, Any]) -> int:
        pairs = [key for key in record if key + _METADATA in record]
        if review and not pairs and "label" in record:
            return of_table(record)
        if attribute is not None:
            pairs = [key for key in pairs if key == attribute]
        if len(pairs) != 1:
            wanted = repr(attribute) if attribute else "exactly one"
            seen = ", ".join(repr(printable(key, 80)) for key in pairs[:5]) or "none"
            raise LabelError(f"label attributes {seen}; {wanted} with its -metadata is wanted")
        label, metadata = record.pop(pairs[0]), record.pop(pairs[0] + _METADATA)
        name = metadata.get(CLASS_NAME) if isinstance(metadata, dict) else None
        if not isinstance(name, str):
            return classes.index(label)
        record[CLASS_NAME] = name
        return classes.named_index(name, label)

    return of_manifest if path.suffix.lower() in MANIFEST_SUFFIXES else of_table


def _has_label(record: dict[str, Any]) -> bool:
    return not _missing(record.get("label")) or any(key.endswith(_METADATA) for key in record)


def _take_sha256(slices: dict[str, str]) -> str:
    sha256 = slices.pop("sha256", "")
    if not _SHA256.fullmatch(sha256):
        said = f"sha256 {printable(sha256, 80)!r} is not 64 hexadecimal digits" if sha256 else "no image"
        raise RowError(f"{said}: one of the keys {', '.join(SOURCE_KEYS)} or its sha256 must name it")
    return sha256.lower()


def _check_decision(label: int | None, decision: Mapping[str, str]) -> None:
    waived = decision.get("waive")
    if waived is not None and not {name.strip() for name in waived.split(",")} <= set(WAIVABLE):
        wanted = f"names of rules that can be waived ({', '.join(WAIVABLE)}) with commas between"
        raise RowError(f"waive {printable(waived, 80)!r}: {wanted} are wanted")
    if label is None and "waive" not in decision:
        raise LabelError("the row has no label and waives no rule: it decides nothing")


def _slices(record: Mapping[str, Any], path: Path, row: int, names: set[str]) -> dict[str, str]:
    """Return the other columns as text; a group that is not one is refused, for its app would leak between splits.

    `names` are the columns seen so far: a file that brings ever new ones would fill the memory of whoever reads it.
    """
    slices = {}
    for key, value in record.items():
        if isinstance(value, str):
            text = value.strip()
            if not is_ordinary(value, text):
                check_text(key, value, text)
        elif isinstance(value, int | float):
            text = _number_text(key, value)
        elif value is None or key not in GROUP_KEYS:
            continue
        else:
            raise RowError(f"{key} is {type(value).__name__}, a text or a number is wanted")
        if not text:
            continue
        if key in GROUP_KEYS and _WHOLE.fullmatch(text):
            # A table with a gap in it writes 1 as 1.0, and one app must not become two.
            text = text.partition(".")[0]
        if key not in names:
            check_name(key)
            names.add(key)
            if len(names) > MAX_COLUMNS:
                raise UserError(f"{path}, row {row}: brings the rows to more than {MAX_COLUMNS} different columns")
        slices[key] = text
    return slices


def _number_text(key: str, value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if math.isinf(value):
        raise RowError(f"{printable(key, 80)} is {value}, a finite number is wanted")
    # A table writes whole numbers as floats where some are missing; a group is the same text in every form.
    return "" if math.isnan(value) else str(int(value) if value.is_integer() else value)


def _missing(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, str) and not value.strip())
        or (isinstance(value, float) and math.isnan(value))
    )
