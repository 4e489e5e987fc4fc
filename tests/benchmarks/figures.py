"""Figures of the benchmarks: CPU time as a ratio to other work of the same run, beside the last landed ones.

A ratio carries over to a slower or busier machine, seconds do not. What it is a ratio to is `reference_work`, unless a
benchmark has a nearer reference, such as the floor of decoding.
"""

import hashlib
import os
import resource
import statistics
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

FILE = Path(__file__).with_name("figures.toml")
FACTOR = 1.5
HEAD = """\
# CPU time of the benchmarks as ratios to a reference of the same run; `load` is the machine's per core at the time.
# pytest -m benchmark -s compares with them, pytest -m benchmark --save-figures writes them.
"""


def cpu():
    """Return the CPU seconds of this process, all its threads, and of its children that have ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in usage)


def cpu_seconds(function, repeats):
    """Return the median CPU seconds of a call, and its last result."""
    times = []
    for _ in range(repeats):
        began = cpu()
        result = function()
        times.append(cpu() - began)
    return statistics.median(times), result


def reference_work():
    """Hash, loop, sort, join and group for half a second; a change here makes every landed figure worthless."""
    ids = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(100_000)]
    counts = {}
    for name in ids:
        counts[name[:3]] = counts.get(name[:3], 0) + int(name[3:8], 16)
    numbers = np.random.default_rng(17).random((len(ids), 8))
    frame = pd.DataFrame(numbers).assign(id=ids, group=[name[:4] for name in ids])
    frame.sort_values("id").merge(frame[["id"]], on="id").groupby("group")[list(range(8))].mean()
    np.sort(numbers, axis=None)


class Figures:
    """The figures of one run; a smoke measures none."""

    def __init__(self, file=FILE, *, smoke=False, reference=reference_work):
        self._file, self._smoke, self._reference = file, smoke, reference
        self._landed = tomllib.loads(file.read_text()) if file.exists() else {}
        self._measured = {}

    def record(self, name, seconds, *, beside=None):
        """Take CPU seconds as a ratio to those of `beside`, else to the reference work, done right now."""
        if not self._smoke:
            self._measured[name] = seconds / (beside or cpu_seconds(self._reference, 3)[0])

    def lines(self):
        """Return what became slower or faster by FACTOR or more, what the file lacks, and a sum."""
        if not self._measured:
            return
        for name, ratio in self._measured.items():
            if name not in self._landed:
                yield f"not landed yet: {name} {ratio:.3g}"
                continue
            landed = self._landed[name]
            change, then = ratio / landed["ratio"], f"{landed['ratio']:.3g} on {landed['date']}"
            if change > FACTOR:
                yield f"{change:.1f} times SLOWER: {name} {ratio:.3g}, was {then}"
            elif change < 1 / FACTOR:
                yield f"{1 / change:.1f} times faster: {name} {ratio:.3g}, was {then}"
        yield f"{len(self._measured)} figures compared with {self._file.name}; no time fails a benchmark"

    def save(self):
        """Write the measured figures to the file, beside those that this run did not measure."""
        now, load = datetime.now(UTC).date(), round(os.getloadavg()[0] / (os.cpu_count() or 1), 1)
        new = {name: {"ratio": ratio, "date": now, "load": load} for name, ratio in self._measured.items()}
        rows = [
            f'"{name}" = {{ ratio = {row["ratio"]:#.3g}, date = {row["date"]}, load = {row["load"]} }}\n'
            for name, row in sorted((self._landed | new).items())
        ]
        self._file.write_text(HEAD + "".join(rows))
