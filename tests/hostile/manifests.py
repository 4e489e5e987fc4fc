"""Labels files that somebody made by mistake or on purpose, and what has to become of each.

Every file but the broken ones holds two good rows, of a.png and of b.png, around what is hostile.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

GOOD = ("a.png", "b.png")
MILLION = 10**6
SHA = "0" * 64


@dataclass(frozen=True)
class Case:
    """`refused` are (row, reason); of a file that is refused as a whole, `says` is a part of the message."""

    name: str
    labels: str
    content: bytes
    refused: tuple[tuple[int, str], ...] = ()
    says: str = ""

    def __str__(self) -> str:
        return self.name


def line(source: object = "a.png", label: object = 1, **more: object) -> str:
    return json.dumps({"source-ref": source, "k": label, "k-metadata": {}} | more)


def _between(name: str, hostile: str | bytes, reason: str) -> Case:
    """A manifest with something in its second line."""
    middle = hostile if isinstance(hostile, bytes) else hostile.encode()
    content = b"\n".join([line("a.png", 1).encode(), middle, line("b.png", 0).encode()])
    return Case(f"manifest: {name}", "m.manifest", content, ((2, reason),))


SOURCES = {
    "a parent": ("../secret.png", "path"),
    "a parent in the middle": ("x/../../secret.png", "path"),
    "a parent that comes back": ("x/../a.png", "path"),
    "absolute": ("/etc/passwd", "path"),
    "two slashes": ("//server/share/a.png", "path"),
    "a file URI": ("file:///etc/passwd", "path"),
    "a web address": ("https://example.com/a.png", "path"),
    "an upper-case scheme": ("S3://bucket/a.png", "path"),
    "another cloud": ("gs://bucket/a.png", "path"),
    "a foreign bucket": ("s3://foreign/other.png", "missing-file"),
    "a bucket alone": ("s3://bucket", "missing-file"),
    "a bucket and a slash": ("s3://bucket/", "missing-file"),
    "a key that climbs": ("s3://bucket/../../secret.png", "missing-file"),
    "a key with NUL": ("s3://bucket/a.png\0", "path"),
    "backslashes": ("..\\secret.png", "path"),
    "a drive": ("C:\\windows\\a.png", "path"),
    "a network path": ("\\\\server\\a.png", "path"),
    "NUL in the path": ("a.png\0.txt", "path"),
    "a line break in the path": ("a.png\nb.png", "path"),
    "an escape sequence": ("\x1b[2Ja.png", "path"),
    "half a character": ("a\ud83d.png", "path"),
    "a path of a million characters": ("x" * 90_000, "path"),
    "a key of many parts": ("s3://b/" + "x/" * 40_000, "path"),
    "a folder": ("folder", "missing-file"),
    "the batch itself": (".", "missing-file"),
    "the labels file": ("m.manifest", "missing-file"),
    "another case": ("A.PNG", "missing-file"),
    "percent signs": ("%2e%2e%2fsecret.png", "missing-file"),
    "a look-alike slash": ("..\u2215secret.png", "missing-file"),
    "a home": ("~/secret.png", "missing-file"),
    "a variable": ("$HOME/secret.png", "missing-file"),
    "a formula": ("=1+1.png", "formula"),
    "a command": ("@SUM(A1)|cmd", "formula"),
    "nothing": ("", "manifest-line"),
    "a number": (5, "manifest-line"),
    "a list": (["a.png"], "manifest-line"),
    "null": (None, "manifest-line"),
}

LABELS = {
    "two": 2,
    "minus one": -1,
    "a half": 0.5,
    "a text": "maybe",
    "nothing": "",
    "null": None,
    "not a number": float("nan"),
    "infinity": float("inf"),
    "the text nan": "nan",
    "underscored": "0_1",
    "an Arabic one": "\u0661",
    "a list": [1],
    "an object": {"label": 1},
    "nested": json.loads("[" * 900 + "]" * 900),
    "a large number": 10**300,
    "a large text": "1" * 50_000,
}

VALUES = {
    "a formula": ('=HYPERLINK("http://example.com")', "formula"),
    "a plus": ("+cmd|' /C calc'!A0", "formula"),
    "a minus": ("-2+3+cmd|' /C calc'!A0", "formula"),
    "an at sign": ("@SUM(1)", "formula"),
    "a formula after a tab": ("\t=1+1", "formula"),
    "a tab": ("\tx", "formula"),
    "a carriage return": ("\rx", "formula"),
    "a formula after a space": (" =1+1", "formula"),
    "a full-width formula": ("\uff1d1+1", "formula"),
    "minus infinity as text": ("-inf", "formula"),
    "a line break": ("x\ny", "manifest-line"),
    "NUL": ("x\0y", "manifest-line"),
    "a terminal's escape": ("\x1b]0;x\x07", "manifest-line"),
    "a C1 control": ("x\x9by", "manifest-line"),
    "half a character": ("x\udfff", "manifest-line"),
    "a huge text": ("x" * 10_001, "manifest-line"),
    "infinity": (float("inf"), "manifest-line"),
}

LINES: dict[str, tuple[str | bytes, str]] = {
    "no JSON": ("{broken", "manifest-line"),
    "cut off": (line()[:-5], "manifest-line"),
    "two objects": (line() + line(), "manifest-line"),
    "an array": ("[1, 2]", "manifest-line"),
    "a nesting bomb": ("[" * 50_000, "manifest-line"),
    "a nested object bomb": ('{"a":' * 10_000, "manifest-line"),
    "a million characters": ("x" * MILLION, "manifest-line"),
    "a million characters of JSON": (line(app="x" * MILLION), "manifest-line"),
    "a million characters without an end": (b"[" * MILLION, "manifest-line"),
    "an integer of many digits": ('{"source-ref":"a.png","k":' + "9" * 5000 + ',"k-metadata":{}}', "manifest-line"),
    "two labels in one object": ('{"source-ref":"a.png","k":1,"k":0,"k-metadata":{}}', "manifest-line"),
    "two sources in one object": ('{"source-ref":"a.png","source-ref":"b.png","k":1,"k-metadata":{}}', "manifest-line"),
    "two class names": (
        '{"source-ref":"a.png","k":1,"k-metadata":{"class-name":"positive","class-name":"negative"}}',
        "manifest-line",
    ),
    "no UTF-8": (b'{"source-ref":"\xff\xfe.png","k":1,"k-metadata":{}}', "manifest-line"),
    "UTF-16": (line().encode("utf-16"), "manifest-line"),
    "NUL bytes": (b"\0" * 100, "manifest-line"),
    "a raw control character": (line().replace("a.png", "a\x07.png"), "manifest-line"),
    "half a character in a name": (line(**{"x\ud83d": "y"}), "manifest-line"),
    "a name of a formula": (line(**{"=1+1": "y"}), "formula"),
    "a long name": (line(**{"x" * 101: "y"}), "manifest-line"),
    "very many keys": (line(**{f"k{n}": n for n in range(1000)}), "manifest-line"),
    "a group that is a list": (line(group=["a"]), "manifest-line"),
    "no label": ('{"source-ref":"a.png"}', "label"),
    "a label without metadata": ('{"source-ref":"a.png","k":1}', "label"),
    "two label attributes": (line(**{"l": 1, "l-metadata": {}}), "label"),
    "another class": (line(**{"k-metadata": {"class-name": "cat"}}), "label"),
    "a checksum that is none": (line(sha256="xyz"), "schema"),
    "a width below one": (line(width=-5), "schema"),
    "a width that is text": (line(width="wide"), "schema"),
    "a date that is none": (line(**{"captured-at": "2026-02-30"}), "schema"),
    "a confidence above one": (line(confidence=1.5), "schema"),
    "a locale of 201 characters": (line(locale="x" * 201), "schema"),
}

ROWS: dict[str, tuple[str | bytes, str]] = {
    "too few fields": ("a.png,1", "manifest-line"),
    "too many fields": ("a.png,1,x,y", "manifest-line"),
    "a value with a line break": ('a.png,1,"x\nb.png,1,y"', "manifest-line"),
    "rows hidden in a value": ('a.png,1,"' + "\na.png,0,injected" * 2000 + '"', "manifest-line"),
    "rows hidden behind a long line": ('a.png,1,"' + "x" * MILLION + '\na.png,0,injected\n"', "manifest-line"),
    "rows hidden behind a broken value": ('a.png,1,"x"y,"\na.png,0,injected\n"', "manifest-line"),
    "text after a closed quotation mark": ('a.png,1,"x"y', "manifest-line"),
    "a lone carriage return": ("a.png,1,x\rb.png,1,y", "manifest-line"),
    "NUL": (b"a.png,1,\0", "manifest-line"),
    "no UTF-8": (b"a.png,1,\xff", "manifest-line"),
    "a field of a million characters": ("a.png,1," + "x" * MILLION, "manifest-line"),
    "a field of 10,001 characters": ("a.png,1," + "x" * 10_001, "manifest-line"),
    "a quoted formula": ("a.png,1,\"=cmd|' /C calc'!A0\"", "formula"),
    "a parent": ("../secret.png,1,x", "path"),
    "the header again": ("path,label,app", "label"),
    "no path": (",1,x", "manifest-line"),
    "no label": ("a.png,,x", "label"),
}


def _rows() -> Iterator[Case]:
    for name, (text, reason) in ROWS.items():
        middle = text if isinstance(text, bytes) else text.encode()
        content = b"\n".join([b"path,label,app", b"a.png,1,x", middle, b"b.png,0,x"])
        yield Case(f"csv: {name}", "l.csv", content, ((3, reason),))


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _tables() -> Iterator[Case]:
    good = {"path": ["a.png", "b.png"], "label": [1, 0]}
    three = {"path": ["a.png", "../secret.png", "b.png"], "label": [1, 1, 0]}
    yield Case("parquet: a parent", "l.parquet", _parquet(pa.table(three)), ((2, "path"),))
    app = {"path": ["a.png", "a.png", "b.png"], "label": [1, 1, 0], "app": ["x", "=1+1", "y"]}
    yield Case("parquet: a formula", "l.parquet", _parquet(pa.table(app)), ((2, "formula"),))
    broken = {
        "cut off": (_parquet(pa.table(good))[:-20], "not a readable Parquet"),
        "empty": (b"", "not a readable Parquet"),
        "a footer that lies about its length": (b"PAR1" + b"\xff" * 8 + b"PAR1", "not a readable Parquet"),
        "a CSV": (b"path,label\na.png,1\n", "not a readable Parquet"),
        "text that is no UTF-8": (
            _parquet(pa.table({"path": pa.array([b"\xff"]).view(pa.string()), "label": [1]})),
            "not a readable Parquet",
        ),
        "bytes for a path": (_parquet(pa.table({"path": [b"a.png"], "label": [1]})), "a text is wanted"),
        "numbers for a path": (_parquet(pa.table({"path": [1], "label": [1]})), "a text is wanted"),
        "a list for a label": (_parquet(pa.table({"path": ["a.png"], "label": [[1]]})), "'label' is list"),
        "an object for an app": (_parquet(pa.table({**good, "app": [{"x": 1}] * 2})), "'app' is struct"),
        "no label": (_parquet(pa.table({"path": ["a.png"]})), "are wanted"),
        "201 columns": (_parquet(pa.table({**good, **{f"c{n}": [1, 1] for n in range(199)}})), "201 columns"),
        "a column twice": (_parquet(pa.table([["a.png"], [1], [0]], ["path", "label", "label"])), "twice"),
        "more rows than can be": (
            _parquet(pa.table({"path": pa.nulls(5_000_001, pa.string()), "label": pa.nulls(5_000_001)})),
            "more than 5,000,000 rows",
        ),
    }
    yield from (Case(f"parquet: {name}", "l.parquet", content, says=says) for name, (content, says) in broken.items())


def _broken_tables() -> Iterator[Case]:
    wide = ",".join(["path", "label", *(f"c{n}" for n in range(199))])
    broken = {
        "empty": (b"", "has the columns none"),
        "no text": (b"\xff\xfe\x00", "no text in UTF-8"),
        "a header of a million characters": (b"path,label," + b"x" * MILLION, "1,000,011 bytes"),
        "a header over two lines": (b'path,label,"a\nb"\na.png,1,x', "line 1"),
        "a column twice": (b"path,label,label\na.png,1,0", "twice"),
        "201 columns": (wide.encode(), "201 columns"),
        "a name that is a formula": (b"path,label,=1+1\na.png,1,x", "formula"),
        "a name of 101 characters": (b"path,label," + b"x" * 101, "101 characters"),
        "a quotation mark that is never closed": (b'path,label\na.png,1\n"b.png,0\na.png,1', "line 3"),
        "another separator": (b"path|label\na.png|1", "path|label"),
    }
    yield from (Case(f"csv: {name}", "l.csv", content, says=says) for name, (content, says) in broken.items())
    many = "\n".join(line(**{f"k{n}": "x"}) for n in range(201))
    yield Case("manifest: ever new columns", "m.manifest", many.encode(), says="row 201")


def cases() -> list[Case]:
    return [
        *(_between(f"source is {name}", line(source), reason) for name, (source, reason) in SOURCES.items()),
        *(_between(f"label is {name}", line(label=label), "label") for name, label in LABELS.items()),
        *(_between(f"value is {name}", line(app=value), reason) for name, (value, reason) in VALUES.items()),
        *(_between(name, text, reason) for name, (text, reason) in LINES.items()),
        *_rows(),
        *_tables(),
        *_broken_tables(),
    ]
