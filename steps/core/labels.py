"""Labelled data as it comes in: a Ground Truth output manifest, a CSV or Parquet table, or a folder for each class.

The manifest is SageMaker's augmented manifest (JSON Lines): `source-ref`, a label attribute `X` and `X-metadata`; see
https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html. Unknown keys pass through as slice columns.
"""

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from steps.core.classes import Classes, LabelError
from steps.core.errors import UserError
from steps.core.paths import is_text
from steps.core.splits import GROUP_KEYS

MANIFEST_SUFFIXES = (".manifest", ".jsonl")
TABLE_SUFFIXES = (".parquet", ".csv")
FOLDER_PER_CLASS = "."
MAX_LINE_CHARACTERS = 100_000
CLASS_NAME = "class-name"
_SOURCE_KEYS = ("source-ref", "source_ref", "path", "image")


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One labelled screenshot: `row` counts from 1 in its file, `label` is 0 or 1, `slices` holds the other columns."""

    row: int
    source_ref: str
    label: int
    slices: Mapping[str, str] = field(default_factory=dict)


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
    for suffixes in (MANIFEST_SUFFIXES, (".parquet",), (".csv",)):
        found = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in suffixes and p.is_file())
        if len(found) > 1:
            raise UserError(f"{folder} holds several labels files ({', '.join(found)}): name the one to use")
        if found:
            return found[0]
    if (folder / classes.negative).is_dir() or (folder / classes.positive).is_dir():
        return FOLDER_PER_CLASS
    raise UserError(
        f"{folder} holds no labelled data: a Ground Truth manifest (*.manifest, *.jsonl), a table (*.parquet, *.csv) "
        f"or the folders {classes.negative!r} and {classes.positive!r} are wanted"
    )


def read_labels(
    folder: Path, labels: str, classes: Classes, attribute: str | None = None
) -> Iterator[LabelledRow | RefusedRow]:
    """Yield every row of `folder / labels`, refused ones among them; nothing is dropped and nothing is opened.

    `attribute` names the manifest's label attribute where it has several. Raises UserError if the file as a whole
    cannot be read.
    """
    path = folder / labels
    if labels == FOLDER_PER_CLASS:
        yield from _folder_per_class(folder, classes)
    elif not path.is_file():
        raise UserError(f"the labels file {path} is missing")
    elif path.suffix.lower() in MANIFEST_SUFFIXES:
        yield from _manifest(path, classes, attribute)
    elif path.suffix.lower() in TABLE_SUFFIXES:
        yield from _table(path, classes)
    else:
        raise UserError(f"{path.name}: wanted one of {', '.join(MANIFEST_SUFFIXES + TABLE_SUFFIXES)}")


def _folder_per_class(folder: Path, classes: Classes) -> Iterator[LabelledRow | RefusedRow]:
    """Take every file but hidden ones, whatever its name: what is no image is refused later, not passed over."""
    files = (p.relative_to(folder) for p in folder.rglob("*") if not p.is_dir())
    visible = sorted(p for p in files if not any(part.startswith(".") for part in p.parts))
    for row, path in enumerate(visible, start=1):
        source = path.as_posix()
        try:
            label = classes.index(path.parts[0] if len(path.parts) > 1 else "")
        except LabelError:
            wanted = f"{classes.negative!r} or {classes.positive!r}"
            yield RefusedRow(row, _printable(source), "label", f"the file lies in no folder named {wanted}")
        else:
            yield LabelledRow(row, source, label)


def _manifest(path: Path, classes: Classes, attribute: str | None) -> Iterator[LabelledRow | RefusedRow]:
    with path.open("rb") as stream:
        for row, raw in enumerate(stream, start=1):
            if not raw.strip():
                continue
            source = ""
            try:
                record = _parse_line(raw)
                source = _take_source(record)
                label, other = _take_label(record, classes, attribute)
                yield LabelledRow(row, source, label, _slices(other))
            except (LabelError, _BadRowError) as error:
                reason = "label" if isinstance(error, LabelError) else "manifest-line"
                yield RefusedRow(row, _printable(source), reason, str(error))


class _BadRowError(ValueError):
    """A row that does not even have the form of one."""


def _parse_line(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_LINE_CHARACTERS:
        raise _BadRowError(f"the line is {len(raw):,} bytes long; {MAX_LINE_CHARACTERS:,} is the most")
    try:
        record = json.loads(raw.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _BadRowError(f"not a line of JSON in UTF-8: {error}") from None
    if not isinstance(record, dict):
        raise _BadRowError(f"a JSON object is wanted, not {type(record).__name__}")
    return record


def _take_label(record: dict[str, Any], classes: Classes, attribute: str | None) -> tuple[int, dict[str, Any]]:
    pairs = [key for key in record if f"{key}-metadata" in record]
    if attribute is not None:
        pairs = [key for key in pairs if key == attribute]
    if len(pairs) != 1:
        wanted = repr(attribute) if attribute else "exactly one"
        raise LabelError(f"label attributes {pairs or 'none'}; {wanted} with its -metadata is wanted")
    metadata = record[f"{pairs[0]}-metadata"]
    name = metadata.get("class-name") if isinstance(metadata, dict) else None
    other = {k: v for k, v in record.items() if k not in (pairs[0], f"{pairs[0]}-metadata")}
    if isinstance(name, str):
        return classes.named_index(name, record[pairs[0]]), other | {CLASS_NAME: name}
    return classes.index(record[pairs[0]]), other


def _take_source(record: dict[str, Any]) -> str:
    for key in _SOURCE_KEYS:
        value = record.pop(key, None)
        if isinstance(value, str) and value:
            return value
    raise _BadRowError(f"no image: one of the keys {', '.join(_SOURCE_KEYS)} must hold its path")


def _slices(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the other columns as text; a group that is not one is refused, for its app would leak between splits."""
    slices = {}
    for key, value in record.items():
        scalar = isinstance(value, str | int | float | bool)
        if key in GROUP_KEYS and value is not None and not scalar:
            raise _BadRowError(f"{key} is {type(value).__name__}, a text or a number is wanted")
        if scalar and not _missing(value):
            whole = isinstance(value, float) and value.is_integer()
            slices[str(key)] = str(int(value)) if whole else str(value).strip()
    if not all(is_text(text) for pair in slices.items() for text in pair):
        raise _BadRowError("a value is no text in UTF-8")
    return slices


def _missing(value: Any) -> bool:
    return (isinstance(value, str) and not value.strip()) or (isinstance(value, float) and math.isnan(value))


def _printable(source: str) -> str:
    return source.encode(errors="replace").decode()


def _table(path: Path, classes: Classes) -> Iterator[LabelledRow | RefusedRow]:
    for row, record in _table_records(path):
        source = ""
        if isinstance(record, str):
            yield RefusedRow(row, source, "manifest-line", record)
            continue
        try:
            source = _take_source(record)
            label = classes.index(record.pop("label", None))
            yield LabelledRow(row, source, label, _slices(record))
        except (LabelError, _BadRowError) as error:
            reason = "label" if isinstance(error, LabelError) else "manifest-line"
            yield RefusedRow(row, _printable(source), reason, str(error))


def _table_records(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    if path.suffix.lower() == ".parquet":
        try:
            frame = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is not a readable Parquet table: {error}") from None
        _check_columns(path, [str(name) for name in frame.columns])
        for row, record in enumerate(frame.to_dict("records"), start=1):
            yield row, {str(k): v for k, v in record.items()}
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = list(reader.fieldnames or [])
            _check_columns(path, columns)
            for record in reader:
                # Line 1 is the header, so the first record's line is where a person's editor shows it.
                if None in record or None in record.values():
                    yield reader.line_num, f"the row's number of fields is not the header's ({len(columns)})"
                else:
                    yield reader.line_num, {str(k): v for k, v in record.items()}
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a readable CSV in UTF-8: {error}") from None


def _check_columns(path: Path, columns: list[str]) -> None:
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise UserError(f"{path} has the column {twice[0]!r} twice: which one counts?")
    if "label" not in columns or not set(columns) & set(_SOURCE_KEYS):
        raise UserError(
            f"{path} has the columns {', '.join(columns) or 'none'}; "
            f"'label' and one of {', '.join(_SOURCE_KEYS)} are wanted"
        )
