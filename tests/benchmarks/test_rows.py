"""What it costs to read 100,000 labelled rows and join them to their files, no image opened.

Run with: pytest tests/benchmarks/test_rows.py -m benchmark -s
"""

import hashlib
import json
import statistics
import time

import pandas as pd
import pytest

from steps.core.dataset.classes import Classes
from steps.core.dataset.labels import read_labels
from steps.core.dataset.paths import Files
from steps.core.dataset.row_schema import check_rows
from steps.core.dataset.rows import read_rows
from steps.core.dataset.snapshot import Batch

ROWS = 100_000
REPEATS = 3


def listing():
    ids = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(ROWS)]
    paths = [f"images/{number % 100:02}/{name[:20]}.png" for number, name in enumerate(ids)]
    return pd.DataFrame({"path": paths, "sha256": ids, "bytes": 100_000})


def record(number, path, sha256):
    """One line as Ground Truth writes it, with eight columns more; every other source is an S3 URI."""
    name = "positive" if number % 2 else "negative"
    metadata = {"class-name": name, "confidence": 0.93, "type": "groundtruth/image-classification", "job-name": "job"}
    return {
        "source-ref": f"s3://bucket/labelling/{path}" if number % 2 else path,
        "kind": number % 2,
        "kind-metadata": {**metadata, "human-annotated": "yes", "creation-date": "2026-11-23T21:48:33"},
        "app": f"app-{number % 700}",
        "device": "Pixel 9",
        "locale": "de-DE",
        "captured-at": "2026-11-23T21:48:33Z",
        "sha256": sha256,
        "width": 1080,
        "height": 2400,
        "worker": f"w-{number % 7}",
    }


def seconds(function):
    """Return the median CPU seconds of a call, and its result."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        result = function()
        times.append(time.process_time() - began)
    return statistics.median(times), result


@pytest.mark.benchmark
@pytest.mark.parametrize("labels", ["m.manifest", "l.csv", "l.parquet"])
def test_a_hundred_thousand_rows_from_the_labels_file_to_the_checked_table(tmp_path, labels):
    """Prints medians of CPU seconds, in all and of the parts that can be called alone; the table is the rest."""
    files = listing()
    records = [record(number, *pair) for number, pair in enumerate(zip(files["path"], files["sha256"], strict=True))]
    if labels == "m.manifest":
        (tmp_path / labels).write_text("".join(json.dumps(line) + "\n" for line in records))
    else:
        frame = pd.DataFrame(records).drop(columns="kind-metadata").rename(columns={"kind": "label"})
        (frame.to_csv if labels == "l.csv" else frame.to_parquet)(tmp_path / labels, index=False)
    batch, classes = Batch("b-1", labels, "0" * 64), Classes()
    in_all, (frame, refused) = seconds(lambda: read_rows(batch, tmp_path, files, classes, None))
    reading, rows = seconds(lambda: list(read_labels(tmp_path, labels, classes)))
    refs = [row.source_ref for row in rows]
    locating, _ = seconds(lambda: [known.locate(ref) for known in [Files.of(files)] for ref in refs])
    checking, _ = seconds(lambda: check_rows(frame))
    assert (len(frame), refused) == (ROWS, [])
    rest = in_all - reading - locating - checking
    print(
        f"\n{labels}: {ROWS:,} rows of {(tmp_path / labels).stat().st_size / ROWS:.0f} bytes in {in_all:.2f} CPU s: "
        f"reading and parsing {reading:.2f}, locating {locating:.2f}, schema {checking:.2f}, table {rest:.2f}"
    )
