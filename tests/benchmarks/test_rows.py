"""What it costs to read labelled rows and join them to their files, no image opened, and to verify their batches.

Run with: pytest tests/benchmarks/test_rows.py -m benchmark -s
"""

import pandas as pd
import pytest

from steps.core.dataset.classes import Classes
from steps.core.dataset.labels import read_labels
from steps.core.dataset.paths import Files
from steps.core.dataset.row_schema import check_rows
from steps.core.dataset.rows import check_batch, digest_of, read_rows
from steps.core.dataset.snapshot import Batch
from tests.benchmarks.figures import cpu_seconds
from tests.benchmarks.labelled_rows import listing, records, write_manifest

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize("labels", ["m.manifest", "l.csv", "l.parquet"])
def test_rows_from_the_labels_file_to_the_checked_table(tmp_path, labels, sizes, figures):
    """Prints medians of CPU seconds, in all and of the parts that can be called alone; the table is the rest."""
    count, repeats = sizes(full=(100_000, 3), smoke=(200, 1))
    files = listing(count)
    lines = records(files)
    if labels == "m.manifest":
        write_manifest(tmp_path / labels, lines)
    else:
        frame = pd.DataFrame(lines).drop(columns="kind-metadata").rename(columns={"kind": "label"})
        (frame.to_csv if labels == "l.csv" else frame.to_parquet)(tmp_path / labels, index=False)
    batch, classes = Batch("b-1", labels, "0" * 64), Classes()
    in_all, (frame, refused) = cpu_seconds(lambda: read_rows(batch, tmp_path, files, classes, None), repeats)
    reading, rows = cpu_seconds(lambda: list(read_labels(tmp_path, labels, classes)), repeats)
    refs = [row.source_ref for row in rows]
    locating, _ = cpu_seconds(lambda: [known.locate(ref) for known in [Files.of(files)] for ref in refs], repeats)
    checking, _ = cpu_seconds(lambda: check_rows(frame), repeats)
    assert (len(frame), refused) == (count, [])
    rest = in_all - reading - locating - checking
    print(
        f"\n{labels}: {count:,} rows of {(tmp_path / labels).stat().st_size / count:.0f} bytes in {in_all:.2f} CPU s: "
        f"reading and parsing {reading:.2f}, locating {locating:.2f}, schema {checking:.2f}, table {rest:.2f}"
    )
    figures.record(f"rows: {count:,} of {labels}", in_all)


@pytest.mark.parametrize("batches", [1, 10, 100])
def test_every_batch_held_against_its_digest_beside_reading_its_rows(tmp_path, batches, sizes, figures):
    """Prints CPU seconds of what a night does to all batches again, and to how much of the reading they come."""
    count, read = sizes(full=(1_000_000, 100_000), smoke=(200, 100))
    files = listing(count)
    made = []
    for number in range(batches):
        mine, folder = files[number::batches], tmp_path / str(number)
        folder.mkdir()
        write_manifest(folder / "m.manifest", records(mine))
        made.append((Batch(str(number), "m.manifest", digest_of("m.manifest", folder, mine)), folder, mine))
    verifying, _ = cpu_seconds(lambda: [check_batch(*one) for one in made], 3)
    batch, _, _ = made[0]
    write_manifest(tmp_path / "m.manifest", records(files[:read]))
    reading, _ = cpu_seconds(lambda: read_rows(batch, tmp_path, files[:read], Classes(), None), 1)
    in_all = reading / read * count
    print(
        f"\n{count:,} rows in {batches} batches: verified in {verifying:.2f} CPU s, {verifying / in_all:.1%} of the "
        f"{in_all:.0f} CPU s that reading them takes"
    )
    figures.record(f"digests: {count:,} rows in {batches} batches to reading them", verifying, beside=in_all)
