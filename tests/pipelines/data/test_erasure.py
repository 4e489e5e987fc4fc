"""An erased screenshot is nowhere any more, not as a tile and not as a thumbnail: here, in S3, after kills."""

import base64
import io
import shutil
from datetime import UTC, datetime
from pathlib import Path

import boto3
import numpy as np
import pandas as pd
import pytest
from moto import mock_aws
from PIL import Image

from pipelines.data.erasure import DATA_PREFIXES, erase
from pipelines.data.garbage import orphans
from pipelines.data.page import write_screenshot_page
from pipelines.data.quarantine import write_quarantine_page
from pipelines.data.snapshots import catalogue_batches, current_dataset
from pipelines.data.withdrawals import erasure_of
from pipelines.runs.local_start import snapshot_of
from pipelines.storage.folder import FolderCopies
from pipelines.storage.protocol import Copy
from pipelines.storage.s3 import S3Copies, S3Objects
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.dataset.snapshot import parts_of
from steps.core.tiles.cutting import cut
from steps.core.tiles.decode import read_image
from steps.core.tiles.pieces import write_pieces
from steps.core.tiles.shards import read_record
from steps.core.tiles.spec import PreprocessingSpec
from steps.core.tiles.store import write_part
from steps.validate.image_facts import inspect, read_pictures, write_facts
from tests.pipelines.data.crowd import Killed, Mortal
from tests.pipelines.data.test_catalogue import CLASSES, SETTINGS, catalogue_in

SPEC = PreprocessingSpec(tile_size=32)
BY = {"by": "Ada", "reason": "asked for", "clock": lambda: datetime(2026, 11, 29, tzinfo=UTC)}
NAMES = ("a", "b", "c")


def deliver(folder, names):
    folder.mkdir(parents=True)
    for name in names:
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (90, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "labels.csv").write_text("path,label\n" + "".join(f"{n}.png,{i % 2}\n" for i, n in enumerate(names)))
    return folder


class Home:
    """A home in which a run has looked at two batches: what it leaves everywhere, as the real code writes it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.catalogue = catalogue_in(root)
        self.data = self.catalogue.data
        self.bucket = self.catalogue.store.path(SETTINGS.uri())

    def fill(self, source: Path) -> None:
        for name, images in (("one", NAMES), ("two", ("a",))):
            self.catalogue.add(deliver(source / name, images), classes=CLASSES)
        batches = self.catalogue.batches()
        current_dataset(self.data)
        (part,) = parts_of(batches, lambda batch: self.catalogue.listing(batch.name))
        files = [(self.bucket / "labelled" / part.batch / path, sha256) for path, sha256 in part.files]
        facts, cuts = self.bucket / "facts/1" / part.digest, [(sha256, cut(path, SPEC)) for path, sha256 in files]
        write_facts(facts, [inspect(file) for file in files])
        write_part(self.bucket / "tiles", f"spec/{part.digest}", cuts)
        for shard in (self.bucket / "tiles").rglob("*.tfrecord"):
            np.save(shard.with_suffix(".npy"), np.frombuffer(b"features of " + part.digest.encode(), np.uint8))
        write_pieces(self.bucket / "runs/r/PreprocessTiles/cut", cuts)
        report = self.bucket / "runs/r/ValidateData/report"
        rows = pd.DataFrame({"sha256": [sha256 for _, sha256 in files]}).assign(row=1, reason="labeller", detail="")
        rows = rows.assign(screenshot=rows["sha256"], batch=part.batch, source_ref="x", labels="labels.csv")
        rows.to_parquet(self.bucket / "runs/r/quarantine.parquet")
        pictures = read_pictures([facts], rows["sha256"])
        write_quarantine_page(report / "report.html", rows, pictures, classes=("a", "b"), subject="run", commands=False)
        for number, (path, sha256) in enumerate(files):
            write_screenshot_page(report / f"{number}.html", sha256, read_image(path)[0], [])
        pd.DataFrame({"id": rows["sha256"], "score": 0.5}).to_parquet(self.bucket / "runs/r/scores.parquet")
        for copied in ("runs/r/steps/X/opt/ml/processing/input/store", "mlartifacts/1/artifacts/outputs"):
            shutil.copytree(self.bucket, self.root / copied)
        left = self.root / "store/.staging/1-x/two"
        shutil.copytree(source / "two", left)
        (left / ".a.png.0.tilegate-part").write_bytes((left / "a.png").read_bytes()[:2000])

    def pixels_of(self, sha256: str) -> dict[str, bytes]:
        """What shows a screenshot, by what it is."""
        (index,) = (self.bucket / "tiles").rglob("tiles.parquet")
        (facts,) = (self.bucket / "facts").rglob("facts.parquet")
        tiles = pd.read_parquet(index)
        records = tiles[tiles["id"] == sha256]
        found = {
            f"tile {t.index}": read_record(self.bucket / "tiles" / t.shard, t.offset, t.length)
            for t in records.itertuples()
        }
        known = pd.read_parquet(facts).set_index("id")
        found["features"] = next((self.bucket / "tiles").rglob("*.npy")).read_bytes()
        found["thumbnail"] = known.loc[sha256, "thumb"]
        found["picture"] = read_pictures([facts.parent], [sha256])[sha256]
        file = next(path for path in self.bucket.rglob("*.png") if sha256_file(path) == sha256)
        return found | {"file": file.read_bytes(), "half": file.read_bytes()[500:1500]}

    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.root)): p.read_bytes() for p in self.root.rglob("*") if p.is_file()}


def shown_in(files, pixels):
    """What is still to be seen: (what, where); in tables column by column, for they are compressed."""
    found = set()
    for name, data in files.items():
        texts = [data]
        if name.endswith(".parquet"):
            table = pd.read_parquet(io.BytesIO(data))
            texts += [value for column in table for value in table[column] if isinstance(value, bytes)]
        for what, wanted in pixels.items():
            inner = base64.b64encode(wanted)[4:-4]
            if any(wanted in text or inner in text for text in texts):
                found.add((what, name))
    return found


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    root = tmp_path_factory.mktemp("template")
    Home(root / "home").fill(root / "source")
    return root


@pytest.fixture
def home(template, tmp_path):
    shutil.copytree(template / "home", tmp_path / "home")
    return Home(tmp_path / "home")


@pytest.fixture
def erased(template):
    return sha256_file(template / "source/one/a.png")


def kept(template):
    return sha256_file(template / "source/one/b.png")


def test_an_erased_screenshot_is_nowhere_in_the_home_and_the_others_are(home, erased, template):
    pixels, others = home.pixels_of(erased), home.pixels_of(kept(template))
    before = {what for what, _ in shown_in(home.files(), pixels)}
    assert before == set(pixels), "the test looks for what is not there"
    snapshot, batches = current_dataset(home.data), home.catalogue.batches()
    told = erase(home.data, [FolderCopies(home.root)], [erased], **BY)
    assert shown_in(home.files(), pixels) == set()
    assert {what for what, _ in shown_in(home.files(), others)} == {"file", "half", "picture", "thumbnail"}
    rows = [pd.read_parquet(home.bucket / "runs/r" / name) for name in ("scores.parquet", "quarantine.parquet")]
    assert [len(table) for table in rows] == [2, 2]
    assert told.batches == {batch.name for batch in batches}
    assert (told.removed["files", "home/store/tilegate-local/labelled"], told.records[0].by) == (2, "Ada")
    assert current_dataset(home.data).uri != snapshot.uri
    for batch in home.catalogue.batches():
        rows, refused = home.catalogue.rows(batch, CLASSES)
        assert erased not in set(rows["id"])
        assert [row.reason for row in refused] == ["missing-file"]
    assert orphans(home.catalogue, lambda _: True, min_age_seconds=0, kept=frozenset())[0].why.startswith("a part with")


def test_what_was_erased_is_never_taken_in_again(home, erased, template, tmp_path):
    erase(home.data, [FolderCopies(home.root)], [erased], **BY)
    again = home.catalogue.add(template / "source/one", classes=CLASSES)
    assert (again.already, again.erased) == (True, 1)
    other = home.catalogue.add(deliver(tmp_path / "other", ("a", "d")), classes=CLASSES)
    assert (other.already, other.erased, other.screenshots) == (False, 1, 1)
    snapshot_of(template / "source/one", home.catalogue.store, SETTINGS, CLASSES)
    assert not [path for path in home.root.rglob("*.png") if sha256_file(path) == erased]
    with pytest.raises(UserError, match="holds no usable row"):
        home.catalogue.add(template / "source/two", classes=CLASSES)


def test_a_screenshot_that_no_batch_had_is_kept_out_and_looked_for_all_the_same(home, tmp_path):
    stray = deliver(home.root / "sample", ("z",)) / "z.png"
    sha256 = sha256_file(stray)
    told = erase(home.data, [FolderCopies(home.root)], [sha256], **BY)
    assert not stray.exists()
    assert (told.records[0].bytes, told.records[0].batches) == (0, ())
    with pytest.raises(UserError, match="holds no usable row"):
        home.catalogue.add(deliver(tmp_path / "z", ("z",)), classes=CLASSES)


def test_a_screenshot_that_is_erased_while_it_is_being_added_is_no_batchs(home, tmp_path):
    source = deliver(tmp_path / "new", ("x", "y"))
    sha256 = sha256_file(source / "x.png")

    def meddle(verb, done, total):
        if (verb, done) == ("Stored", total):
            erase(home.data, [FolderCopies(home.root)], [sha256], **BY)

    with pytest.raises(UserError, match=f"{sha256[:12]} was erased while the batch was being added"):
        home.catalogue.add(source, classes=CLASSES, progress=meddle)
    assert len(home.catalogue.batches()) == 2
    assert home.catalogue.add(source, classes=CLASSES).erased == 1


def test_a_batch_whose_labels_file_is_gone_keeps_no_screenshot_from_being_erased(home, erased):
    pixels = home.pixels_of(erased)
    for batch in home.catalogue.batches():
        (home.catalogue.folder(batch) / "labels.csv").unlink()
    erase(home.data, [FolderCopies(home.root)], [erased], **BY)
    assert shown_in(home.files(), pixels) == set()


def test_labels_that_were_changed_are_not_made_right_by_an_erasure(home, erased):
    batch = home.catalogue.batches()[0]
    labels = home.catalogue.folder(batch) / "labels.csv"
    labels.chmod(0o644)
    labels.write_text(labels.read_text().replace(",0", ",1"))
    erase(home.data, [FolderCopies(home.root)], [erased], **BY)
    with pytest.raises(UserError, match="is not what was added"):
        home.catalogue.rows(batch, CLASSES)


@pytest.mark.parametrize(("image", "by", "says"), [("abc", "Ada", "no sha256"), ("0" * 64, "", "--by and --reason")])
def test_an_erasure_of_nothing_or_by_nobody_is_refused(home, image, by, says):
    before = home.files()
    with pytest.raises(UserError, match=says):
        erase(home.data, [FolderCopies(home.root)], [image], **{**BY, "by": by})
    assert home.files() == before


class MortalCopies:
    """Copies whose user dies at a removal, after some others."""

    def __init__(self, copies, objects):
        self._copies, self._objects, self.name = copies, objects, copies.name

    def __getattr__(self, name):
        work = getattr(self._copies, name)
        if name in {"remove", "rewrite"}:
            return lambda *args: (self._objects.delete("nothing"), work(*args))[1]
        return work


def test_killed_anywhere_and_repeated_nothing_is_left(home, erased, template, tmp_path):
    pixels, lives = home.pixels_of(erased), 0
    while True:
        shutil.rmtree(home.root)
        shutil.copytree(template / "home", home.root)
        mortal = Mortal(home.data, lives)
        try:
            erase(mortal, [MortalCopies(FolderCopies(home.root), mortal)], [erased], **BY)
            break
        except Killed:
            pass
        if lives:
            assert erasure_of(home.data, erased)
        erase(home.data, [FolderCopies(home.root)], [erased], **BY)
        assert shown_in(home.files(), pixels) == set(), f"killed after {lives} writes"
        assert all(len(home.catalogue.rows(batch, CLASSES)[1]) == 1 for batch in home.catalogue.batches())
        lives += 1 + lives // 8
    assert lives > 30


@pytest.fixture
def s3():
    known = {"region_name": "us-east-1", "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    with mock_aws():
        client = boto3.client("s3", **known)
        for bucket in ("data", "artifacts"):
            client.create_bucket(Bucket=bucket)
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        yield client


def test_in_s3_no_version_of_anything_shows_it(home, erased, s3):
    """Also of what was dropped in the inbox and removed from there, and of a page that was written anew."""
    pixels = home.pixels_of(erased)
    for path in home.bucket.rglob("*"):
        if path.is_file():
            key = path.relative_to(home.bucket).as_posix()
            bucket = "artifacts" if key.startswith("runs/") else "data"
            s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
            if key.endswith((".html", ".png")):
                s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
            if key.endswith(".png"):
                s3.put_object(Bucket="data", Key=f"inbox/{key}", Body=path.read_bytes())
                s3.delete_object(Bucket="data", Key=f"inbox/{key}")
    places = [S3Copies(s3, "data", DATA_PREFIXES), S3Copies(s3, "artifacts", ("runs/",))]

    def versions():
        every = [S3Copies(s3, bucket, [""]) for bucket in ("data", "artifacts")]
        return {f"{copy.version}/{copy.key}": place.read(copy) for place in every for copy in place.all()}

    assert {what for what, _ in shown_in(versions(), pixels)} == set(pixels)
    data = S3Objects(s3, "data")
    erase(data, places, [erased], **BY)
    assert shown_in(versions(), pixels) == set()
    assert data.info("labelled/" + erasure_of(data, erased).batches[0] + "/b.png")
    assert erasure_of(data, erased).batches == tuple(sorted(batch.name for batch in catalogue_batches(data)))


def test_an_old_version_is_removed_and_never_put_back(s3):
    for body in (b"old", b"new"):
        s3.put_object(Bucket="data", Key="k", Body=body)
    place = S3Copies(s3, "data", [""])
    old = next(copy for copy in place.all() if not copy.is_latest)
    place.rewrite(old, b"other")
    assert [place.read(copy) for copy in place.all()] == [b"new"]
    latest = next(place.all())
    place.rewrite(latest, b"less")
    assert [(place.read(copy), copy.is_latest) for copy in place.all()] == [(b"less", True)]
    assert isinstance(latest, Copy)
