"""What finding near-duplicates among a million hashes costs.

Run with: pytest tests/benchmarks/test_near_duplicates.py -m benchmark -s
"""

import json

import numpy as np
import pytest

from tests.benchmarks.own_process import run

pytestmark = pytest.mark.benchmark

CODE = """
import json, sys, time
import numpy as np
from steps.validate.near_duplicates import pairs_within
from own_process import peak_mb
hashes = np.load(sys.argv[1])
pairs_within(hashes[:100])
before, began = peak_mb(), time.process_time()
pairs = pairs_within(hashes)
seconds = time.process_time() - began
extra = peak_mb() - before
np.save(sys.argv[2], np.stack([hashes[pairs.a], hashes[pairs.b]]))
print(json.dumps({"seconds": seconds, "extra": extra, "pairs": len(pairs.a)}))
"""


def flipped(rng, hashes, most):
    """Flip up to `most` different bits of each hash."""
    bits = np.argsort(rng.random((len(hashes), 64)), axis=1)[:, :most].astype(np.uint64)
    chosen = np.arange(most) < rng.integers(0, most + 1, len(hashes))[:, None]
    return hashes ^ np.bitwise_or.reduce(np.where(chosen, np.uint64(1) << bits, np.uint64(0)), axis=1)


def hashes_with_crowds(rng, count):
    """Return hashes, shuffled, and planted pairs at distances 0 to 3; a quarter of them lies in crowds.

    A fiftieth of the hashes is equal, a twentieth lies in 50 crowds, a fiftieth is planted.
    """
    some = count // 50
    centres = rng.integers(0, 2**64, 50, np.uint64)
    equal = np.full(some, rng.integers(0, 2**64, dtype=np.uint64))
    crowds = flipped(rng, np.repeat(centres, count // 1000), 5)
    alone = rng.integers(0, 2**64, count - 2 * some - len(crowds), np.uint64)
    sources = np.concatenate([rng.choice(alone, some * 3 // 4), rng.choice(crowds, some // 4)])
    planted = np.stack([sources, flipped(rng, sources, 3)])
    hashes = np.concatenate([equal, crowds, alone, planted[1]])
    rng.shuffle(hashes)
    return hashes, planted


def test_hashes_with_crowds_among_them(tmp_path, sizes, figures):
    """Prints CPU seconds, the memory on top of the hashes, and the pairs found; no planted pair may be missed."""
    count = sizes(full=1_000_000, smoke=20_000)
    hashes, planted = hashes_with_crowds(np.random.default_rng(7), count)
    assert len(hashes) == count
    np.save(tmp_path / "hashes.npy", hashes)
    found = json.loads(run(CODE, tmp_path / "hashes.npy", tmp_path / "pairs.npy"))
    pairs = {tuple(sorted(pair)) for pair in np.load(tmp_path / "pairs.npy").T.tolist()}
    missed = [pair for pair in planted.T.tolist() if tuple(sorted(pair)) not in pairs]
    print(
        f"\n{count:,} hashes: {found['seconds']:.1f} s of CPU, {found['extra']:.0f} MB more memory, "
        f"{found['pairs']:,} pairs, {len(missed)} of {planted.shape[1]:,} planted ones missed"
    )
    assert not missed
    figures.record(f"near duplicates: {count:,} hashes", found["seconds"])
