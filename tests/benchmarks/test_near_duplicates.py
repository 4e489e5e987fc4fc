"""What finding near-duplicates among a million hashes costs.

Run with: pytest tests/benchmarks/test_near_duplicates.py -m benchmark -s
"""

import json
import subprocess
import sys

import numpy as np
import pytest

HASHES = 1_000_000
EQUAL, CENTRES, AROUND = 20_000, 50, 1_000
PLANTED = 20_000
# A process of its own, because the most memory that one ever held cannot be set back.
CODE = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
from steps.validate.near_duplicates import pairs_within
def peak():
    # ru_maxrss would be the parent's, where that is larger: a new process inherits it.
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
hashes = np.load(sys.argv[1])
pairs_within(hashes[:100])
before, began = peak(), time.process_time()
pairs = pairs_within(hashes)
seconds = time.process_time() - began
extra = peak() - before
np.save(sys.argv[2], np.stack([hashes[pairs.a], hashes[pairs.b]]))
print(json.dumps({"seconds": seconds, "extra": extra, "pairs": len(pairs.a)}))
"""


def flipped(rng, hashes, most):
    """Flip up to `most` different bits of each hash."""
    bits = np.argsort(rng.random((len(hashes), 64)), axis=1)[:, :most].astype(np.uint64)
    chosen = np.arange(most) < rng.integers(0, most + 1, len(hashes))[:, None]
    return hashes ^ np.bitwise_or.reduce(np.where(chosen, np.uint64(1) << bits, np.uint64(0)), axis=1)


def hashes_with_crowds(rng):
    """Return hashes, shuffled, and planted pairs [2, PLANTED] at distances 0 to 3; a quarter of them lies in crowds."""
    centres = rng.integers(0, 2**64, CENTRES, np.uint64)
    equal = np.full(EQUAL, rng.integers(0, 2**64, dtype=np.uint64))
    crowds = flipped(rng, np.repeat(centres, AROUND), 5)
    alone = rng.integers(0, 2**64, HASHES - EQUAL - len(crowds) - PLANTED, np.uint64)
    sources = np.concatenate([rng.choice(alone, PLANTED * 3 // 4), rng.choice(crowds, PLANTED // 4)])
    planted = np.stack([sources, flipped(rng, sources, 3)])
    hashes = np.concatenate([equal, crowds, alone, planted[1]])
    rng.shuffle(hashes)
    return hashes, planted


@pytest.mark.benchmark
def test_a_million_hashes_with_crowds_among_them(tmp_path):
    """Prints CPU seconds, the memory on top of the hashes, and the pairs found; no planted pair may be missed."""
    hashes, planted = hashes_with_crowds(np.random.default_rng(7))
    assert len(hashes) == HASHES
    np.save(tmp_path / "hashes.npy", hashes)
    command = [sys.executable, "-c", CODE, str(tmp_path / "hashes.npy"), str(tmp_path / "pairs.npy")]
    figures = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    found = {tuple(sorted(pair)) for pair in np.load(tmp_path / "pairs.npy").T.tolist()}
    missed = [pair for pair in planted.T.tolist() if tuple(sorted(pair)) not in found]
    print(
        f"\n{len(hashes):,} hashes, {EQUAL:,} of them equal and {CENTRES} crowds of {AROUND:,}: "
        f"{figures['seconds']:.1f} s of CPU, {figures['extra'] / 2**20:.0f} MiB more memory, "
        f"{figures['pairs']:,} pairs, {len(missed)} of {PLANTED:,} planted ones missed"
    )
    assert not missed
