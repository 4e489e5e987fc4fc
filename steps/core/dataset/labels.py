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
from steps.core.dataset.classes import Classes, LabelError
from steps.core.dataset.label_files import (
    MANIFEST_SUFFIXES,
    MAX_COLUMNS,
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
from steps.core.dataset.label_names import LabelNames, UnclearLabelError
from steps.core.dataset.label_places import FOLDER_PER_CLASS, labels_file
from steps.core.dataset.label_resolution import WAIVABLE
from steps.core.dataset.splits import GROUP_KEYS

CLASS_NAME = "class-name"
_WHOLE = re.compile(r"-?\d+\.0+")
# Made once, and not for each of a million values.
_NUMBERS, _SEVERAL = (int, float), (dict, list)
DECISION_KEYS = ("by", "reason", "waive")
_METADATA, _MASK, _FAILURE = "-metadata", "-ref", "failure-reason"
_SHOWN = 5
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One labelled screenshot: `row` counts from 1 in its file, `label` is 0 or 1, `slices` holds the other columns.

    In a review, where a row is a person's decision, `label` is None if the row only waives rules; `sha256` is set, and
    `source_ref` is the same, where the row names the screenshot by its digest and not by a path; and `decision` may
    hold `by` (whom), `reason` and `waive` (names of waivable rules with commas between).
    """

    row: int
    source_ref: str
    label: int | None
    slices: Mapping[str, str] = field(default_factory=dict)
    sha256: str | None = None
    decision: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that cannot be used: `reason` is a stable code, `detail` a sentence for a person."""

    row: int
    source_ref: str
    reason: str
    detail: str


def read_labels(
    folder: Path, labels: str, classes: Classes, attribute: str | None = None, *, review: bool = False
) -> Iterator[LabelledRow | RefusedRow]:
    """Yield every row of `folder / labels`, refused ones among them; nothing is dropped and no image is opened.

    `attribute` names the manifest's label attribute where it has several. In a `review` a screenshot may be named by
    the column `sha256` alone, a row that waives rules needs no label, and in a manifest the label may also be the plain
    key `label`. Raises UserError if the file as a whole cannot be read.
    """
    if labels == FOLDER_PER_CLASS:
        files = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())
        yield from rows_of_folders(files, classes, str(folder))
        return
    path = labels_file(folder, labels)
    seen = LabelNames(str(path), classes, is_table=path.suffix.lower() in TABLE_SUFFIXES, one_sided=review)
    take_label, names = _label_taker(path, seen, attribute), dict[str, str]()
    for row, record in read_records(path, review=review):
        if isinstance(record, RowError):
            yield _refused(seen, row, "", record)
            continue
        source = ""
        try:
            source = _take_source(record, needed=not review)
            label = take_label(record) if not review or _has_label(record) else None
            slices = _slices(record, path, row, names)
            found = _reviewed(row, source, label, slices) if review else LabelledRow(row, source, label, slices)
        except (LabelError, RowError) as error:
            yield _refused(seen, row, source, error)
        else:
            yield found
    seen.check()


def _refused(seen: LabelNames, row: int, source: str, error: LabelError | RowError) -> RefusedRow:
    seen.refuse(error)
    return RefusedRow(row, printable(source), error.reason, str(error))


def _reviewed(row: int, source: str, label: int | None, slices: dict[str, str]) -> LabelledRow:
    sha256 = None if source else _take_sha256(slices)
    decision = {key: slices.pop(key) for key in DECISION_KEYS if key in slices}
    _check_decision(label, decision)
    return LabelledRow(row, source or sha256 or "", label, slices, sha256, decision)


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
            yield _refused(seen, row, source, error)
    seen.check()


def _label_of_path(path: str, seen: LabelNames, classes: Classes) -> int:
    first, *between = path.split("/")[:-1] or [""]
    try:
        label = seen.index(first)
    except LabelError as error:
        wanted = f"{classes.negative!r} or {classes.positive!r}"
        raise LabelError(f"the file lies in no folder named {wanted}", error.value) from None
    if any(classes.find(name) == 1 - label for name in between):
        raise UnclearLabelError("the file lies in folders of both classes")
    return label


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


def _label_taker(path: Path, seen: LabelNames, attribute: str | None) -> Callable[[dict[str, Any]], int]:
    """Return what takes the label out of a record, and raises LabelError if it is none of the classes."""

    def of_table(record: dict[str, Any]) -> int:
        label, name = record.pop("label", None), record.get(CLASS_NAME)
        if isinstance(label, _SEVERAL) or _missing(label) or not isinstance(name, str) or not name.strip():
            return seen.index(label)
        return seen.index(label, name, "label")

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
            return seen.index(label)
        record[CLASS_NAME] = name
        return seen.index(label, name, chosen)

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
