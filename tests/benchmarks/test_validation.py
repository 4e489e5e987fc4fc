"""What a night's validation costs where every image is known already: all rules over 100,000 rows, nothing opened.

Run with: pytest tests/benchmarks/test_validation.py -m benchmark -s
"""

import json
import time

import numpy as np
import pandas as pd
import pytest

from steps.core.dataset.classes import Classes
from steps.core.dataset.rows import read_rows
from steps.core.dataset.snapshot import Batch
from steps.validate.admission import validate
from steps.validate.appearance import LOOK_COLUMNS
from steps.validate.examination import Circumstances, examine
from steps.validate.report import compose
from steps.validate.summary import summary
from tests.benchmarks.test_rows import ROWS, listing, record


def facts(ids):
    """Return what is known of as many images, a hundred of them nearly equal to another one."""
    rng = np.random.default_rng(17)
    thumbs = rng.integers(0, 256, (len(ids), 1024), dtype=np.uint8)
    hashes = rng.integers(0, 2**63, len(ids), dtype=np.uint64)
    thumbs[-100:], hashes[-100:] = thumbs[:100], hashes[:100]
    frame = pd.DataFrame({name: rng.random(len(ids), dtype=np.float32) for name in LOOK_COLUMNS})
    frame = frame.assign(problem="", refusal="", width=1080, height=2400, format="PNG", mode="RGBA", frames=1)
    frame = frame.assign(orientation=1, bytes=100_000, phash=hashes, thumb=[row.tobytes() for row in thumbs])
    return frame.set_index(pd.Index(ids, name="id"))


@pytest.mark.benchmark
def test_every_rule_over_a_hundred_thousand_known_screenshots(tmp_path):
    """Prints CPU seconds of each part, one run: reading rows, sorting them, judging the set, composing the page."""
    files = listing()
    lines = (record(number, *pair) for number, pair in enumerate(zip(files["path"], files["sha256"], strict=True)))
    (tmp_path / "m.manifest").write_text("".join(json.dumps(line) + "\n" for line in lines))
    batch, classes, known = Batch("b-1", "m.manifest", "0" * 64), Classes(), facts(files["sha256"])
    times, began = {}, time.process_time()

    def mark(name):
        nonlocal began
        times[name], began = time.process_time() - began, time.process_time()

    rows, refused = read_rows(batch, tmp_path, files, classes, None)
    rows = rows.assign(kind=batch.kind)
    mark("rows")
    validation = validate([batch], rows, refused, known)
    mark("sorting")
    examined = examine(validation, classes, Circumstances(new_rows=ROWS))
    mark("examining")
    summary(examined, {})
    compose(examined, [batch], rows, since=None, subject={})
    mark("telling")
    assert len(validation.accepted) + len(validation.quarantined) == ROWS
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in times.items())
    print(f"\n{ROWS:,} rows in {sum(times.values()):.2f} CPU s: {parts}")
