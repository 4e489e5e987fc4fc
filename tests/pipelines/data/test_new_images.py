"""Parts from a ledger: those of `parts_of`, in a tenth of its memory."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.new_images import Parts
from pipelines.storage.bulk import Mirror
from pipelines.storage.folder import FolderObjects
from steps.core.common.errors import UserError
from steps.core.dataset.plan import Source
from steps.core.dataset.snapshot import Batch, parts_of, parts_to_cut, write_listing

# The last ones differ in their last byte alone, which is nothing to a text that ends where a NUL is.
IMAGES = [hashlib.sha256(bytes([n])).hexdigest() for n in range(8)] + ["ab" * 31 + end for end in ("00", "01", "ff")]
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


def told(parts, ledger):
    """Return the parts with their files, which are told in the order of their paths."""
    return [(p.digest, p.batch.name, p.images, list(parts.paths(p, ledger, SOURCE))) for p in ledger.parts]


def wanted(batches, listing, split):
    return [(p.digest, p.batch, len(p.files), sorted(path for path, _ in p.files)) for p in split(batches, listing)]


contents = st.lists(st.sampled_from(IMAGES), max_size=8)
kinds = st.sampled_from(["labels", "review", "reference"])
snapshots = st.lists(st.tuples(kinds, contents, st.booleans()), min_size=1, max_size=5)


@given(snapshots)
def test_parts_worked_out_night_by_night_are_those_of_everything_at_once(batches):
    root = Path(tempfile.mkdtemp())
    try:
        bucket, known = Bucket(root), []
        for number, (kind, images, night_ends) in enumerate(batches):
            known.append(batch(number, kind))
            bucket.write(known[-1], [(f"{at % 3}/{at}.png", sha256) for at, sha256 in enumerate(images)])
            if night_ends or number == len(batches) - 1:
                parts = bucket.parts()
                for to_cut, split in ((False, parts_of), (True, parts_to_cut)):
                    ledger = parts.ledger(SOURCE, known, to_cut=to_cut)
                    assert told(parts, ledger) == wanted(known, bucket.listing, split)
    finally:
        shutil.rmtree(root)


def test_who_asks_for_several_snapshots_reads_each_listing_once(bucket):
    for number in range(3):
        bucket.write(batch(number), [("a.png", IMAGES[number])])
    first, parts = [batch(0), batch(1)], bucket.parts()
    parts.ledger(SOURCE, first)
    bucket.fetched.clear()
    ledger = parts.ledger(SOURCE, [*first, batch(2)])
    assert set(bucket.fetched) == {"catalogue/b-2.parquet"}
    bucket.fetched.clear()
    assert parts.ledger(SOURCE, first).parts == ledger.parts[:2]
    assert bucket.fetched == []


def test_a_batch_that_comes_between_changes_what_follows_it(bucket):
    for number, images in enumerate((IMAGES[:1], IMAGES[1:3], IMAGES[2:4])):
        bucket.write(batch(number), [(f"{at}.png", sha256) for at, sha256 in enumerate(images)])
    bucket.parts().ledger(SOURCE, [batch(0), batch(2)])
    parts, everything = bucket.parts(), [batch(0), batch(1), batch(2)]
    assert told(parts, parts.ledger(SOURCE, everything)) == wanted(everything, bucket.listing, parts_of)


def test_a_listing_that_is_lost_or_changed_is_told(bucket):
    bucket.write(batch(0), [("a.png", IMAGES[0])])
    parts = bucket.parts()
    ledger = parts.ledger(SOURCE, [batch(0)])
    bucket.write(batch(0), [("a.png", IMAGES[1])])
    with pytest.raises(UserError, match="b-0 is not the one that was planned"):
        list(bucket.parts().paths(ledger.parts[0], ledger, SOURCE))
    bucket.write(batch(1), [("a.png", "no digest")])
    with pytest.raises(UserError, match=r"b-1\.parquet lists what is no sha256"):
        bucket.parts().ledger(SOURCE, [batch(0), batch(1)])
    with pytest.raises(UserError, match=r"b-2\.parquet: the listing of a batch cannot be read"):
        bucket.parts().ledger(SOURCE, [batch(0), batch(2)])
