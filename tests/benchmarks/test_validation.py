"""What a night's validation costs where every image is known already: all rules over 100,000 rows, nothing opened.

Run with: pytest tests/benchmarks/test_validation.py -m benchmark -s
"""

import numpy as np
import pandas as pd
import pytest

from steps.core.dataset.classes import Classes
from steps.core.dataset.rows import read_rows
from steps.core.dataset.snapshot import Batch
from steps.validate.admission import validate
from steps.validate.appearance import APPEARANCE_COLUMNS
from steps.validate.page.content import compose
from steps.validate.rules import examine
from steps.validate.subject import Circumstances
from steps.validate.summary import summary
from tests.benchmarks.figures import cpu_seconds
from tests.benchmarks.labelled_rows import listing, records, write_manifest

pytestmark = pytest.mark.benchmark


def facts(ids):
    """Return what is known of as many images, a hundred of them nearly equal to another one."""
    rng = np.random.default_rng(17)
    thumbs = rng.integers(0, 256, (len(ids), 1024), dtype=np.uint8)
    hashes = rng.integers(0, 2**63, len(ids), dtype=np.uint64)
    thumbs[-100:], hashes[-100:] = thumbs[:100], hashes[:100]
    frame = pd.DataFrame({name: rng.random(len(ids), dtype=np.float32) for name in APPEARANCE_COLUMNS})
    frame = frame.assign(problem="", refusal="", width=1080, height=2400, format="PNG", mode="RGBA", frames=1)
    frame = frame.assign(
        orientation=1, camera=False, bytes=100_000, phash=hashes, thumb=[row.tobytes() for row in thumbs]
    )
    return frame.set_index(pd.Index(ids, name="id"))


def test_every_rule_over_known_screenshots(tmp_path, sizes, figures):
    """Prints CPU seconds of each part, one run: reading rows, admitting them, examining the set, composing the page."""
    count = sizes(full=100_000, smoke=500)
    files = listing(count)
    write_manifest(tmp_path / "m.manifest", records(files))
    batch, classes, known = Batch("b-1", "m.manifest", "0" * 64), Classes(), facts(files["sha256"])
    times = {}

    def timed(name, function):
        times[name], result = cpu_seconds(function, 1)
        return result

    def report():
        summary(examined, {})
        return compose(examined, [batch], rows, since=None, subject={})

    rows, refused = timed("rows", lambda: read_rows(batch, tmp_path, files, classes, None))
    rows = rows.assign(kind=batch.kind)
    validation = timed("admission", lambda: validate([batch], rows, refused, known))
    examined = timed("rules", lambda: examine(validation, classes, Circumstances(new_rows=count)))
    timed("report", report)
    assert len(validation.accepted) + len(validation.quarantined) == count
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in times.items())
    print(f"\n{count:,} rows in {sum(times.values()):.2f} CPU s: {parts}")
    figures.record(f"validation: {count:,} known rows", sum(times.values()))
