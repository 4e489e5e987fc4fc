"""The parts of several snapshots: those of `parts_of`, at the price of the largest."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.parts import Parts
from pipelines.storage.bulk import Mirror
from pipelines.storage.folder import FolderObjects
from steps.core.common.errors import UserError
from steps.core.dataset.plan import Source
from steps.core.dataset.snapshot import Batch, parts_of, parts_to_cut, write_listing

IMAGES = [hashlib.sha256(bytes([n])).hexdigest() for n in range(8)]
SOURCE = Source("")


class Bucket:
    def __init__(self, root):
        self.root = root
        self.objects = FolderObjects(root / "bucket", "bucket")
        self.fetched = []

    def write(self, batch, files):
        frame = pd.DataFrame([(path, sha256, 1) for path, sha256 in files], columns=["path", "sha256", "bytes"])
        write_listing(self.root / "bucket" / SOURCE.listing_key(batch), frame)

    def listing(self, batch):
        return SOURCE.listing(self.root / "bucket", batch)

    def parts(self):
        """Return a new reader of parts, with nothing in memory, that tells what it fetches."""
        fetched = self.fetched = []

        class Telling(Mirror):
            def fetch(self, key):
                fetched.append(key)
                return super().fetch(key)

        return Parts(Telling(self.objects, Path(tempfile.mkdtemp(dir=self.root))))


@pytest.fixture
def bucket(tmp_path):
    return Bucket(tmp_path)


def batch(number, kind="labels"):
    return Batch(f"b-{number}", "l.csv", f"{number}", kind)


contents = st.lists(st.sampled_from(IMAGES), max_size=8)
kinds = st.sampled_from(["labels", "review", "reference"])
snapshots = st.lists(st.tuples(kinds, contents), min_size=1, max_size=5)


@given(snapshots)
def test_the_parts_of_every_state_are_those_that_it_has_by_itself(batches):
    root = Path(tempfile.mkdtemp())
    try:
        bucket, known = Bucket(root), []
        for number, (kind, images) in enumerate(batches):
            known.append(batch(number, kind))
            bucket.write(known[-1], [(f"{at % 3}/{at}.png", sha256) for at, sha256 in enumerate(images)])
        parts = bucket.parts()
        for count in (len(known), *range(1, len(known) + 1)):
            for to_cut, split in ((False, parts_of), (True, parts_to_cut)):
                assert parts.of(SOURCE, known[:count], to_cut=to_cut) == split(known[:count], bucket.listing)
    finally:
        shutil.rmtree(root)


def test_an_earlier_snapshot_reads_nothing_after_a_later_one(bucket):
    for number in range(3):
        bucket.write(batch(number), [("a.png", IMAGES[number])])
    first, parts = [batch(0), batch(1)], bucket.parts()
    later = parts.of(SOURCE, [*first, batch(2)])
    bucket.fetched.clear()
    assert parts.of(SOURCE, first) == later[:2]
    assert bucket.fetched == []


def test_a_batch_that_comes_between_changes_what_follows_it(bucket):
    for number, images in enumerate((IMAGES[:1], IMAGES[1:3], IMAGES[2:4])):
        bucket.write(batch(number), [(f"{at}.png", sha256) for at, sha256 in enumerate(images)])
    parts, everything = bucket.parts(), [batch(0), batch(1), batch(2)]
    parts.of(SOURCE, [batch(0), batch(2)])
    assert parts.of(SOURCE, everything) == parts_of(everything, bucket.listing)


def test_a_listing_that_is_lost_or_damaged_is_told(bucket):
    bucket.write(batch(0), [("a.png", IMAGES[0])])
    with pytest.raises(UserError, match=r"the listing of a batch is gone \(.*b-1\.parquet"):
        bucket.parts().of(SOURCE, [batch(0), batch(1)])
    (bucket.root / "bucket" / SOURCE.listing_key(batch(1))).write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"^catalogue/b-1\.parquet: the listing of a batch cannot be read: restore it"):
        bucket.parts().of(SOURCE, [batch(0), batch(1)])
    for damaged in ("no digest", None):
        bucket.write(batch(1), [("a.png", damaged)])
        with pytest.raises(UserError, match=r"^catalogue/b-1\.parquet lists what is no sha256: restore"):
            bucket.parts().of(SOURCE, [batch(0), batch(1)])
