"""Labelled data as it comes in: a Ground Truth output manifest, a CSV or Parquet table, or a folder for each class.

The manifest is SageMaker's augmented manifest (JSON Lines): `source-ref`, a label attribute `X` and `X-metadata`; see
https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html. Unknown keys pass through as slice columns, if
they hold a text, a number, a truth value or (Parquet) a time; others are passed over.

Whoever labels may be mistaken or mean harm, so everything here has a bound, and a row is refused rather than mended.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steps.core.common.errors import UserError
from steps.core.common.text import printable
from steps.core.dataset.classes import Classes, LabelError, folded
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
    column_name,
    in_one_form,
    is_formula,
    is_ordinary,
    read_records,
)
from steps.core.dataset.label_names import LabelNames, LabelNamesError, UnclearLabelError, choose
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
# Made once, and not for each of a million values.
_NUMBERS, _SEVERAL = (int, float), (dict, list)
DECISION_KEYS = ("by", "reason", "waive")
_METADATA, _MASK, _FAILURE = "-metadata", "-ref", "failure-reason"
_SHOWN = 5
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar")
# Where Ground Truth puts the output manifest of a job.
JOB_MANIFEST = "manifests/output/output.manifest"
_JOB = re.compile(rf"([^/]+/)?{JOB_MANIFEST}")
# Folders that say what a picture is for, not what it shows.
_SPLIT_NAMES = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev"})
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
    jobs = [p.relative_to(folder).as_posix() for start in ("", "*/") for p in folder.glob(start + JOB_MANIFEST)]
    return choose_labels([*files, *jobs], folders, classes, str(folder))


def choose_labels(files: Iterable[str], folders: Iterable[str], classes: Classes, where: str) -> str:
    """Like `find_labels`, of the paths of what lies at a place that is called `where`.

    Files count if they lie directly there, or as the output manifest of a labelling job, at `JOB_MANIFEST` in it or in
    a folder of it.
    """
    names = [name for name in sorted(files) if "/" not in name or _JOB.fullmatch(name)]
    for suffixes in (MANIFEST_SUFFIXES, (".parquet",), (".csv",)):
        found = [name for name in names if Path(name).suffix.lower() in suffixes]
        if len(found) > 1:
            raise UserError(f"{where} holds several labels files ({', '.join(found)}): name one with `--labels FILE`")
        if found:
            return found[0]
    visible = sorted({name for name in folders if not name.startswith(".")})
    if any(_class_of_folder(name, classes) is not None for name in visible):
        return FOLDER_PER_CLASS
    cure, two = _folders_cure(visible, classes)
    if packed := next((name for name in names if Path(name).suffix.lower() in ARCHIVE_SUFFIXES), None):
        cure = f". {printable(packed, 80)} is an archive: unpack it"
    raise LabelNamesError(
        f"{where} holds no labelled data: a Ground Truth manifest (*.manifest, *.jsonl), a table (*.parquet, *.csv) "
        f"or the folders {classes.negative!r} and {classes.positive!r} are wanted{cure}",
        two,
    )


def _folders_cure(folders: Sequence[str], classes: Classes) -> tuple[str, Sequence[str]]:
    """Return what to do about folders of other names, and the two that may be the classes."""
    shown = ", ".join(repr(printable(name, 80)) for name in folders[:_SHOWN])
    if any(folded(name) in _SPLIT_NAMES for name in folders):
        return f". The folders {shown} are splits, which are made here, by group: add what is in each by itself", ()
    if len(folders) == len(("negative", "positive")):
        return f". Its folders are {shown}. {choose(folders, classes)}", folders
    if folders:
        return f". Its folders are {shown}: `--classes NEGATIVE,POSITIVE` tells which two are the classes", ()
    return "", ()


def read_labels(
    folder: Path, labels: str, classes: Classes, attribute: str | None = None
) -> Iterator[LabelledRow | RefusedRow]:
    """Yield every row of `folder / labels`, refused ones among them; nothing is dropped and no image is opened.

    `attribute` names the manifest's label attribute where it has several. Raises UserError if the file as a whole
    cannot be read.
    """
    if labels == FOLDER_PER_CLASS:
        files = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())
        yield from rows_of_folders(files, classes, str(folder))
        return
    path = _labels_file(folder, labels)
    seen, names = _label_names(path, classes, review=False), dict[str, str]()
    take_label = _label_taker(path, seen, attribute)
    for row, record in read_records(path, review=False):
        if isinstance(record, RowError):
            seen.unreadable(record)
            yield RefusedRow(row, "", record.reason, str(record))
            continue
        source = ""
        try:
            source = _take_source(record)
            label = take_label(record)
            slices = _slices(record, path, row, names)
        except LabelError as error:
            seen.refuse(error)
            yield RefusedRow(row, printable(source), error.reason, str(error))
        except RowError as error:
            yield RefusedRow(row, printable(source), error.reason, str(error))
        else:
            yield LabelledRow(row, source, label, slices)
    seen.check()


def read_review(
    folder: Path, labels: str, classes: Classes, attribute: str | None = None
) -> Iterator[ReviewedRow | RefusedRow]:
    """Yield every row of a file of reviewers' decisions; like `read_labels`, but a row may lack a path or a label.

    A screenshot may be named by the column `sha256` alone; a row that waives rules needs no label. In a manifest the
    label may also be the plain key `label`.
    """
    path = _labels_file(folder, labels)
    seen, names = _label_names(path, classes, review=True), dict[str, str]()
    take_label = _label_taker(path, seen, attribute)
    for row, record in read_records(path, review=True):
        if isinstance(record, RowError):
            seen.unreadable(record)
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
        except LabelError as error:
            seen.refuse(error)
            yield RefusedRow(row, printable(source), error.reason, str(error))
        except RowError as error:
            yield RefusedRow(row, printable(source), error.reason, str(error))
        else:
            yield ReviewedRow(row, source, sha256, label, decision, slices)
    seen.check()


def rows_of_folders(
    paths: Iterable[str], classes: Classes, where: str = "the folders"
) -> Iterator[LabelledRow | RefusedRow]:
    """Yield a row for each of a batch's files, sorted, the class being its first folder; hidden files are passed over.

    Whatever its name, a file is taken: what is no image is refused later.
    """
    visible = sorted(path for path in paths if not any(part.startswith(".") for part in path.split("/")))
    seen = LabelNames(where, classes)
    for row, source in enumerate(visible, start=1):
        try:
            yield LabelledRow(row, source, _label_of_path(source, seen, classes))
        except LabelError as error:
            seen.refuse(error)
            yield RefusedRow(row, printable(source), error.reason, str(error))
    seen.check()


def _label_of_path(path: str, seen: LabelNames, classes: Classes) -> int:
    first, *between = path.split("/")[:-1] or [""]
    try:
        label = seen.bare(first)
    except LabelError as error:
        wanted = f"{classes.negative!r} or {classes.positive!r}"
        raise LabelError(f"the file lies in no folder named {wanted}", error.value) from None
    if any(_class_of_folder(name, classes) == 1 - label for name in between):
        raise UnclearLabelError("the file lies in folders of both classes")
    return label


def _class_of_folder(name: str, classes: Classes) -> int | None:
    try:
        return classes.index(name)
    except LabelError:
        return None


def _labels_file(folder: Path, labels: str) -> Path:
    try:
        path = folder / locate(folder, labels)
    except PathRefusedError as error:
        says = "is missing" if error.reason == "missing-file" else f"cannot be read: {error}"
        raise UserError(f"the labels file {folder / labels} {says}") from None
    if path.suffix.lower() in ARCHIVE_SUFFIXES:
        raise UserError(f"{path.name} is an archive: unpack it, and name the folder")
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


def _label_names(path: Path, classes: Classes, *, review: bool) -> LabelNames:
    return LabelNames(str(path), classes, is_table=path.suffix.lower() in TABLE_SUFFIXES, one_sided=review)


def _label_taker(path: Path, seen: LabelNames, attribute: str | None) -> Callable[[dict[str, Any]], int]:
    """Return what takes the label out of a record, and raises LabelError if it is none of the classes."""

    def of_table(record: dict[str, Any]) -> int:
        label, name = record.pop("label", None), record.get(CLASS_NAME)
        if _missing(label) or not isinstance(name, str) or not name.strip():
            return seen.bare(label)
        return seen.named("label", name, label)

    def of_manifest(record: dict[str, Any]) -> int:
        pairs = _label_attributes(record)
        if not pairs and attribute is None and "label" in record:
            return of_table(record)
        chosen = _chosen(pairs, attribute, record)
        label, metadata = record.pop(chosen, None), record.pop(chosen + _METADATA)
        facts = metadata if isinstance(metadata, dict) else {}
        if isinstance(label, _SEVERAL):
            kind = _text_of(facts, "type") or type(label).__name__
            raise UnclearLabelError(
                f"the attribute {printable(chosen, 80)!r} holds no single label ({kind}): one of the job type image "
                "classification (single label) is wanted; `--label-attribute NAME` says which, where there are several"
            )
        if label is None and _FAILURE in facts:
            raise LabelError(f"the labelling failed: {_text_of(facts, _FAILURE)}")
        name = facts.get(CLASS_NAME)
        if not isinstance(name, str):
            return seen.bare(label)
        record[CLASS_NAME] = name
        return seen.named(chosen, name, label)

    return of_manifest if path.suffix.lower() in MANIFEST_SUFFIXES else of_table


def _text_of(facts: Mapping[str, Any], key: str) -> str:
    value = facts.get(key)
    return printable(value, 200) if isinstance(value, str) else ""


def _label_attributes(record: Mapping[str, Any]) -> list[str]:
    """Return the attributes that may hold the label, those of failed labellings among them, and no masks' places."""
    ends = len(_METADATA)
    found = [key[:-ends] for key in record if key.endswith(_METADATA)]
    if len(found) == 1 and found[0] in record and not found[0].endswith(_MASK):
        return found
    return [
        name
        for name in found
        if not name.endswith(_MASK)
        and (name in record or (isinstance(why := record[name + _METADATA], dict) and _FAILURE in why))
    ]


def _chosen(pairs: Sequence[str], attribute: str | None, record: Mapping[str, Any]) -> str:
    """Return the label attribute of a row; raises LabelError that tells those that there are."""
    if attribute in pairs or (attribute is None and len(pairs) == 1):
        return attribute or pairs[0]
    if not pairs:
        masks = any(key.endswith(_MASK + _METADATA) for key in record)
        raise LabelError(
            f"no label attribute with its -metadata{', only a mask' if masks else ''}: the row has no label"
        )
    seen = ", ".join(repr(printable(key, 80)) for key in pairs[:_SHOWN])
    if attribute is not None:
        raise UnclearLabelError(f"there is no label attribute {printable(attribute, 80)!r}, but {seen}")
    raise UnclearLabelError(
        f"there are several label attributes, {seen}: say which one counts with `--label-attribute NAME`"
    )


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


def _slices(record: Mapping[str, Any], path: Path, row: int, names: dict[str, str]) -> dict[str, str]:
    """Return the other columns as text; a group that is not one is refused, for its app would leak between splits.

    `names` are the columns seen so far, in the form in which they are compared: a file that brings ever new ones would
    fill the memory of whoever reads it.
    """
    slices: dict[str, str] = {}
    for written, value in record.items():
        known = names.get(written)
        key = known or column_name(written)
        if isinstance(value, str):
            text = value.strip()
            if not is_ordinary(value, text):
                check_text(key, value, text)
        elif isinstance(value, _NUMBERS):
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
        if known is None:
            _note_column(written, key, names, f"{path}, row {row}")
        if key in slices:
            raise RowError(f"the key {printable(key, 80)!r} stands twice: which one counts?")
        slices[key] = text if text.isascii() else in_one_form(text)
    return slices


def _note_column(written: str, key: str, names: dict[str, str], where: str) -> None:
    check_name(written)
    names[written] = key
    if len(names) > MAX_COLUMNS:
        raise UserError(f"{where}: brings the rows to more than {MAX_COLUMNS} different columns")


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
