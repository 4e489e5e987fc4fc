"""What is dropped into a bucket's inbox becomes a batch, once; whatever else lies there is told and stops nothing."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from pipelines.data.catalogue import Catalogue
from pipelines.data.inbox import What, take_in_inbox
from pipelines.data.snapshots import Card, catalogue_batches, current_dataset
from pipelines.data.withdrawals import record_erasure, withdraw_batch
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from pipelines.storage.folder import FolderObjects
from pipelines.storage.protocol import AccessDeniedError
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes
from steps.core.dataset.rows import read_rows
from steps.core.dataset.snapshot import read_listing
from tests.pipelines.data.crowd import Killed, Mortal

CLASSES = Classes.parse("other,promotion")
LATER = datetime.now(UTC) + timedelta(hours=1)


class Bucket:
    """A bucket on disk, with an inbox that is looked at an hour after everything in it was written."""

    def __init__(self, root):
        self.root = root
        self.objects = FolderObjects(root / "store" / "tilegate-local", "tilegate-local")

    def drop(self, name, rows, labels="labels.csv"):
        """Drop images, whose bytes are the names of their paths' ends, and a labels file that names them."""
        for path, _ in rows:
            self.objects.put(f"inbox/{name}/{path}", path.rpartition("/")[2].encode())
        text = pd.DataFrame(rows, columns=["path", "label"]).to_csv(index=False)
        self.objects.put(f"inbox/{name}/{labels}", text.encode())

    def take_in(self, objects=None, **options):
        return list(take_in_inbox(objects or self.objects, CLASSES, **{"clock": lambda: LATER, **options}))

    def batches(self):
        return catalogue_batches(self.objects)

    def keys(self, prefix=""):
        return [info.key for info in self.objects.list(prefix)]


@pytest.fixture
def bucket(tmp_path):
    return Bucket(tmp_path)


def test_a_dropped_folder_becomes_the_batch_that_adding_it_makes(bucket, tmp_path):
    bucket.drop("week-1", [("b.png", 1), ("a/c.png", 0), ("gone.png", 1)])
    bucket.objects.delete("inbox/week-1/gone.png")
    (told,) = bucket.take_in()
    (batch,) = bucket.batches()
    assert (told.what, told.batch) == (What.TAKEN_IN, batch.name)
    assert str(told) == f"week-1: taken in as {batch.name}, 2 of 3 rows usable"

    there = tmp_path / "folder"
    for path in ("b.png", "a/c.png"):
        (there / path).parent.mkdir(parents=True, exist_ok=True)
        (there / path).write_bytes(path.rpartition("/")[2].encode())
    pd.DataFrame({"path": ["b.png", "a/c.png", "gone.png"], "label": [1, 0, 1]}).to_csv(
        there / "labels.csv", index=False
    )
    here = Catalogue(LocalStore(tmp_path / "other"), Settings())
    added = here.add(there, classes=CLASSES, note="inbox")
    assert batch.sha256 == added.batch.sha256
    catalogue = Catalogue(LocalStore(tmp_path / "store"), Settings())
    assert_frame_equal(catalogue.listing(batch.name), here.listing(added.batch.name))
    card, other = catalogue.card(batch.name), here.card(added.batch.name)
    counted = ("labels", "kind", "rows", "refused", "bytes", "note")
    assert [getattr(card, name) for name in counted] == [getattr(other, name) for name in counted]
    assert_frame_equal(
        catalogue.rows(batch, CLASSES)[0].drop(columns="batch"),
        here.rows(added.batch, CLASSES)[0].drop(columns="batch"),
    )
    assert bucket.keys("inbox/") == []


def test_a_ground_truth_manifest_names_its_images_by_their_place_in_the_inbox(bucket):
    lines = []
    for name, label in (("x.png", 1), ("y.png", 0)):
        bucket.objects.put(f"inbox/job/images/{name}", name.encode())
        told = {"source-ref": f"s3://tilegate-local/inbox/job/images/{name}", "decision": label}
        lines.append(json.dumps(told | {"decision-metadata": {"class-name": ("other", "promotion")[label]}}))
    bucket.objects.put("inbox/job/output.manifest", "\n".join(lines).encode())
    bucket.take_in()
    (batch,) = bucket.batches()
    listing = read_listing(bucket.root / f"store/tilegate-local/catalogue/{batch.name}.parquet")
    assert listing["path"].tolist() == ["images/x.png", "images/y.png"]
    rows, refused = read_rows(
        batch, bucket.root / f"store/tilegate-local/labelled/{batch.name}", listing, CLASSES, None
    )
    assert (rows["label"].tolist(), refused) == ([1, 0], [])


def test_a_folder_for_each_class_is_a_batch_too(bucket):
    for key in ("promotion/a.png", "other/b.png", "elsewhere/c.png", ".hidden/d.png"):
        bucket.objects.put(f"inbox/classes/{key}", key.encode())
    (told,) = bucket.take_in()
    assert "2 of 3 rows usable" in str(told)
    (batch,) = bucket.batches()
    assert batch.labels == "."
    assert bucket.keys("inbox/") == ["inbox/classes/.hidden/d.png"]


def test_the_same_content_twice_is_no_second_batch(bucket):
    bucket.drop("one", [("a.png", 1)])
    bucket.take_in()
    bucket.drop("another-name", [("a.png", 1)])
    (told,) = bucket.take_in()
    (batch,) = bucket.batches()
    assert (told.what, told.batch) == (What.ALREADY, batch.name)
    assert bucket.keys("inbox/") == []


def test_what_was_just_written_waits(bucket):
    bucket.drop("one", [("a.png", 1)])
    (told,) = bucket.take_in(clock=lambda: datetime.now(UTC), settle=timedelta(minutes=15))
    assert told.what is What.WAITING
    assert "900 s after the last write" in str(told)
    assert bucket.batches() == []


def test_a_folder_that_cannot_be_a_batch_stays_and_stops_no_other(bucket):
    bucket.objects.put("inbox/a-picture-only/x.png", b"x")
    bucket.drop("bad-labels", [("a.png", "maybe")])
    bucket.drop("good", [("a.png", 1)])
    bucket.drop("two-files", [("a.png", 1)])
    bucket.objects.put("inbox/two-files/more.csv", b"path,label\n")
    bucket.objects.put("inbox/loose.png", b"in no folder")
    first = bucket.take_in()
    refused = {told.name: told.detail for told in first if told.what is What.REFUSED}
    assert sorted(refused) == ["a-picture-only", "bad-labels", "two-files"]
    assert "inbox/a-picture-only/ holds no labelled data: a Ground Truth manifest" in refused["a-picture-only"]
    assert "the labels are 'maybe' (1 row)" in refused["bad-labels"]
    assert "holds several labels files (labels.csv, more.csv)" in refused["two-files"]
    assert [told.name for told in first if told.what is What.TAKEN_IN] == ["good"]
    assert [told.name for told in bucket.take_in()] == ["a-picture-only", "bad-labels", "two-files"]


def test_files_that_no_row_names_stay_and_are_told(bucket):
    bucket.drop("one", [("a.png", 1)])
    bucket.objects.put("inbox/one/spare.png", b"")
    (told,) = bucket.take_in()
    assert str(told).endswith("; 1 files that no row names stay in s3://tilegate-local/inbox/one/")
    assert bucket.keys("inbox/") == ["inbox/one/spare.png"]


def test_what_changes_while_it_is_read_waits_for_the_next_night(bucket):
    class Changing:
        def __getattr__(self, name):
            return getattr(bucket.objects, name)

        def sha256(self, key):
            checksum = bucket.objects.sha256(key)
            if key.endswith("a.png"):
                bucket.objects.put(key, b"changed")
            return checksum

    bucket.drop("one", [("a.png", 1), ("b.png", 0)])
    (told,) = bucket.take_in(Changing())
    assert told.what is What.WAITING
    assert bucket.batches() == []
    assert "inbox/one/a.png" in bucket.keys("inbox/")
    (told,) = bucket.take_in()
    assert told.what is What.TAKEN_IN


def test_a_missing_permission_is_no_bad_batch(bucket):
    class Denied:
        def __getattr__(self, name):
            return getattr(bucket.objects, name)

        def copy(self, *_, **__):
            raise AccessDeniedError("s3:PutObject")

    bucket.drop("one", [("a.png", 1)])
    with pytest.raises(AccessDeniedError):
        bucket.take_in(Denied())


def test_an_intake_that_is_killed_at_any_write_is_finished_by_the_next(tmp_path):
    for lives in range(100):
        bucket = Bucket(tmp_path / str(lives))
        bucket.drop("one", [("a.png", 1), ("b.png", 0), ("more/c.png", 0)])
        try:
            bucket.take_in(Mortal(bucket.objects, lives))
        except Killed:
            killed = True
            assert current_dataset(bucket.objects) is None or len(bucket.keys("labelled/")) == 4
        else:
            killed = False
        bucket.take_in(clock=lambda: LATER + timedelta(days=1))
        (batch,) = bucket.batches()
        names = ("a.png", "b.png", "labels.csv", "more/c.png")
        assert bucket.keys("labelled/") == [f"labelled/{batch.name}/{name}" for name in names]
        assert Card.parse(bucket.objects.get(f"catalogue/{batch.name}.json").decode(), batch.name).rows == 3
        assert bucket.keys("inbox/") == []
        if not killed:
            return
    raise AssertionError("it never ends")


def test_what_is_dropped_while_the_inbox_is_emptied_stays(bucket):
    bucket.drop("one", [("a.png", 1)])
    bucket.take_in(Mortal(bucket.objects, 100))
    bucket.drop("two", [("b.png", 1)])
    with pytest.raises(Killed):
        bucket.take_in(Mortal(bucket.objects, 6))  # claim, two copies, listing, card and receipt
    bucket.objects.put("inbox/two/labels.csv", b"path,label\nnew.png,1\n")
    bucket.objects.put("inbox/two/new.png", b"new")
    bucket.take_in()
    assert len(bucket.batches()) == 3


def test_a_receipt_that_is_none_is_told(bucket):
    bucket.drop("one", [("a.png", 1)])
    bucket.objects.put("inbox/one/.taken-in.json", b"{}")
    (told,) = bucket.take_in()
    assert (told.what, bucket.batches()) == (What.REFUSED, [])
    assert "is no receipt of a batch" in str(told)


def test_a_name_sorts_after_all_earlier_ones_whatever_the_clock_says(bucket):
    for day, name in enumerate(("one", "two", "three")):
        bucket.drop(name, [(f"{name}.png", 1)])
        bucket.take_in(clock=lambda day=day: LATER - timedelta(days=day), settle=timedelta(days=-9))
    sources = [
        Card.parse(bucket.objects.get(f"catalogue/{b.name}.json").decode(), b.name).source for b in bucket.batches()
    ]
    assert sources == ["one", "two", "three"]


def test_a_card_that_is_damaged_stops_the_snapshot(bucket):
    bucket.drop("one", [("a.png", 1)])
    bucket.take_in()
    assert current_dataset(bucket.objects)
    (batch,) = bucket.batches()
    bucket.objects.put(f"catalogue/{batch.name}.json", b"{")
    with pytest.raises(UserError, match=f"{batch.name}.json is no JSON"):
        current_dataset(bucket.objects)


def test_what_was_taken_back_does_not_come_in_by_the_inbox(bucket):
    """Neither an erased screenshot nor the content of a withdrawn batch."""
    who = {"by": "Ada", "reason": "asked for", "clock": lambda: LATER}
    record_erasure(bucket.objects, hashlib.sha256(b"a.png").hexdigest(), **who)
    bucket.drop("one", [("a.png", 0), ("b.png", 1)])
    bucket.drop("two", [("a.png", 0)])
    one, two = bucket.take_in()
    assert (one.what, two.what, two.detail.partition(" holds ")[2]) == (
        *(What.TAKEN_IN, What.REFUSED),
        "only screenshots that somebody has erased",
    )
    assert "1 erased screenshots came again: repeat `tilegate data erase` on them" in one.detail
    (batch,) = bucket.batches()
    assert bucket.keys("labelled/") == [f"labelled/{batch.name}/{name}" for name in ("b.png", "labels.csv")]
    assert bucket.keys("inbox/one/") == []
    withdraw_batch(bucket.objects, batch.name, **who)
    bucket.drop("three", [("a.png", 0), ("b.png", 1)])
    _, three = sorted(bucket.take_in(), key=lambda told: told.name == "three")
    assert (three.what, bucket.batches()) == (What.REFUSED, [])
    assert "which was withdrawn by Ada" in three.detail
