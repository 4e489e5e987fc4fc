"""A labels file as records: the rows of a manifest (JSON Lines), a CSV or a Parquet table as plain mappings.

Whoever wrote the file may be mistaken or mean harm: no line, value or table is read beyond its bound, and what cannot
be read costs its row, not the file.
"""

import codecs
import csv
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from steps.core.common.errors import UserError
from steps.core.common.text import printable
from steps.core.dataset.paths import is_text
from steps.core.dataset.splits import GROUP_KEYS

MANIFEST_SUFFIXES = (".manifest", ".jsonl")
TABLE_SUFFIXES = (".parquet", ".csv")
MAX_ROWS = 5_000_000
MAX_COLUMNS = 200
MAX_NAME_CHARACTERS = 100
MAX_FIELD_CHARACTERS = 10_000
MAX_LINE_CHARACTERS = 100_000  # bytes, of which no character has less than one
MAX_TABLE_BYTES = 2 << 30
SOURCE_KEYS = ("source-ref", "source_ref", "path", "image")
_CHUNK = 1 << 20
_BATCH_ROWS = 20_000
_INDEX = re.compile(r"__index_level_\d+__")  # pandas puts an index without a name there
# What a spreadsheet takes for a formula: https://owasp.org/www-community/attacks/CSV_Injection. A dash alone, which
# many write for "nothing", is none.
_FORMULA_STARTS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
_NUMBER_OR_DASH = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|-", re.ASCII)
_SEPARATORS = (",", ";", "\t")
# Types of Parquet columns: texts, what is written as a text, and all that are read.
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_WRITTEN = (pa.types.is_date, pa.types.is_timestamp, pa.types.is_decimal)
_PLAIN = (*_TEXTS, *_WRITTEN, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_KNOWN_COLUMNS = frozenset({"label", "waive", "by", "reason", "sha256", "class-name", *SOURCE_KEYS, *GROUP_KEYS})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class RowError(ValueError):
    """Why a row is refused."""

    def __init__(self, detail: str, reason: str = "manifest-line") -> None:
        super().__init__(detail)
        self.reason = reason


class EncodingError(RowError):
    """A line that is no text in UTF-8."""


class _LongLineError(RowError):
    """A line too long to be read, with the number of its quotation marks."""

    def __init__(self, length: int, quotes: int) -> None:
        super().__init__(f"the line is {length:,} bytes long; {MAX_LINE_CHARACTERS:,} is the most")
        self.quotes = quotes


Records: TypeAlias = Iterator[tuple[int, dict[str, Any] | RowError]]


def read_records(path: Path, *, review: bool) -> Records:
    """Yield every row with its number, as a mapping or as the error that refuses it; `review` asks for fewer columns.

    Raises UserError if the file as a whole cannot be read.
    """
    readers = {".parquet": _parquet_records, ".csv": _csv_records}
    suffix = path.suffix.lower()
    return readers[suffix](path, review=review) if suffix in readers else _manifest_records(path)


def is_formula(text: str) -> bool:
    """Tell whether a spreadsheet would run a text; numbers with a sign are none."""
    return text[:1] in _FORMULA_STARTS and not _NUMBER_OR_DASH.fullmatch(text)


def check_name(name: str) -> None:
    if len(name) > MAX_NAME_CHARACTERS:
        raise RowError(f"a column's name is {len(name):,} characters long; {MAX_NAME_CHARACTERS} is the most")
    check_text("a column's name", name, name.strip())


def is_ordinary(value: str, stripped: str) -> bool:
    """Tell at a glance of most texts that `check_text` has nothing against them."""
    return value.isprintable() and stripped[:1] not in _FORMULA_STARTS and len(value) <= MAX_FIELD_CHARACTERS


def check_text(what: str, value: str, stripped: str) -> None:
    """Raise unless a text can be kept, shown, and exported to a spreadsheet without doing anything there."""
    if len(value) > MAX_FIELD_CHARACTERS:
        raise RowError(f"{printable(what, 80)} is {len(value):,} characters long; {MAX_FIELD_CHARACTERS:,} is the most")
    if is_ordinary(value, stripped):
        return
    if not is_text(value) and "\0" not in value:
        raise RowError(f"{printable(what, 80)} is no text in UTF-8")
    if value[:1] in ("\t", "\r") or is_formula(stripped):
        raise RowError(f"{printable(what, 80)} {printable(value, 80)!r} is a formula to a spreadsheet", "formula")
    if found := _CONTROL.search(value):
        raise RowError(f"{printable(what, 80)} has the control character U+{ord(found[0]):04X}")


def _lines(path: Path) -> Iterator[tuple[int, bytes | _LongLineError]]:
    """Yield every line with its number; of one that is too long nothing is kept."""
    try:
        with path.open("rb") as stream:
            row = 0
            while line := stream.readline(MAX_LINE_CHARACTERS + 1):
                row += 1
                _check_rows(path, row)
                yield row, line if len(line) <= MAX_LINE_CHARACTERS else _skip(stream, line)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def _skip(stream: BinaryIO, chunk: bytes) -> _LongLineError:
    length, quotes = len(chunk), chunk.count(b'"')
    while not chunk.endswith(b"\n") and (chunk := stream.readline(_CHUNK)):
        length, quotes = length + len(chunk), quotes + chunk.count(b'"')
    return _LongLineError(length, quotes)


def _decoded(line: bytes) -> str:
    try:
        return line.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        why = "UTF-16" if line.startswith(_UTF_16) else f"{error.reason} at byte {error.start + 1} of the line"
        raise EncodingError(f"no text in UTF-8 ({why}): save the file as UTF-8, in Excel as `CSV UTF-8`") from None


def _manifest_records(path: Path) -> Records:
    for row, line in _lines(path):
        if isinstance(line, RowError):
            yield row, line
        elif line.strip():
            yield row, _json_record(line)


def _json_record(line: bytes) -> dict[str, Any] | RowError:
    try:
        record = _JSON.decode(_decoded(line))
    except RowError as error:
        return error
    except (ValueError, RecursionError) as error:
        return RowError(f"not a line of JSON: {error}")
    if not isinstance(record, dict):
        return RowError(f"a JSON object is wanted, not {type(record).__name__}")
    if len(record) > MAX_COLUMNS:
        return RowError(f"the line has {len(record):,} keys; {MAX_COLUMNS} is the most")
    return record


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        names = Counter(key for key, _ in pairs)
        raise RowError(f"the key {printable(names.most_common(1)[0][0], 80)!r} stands twice: which one counts?")
    return record


_JSON = json.JSONDecoder(object_pairs_hook=_once)


def _csv_records(path: Path, *, review: bool) -> Records:
    lines = _lines(path)
    first = next(lines, (1, b""))[1]
    separator = _separator(first)
    names, still_open = _fields(first, separator)
    if still_open or isinstance(names, RowError):
        raise UserError(f"{path}, line 1: the names of the columns cannot be read ({names})")
    columns = [column_name(name) for name in names]
    # Spreadsheets write columns without a name, and pandas its index; they say nothing that has a name.
    _check_columns(path, [name for name in columns if name], review=review)
    for row, line in lines:
        fields, still_open = _fields(line, separator)
        if still_open:
            yield row, _closing(path, row, lines)
        elif isinstance(fields, RowError):
            yield row, fields
        elif not any(fields) or not any(map(str.strip, fields)):
            continue  # a spreadsheet's empty line
        elif len(fields) != len(columns):
            yield row, RowError(f"the row has {len(fields)} fields, the header {len(columns)}")
        else:
            record = dict(zip(columns, fields, strict=True))
            record.pop("", None)
            yield row, record


def _separator(header: bytes | _LongLineError) -> str:
    """Return what separates a table's columns: where commas are decimal, spreadsheets write semicolons or tabs."""
    if isinstance(header, bytes):
        for separator in _SEPARATORS:
            names, _ = _fields(header, separator)
            if not isinstance(names, RowError) and {*map(column_name, names)} & {"label", "waive"} and len(names) > 1:
                return separator
    return _SEPARATORS[0]


def column_name(name: str) -> str:
    """Return a column's name in the form in which columns are compared; the known ones without regard to case."""
    name = in_one_form(name.strip())
    folded = name.casefold().replace("class_name", "class-name")
    return folded if folded in _KNOWN_COLUMNS else name


def in_one_form(text: str) -> str:
    """Return a text with its accents composed (NFC): a Mac writes file names otherwise than a spreadsheet."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _fields(line: bytes | _LongLineError, separator: str) -> tuple[list[str] | RowError, bool]:
    """Return a line's fields, and whether it ends in a quoted one, which then goes on in the next line.

    Each line is parsed for itself: no value may have a line break, and so a missing quotation mark fills no memory.
    """
    if isinstance(line, _LongLineError):
        return line, line.quotes % 2 == 1
    try:
        # The second line closes what the first leaves open; the reader only takes it if there is such a thing.
        reader = csv.reader((_decoded(line).rstrip("\r\n"), '"'), strict=True, delimiter=separator)
        return next(reader), reader.line_num > 1
    except EncodingError as error:
        return error, line.count(b'"') % 2 == 1
    except csv.Error as error:
        return RowError(str(error)), line.count(b'"') % 2 == 1


def _closing(path: Path, row: int, lines: Iterator[tuple[int, bytes | _LongLineError]]) -> RowError:
    """Pass over the rest of a quoted value: its text must not become rows, whoever wrote it."""
    for last, line in lines:
        quotes = line.quotes if isinstance(line, _LongLineError) else line.count(b'"')
        if quotes % 2:
            return RowError(f"one value reaches from line {row} to {last}: a line break or a quotation mark too few")
    raise UserError(f"{path}, line {row}: a quotation mark is never closed, so the rows after it cannot be read")


def _parquet_records(path: Path, *, review: bool) -> Records:
    try:
        with pq.ParquetFile(path) as file:
            columns = _parquet_columns(path, file, review=review)
            texts = [name for name in columns if _is(file.schema_arrow.field(name).type, _TEXTS)]
        row, names = 0, [column_name(name) for name in columns]
        # As dictionaries, for a text that stands in a million rows is only once in the file.
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False):
                values = [_values(batch.column(name)) for name in columns]
                for record in zip(*values, strict=True):
                    row += 1
                    _check_rows(path, row)
                    if any(record) or any(value is not None for value in record):
                        yield row, dict(zip(names, record, strict=True))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{path} is not a readable Parquet table: {printable(str(error))}") from None


def _parquet_columns(path: Path, file: Any, *, review: bool) -> list[str]:
    """Return the columns to read: those of plain values. Raises UserError for a table that is too large to read."""
    groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
    _check_rows(path, max(file.metadata.num_rows, sum(group.num_rows for group in groups)))
    if (size := sum(group.total_byte_size for group in groups)) > MAX_TABLE_BYTES:
        raise UserError(f"{path} unpacks to {size:,} bytes; {MAX_TABLE_BYTES:,} is the most: add it in several parts")
    schema = file.schema_arrow
    columns = [field.name for field in schema if field.name and not _INDEX.fullmatch(field.name)]
    _check_columns(path, [column_name(name) for name in columns], review=review)
    types = {column_name(name): schema.field(name).type for name in columns}
    for name in ("label", *GROUP_KEYS):
        if name in types and not _is(types[name], _PLAIN):
            raise UserError(f"{path}: the column {name!r} is {types[name]}, a text or a number is wanted")
    sources = [name for name in SOURCE_KEYS if name in types]
    if sources and not any(_is(types[name], _TEXTS) for name in sources):
        raise UserError(f"{path}: the column {sources[0]!r} is {types[sources[0]]}, a text is wanted")
    return [name for name in columns if _is(schema.field(name).type, _PLAIN)]


def _is(kind: Any, checks: Iterable[Callable[[Any], bool]]) -> bool:
    """Tell whether a Parquet column's values, packed into a dictionary or not, are of one of these types."""
    unpacked = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(check(unpacked) for check in checks)


def _values(column: Any) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        # The dictionary may be that of a million rows: only the words of these are unpacked, each once.
        used = column.indices.dictionary_encode()
        words = _values(column.dictionary.take(used.dictionary))
        return [None if index is None else words[index] for index in used.indices.to_pylist()]
    return list((column.cast(pa.string()) if _is(column.type, _WRITTEN) else column).to_pylist())


def _check_rows(path: Path, rows: int) -> None:
    if rows > MAX_ROWS:
        raise UserError(f"{path} has more than {MAX_ROWS:,} rows: add it in several parts")


def _check_columns(path: Path, columns: list[str], *, review: bool) -> None:
    if len(columns) > MAX_COLUMNS:
        raise UserError(f"{path} has {len(columns):,} columns; {MAX_COLUMNS} is the most")
    try:
        for name in columns:
            check_name(name)
    except RowError as error:
        raise UserError(f"{path}: {error}; rename the column") from None
    if twice := [name for name, times in Counter(columns).items() if times > 1]:
        raise UserError(f"{path} has the column {twice[0]!r} twice: which one counts?")
    sources = SOURCE_KEYS + (("sha256",) if review else ())
    if not {"label", *(("waive",) if review else ())} & set(columns) or not set(columns) & set(sources):
        raise UserError(
            f"{path} has the columns {', '.join(columns[:20]) or 'none'}; "
            f"'label' and one of {', '.join(sources)} are wanted"
        )
