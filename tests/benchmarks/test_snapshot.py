"""A million labelled records from the inbox to a plan, and what a second night with a thousand new ones costs.

Run with: pytest tests/benchmarks/test_snapshot.py -m benchmark -s
"""

import json

import pytest

from tests.benchmarks.nights import know, write_labels
from tests.benchmarks.own_process import run

pytestmark = pytest.mark.benchmark

CODE = """
import sys
from pathlib import Path
from nights import main
main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
"""


def night(folder, drop, first, count):
    """Drop a batch and hold its night in a process of its own; nothing of an earlier one is in its memory."""
    write_labels(folder, drop, first, count)
    took = json.loads(run(CODE, folder, drop, first, count))
    seconds = ", ".join(f"{name} {value:.2f} s" for name, value in took["seconds"].items())
    print(
        f"{count:>9,} records: {took['total']:6.2f} s ({took['cpu']:.2f} s of CPU, one core; {seconds}), "
        f"peak {took['peak_mb']['plan']:.0f} MB, "
        f"{took['imported_mb']:.0f} MB of it the program; {took['calls']}",
        flush=True,
    )
    assert took["to_cut"] == count
    assert f"{count:,} of {count:,} rows usable" in took["told"][0]
    return took


def test_a_million_records_and_later_nights(tmp_path, sizes, figures):
    """Prints what nights cost on a few and on many records; a later night may not cost what is there already."""
    few, many, new, drops = sizes(full=(10_000, 1_000_000, 1_000, ("second", "third")), smoke=(20, 20, 10, ("second",)))
    spent = {}
    for old in dict.fromkeys((few, many)):
        folder = tmp_path / str(old)
        print(f"On top of {old:,} records:", flush=True)
        first = night(folder, "first", 0, old)
        assert first["new_parts"] == 1
        spent[old, "first"] = first
        know(folder)
        for number, drop in enumerate(drops, start=2):
            took = night(folder, drop, number * 10**7, new)
            assert (took["new_parts"], took["described"], took["batches"]) == (1, 1, number)
            spent[old, drop] = took
            know(folder)
    figures.record(f"snapshot: first night, {many:,} records", spent[many, "first"]["cpu"])
    for drop in drops:
        cpu, wall = (spent[many, drop][unit] / spent[few, drop][unit] for unit in ("cpu", "total"))
        print(f"{drop} night, on {many:,} to on {few:,}: {cpu:.2f} times the CPU, {wall:.2f} times as long")
        figures.record(f"snapshot: {drop} night, {new:,} records on {many:,}", spent[many, drop]["cpu"])
