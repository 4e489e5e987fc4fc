"""A million labelled records from the inbox to a plan, and what a second night with a thousand new ones costs.

Run with: pytest tests/benchmarks/test_snapshot.py -m benchmark -s
"""

import json
import subprocess
import sys

import pytest

from tests.benchmarks import nights
from tests.benchmarks.nights import know, write_labels

RECORDS, FEW, NEW = 1_000_000, 10_000, 1_000


def night(folder, drop, first, count):
    """Drop a batch and hold its night in a process of its own; nothing of an earlier one is in its memory."""
    write_labels(folder, drop, first, count)
    words = [sys.executable, nights.__file__, folder, drop, first, count]
    run = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)
    took = json.loads(run.stdout)
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


@pytest.mark.benchmark
def test_a_million_records_and_a_second_night(tmp_path):
    totals = {}
    for old in (FEW, RECORDS):
        folder = tmp_path / str(old)
        print(f"On top of {old:,} records:", flush=True)
        first = night(folder, "first", 0, old)
        assert first["new_parts"] == 1
        know(folder)
        for number, drop in enumerate(("second", "third"), start=2):
            took = night(folder, drop, number * 10**7, NEW)
            assert (took["new_parts"], took["batches"]) == (1, number)
            totals[old, drop] = took["total"], took["cpu"]
            know(folder)
    for drop in ("second", "third"):
        wall, cpu = (now / then for now, then in zip(totals[RECORDS, drop], totals[FEW, drop], strict=True))
        print(f"{drop} night, on {RECORDS:,} to on {FEW:,}: {cpu:.2f} times the CPU, {wall:.2f} times as long")
