"""The catalogue: batches come in once, whole, unchanged, and in order, whoever is killed and whoever hurries."""

import json
import os
import tempfile
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.data.catalogue import Catalogue
from pipelines.data.garbage import DAY_SECONDS, leftovers, orphans, remove
from pipelines.data.source import take_in
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.dataset.classes import Classes
from steps.core.dataset.snapshot import (
    LABELS,
    REFERENCE,
    REVIEW,
    Batch,
    Place,
    parts_of,
    snapshot_digest,
    write_snapshot,
)
from steps.core.tiles.store import CutScreenshot, write_part
from steps.core.tiles.tiling import plan_tiles
from tests.pipelines.data.crowd import Mortal, in_processes, kill_this_process

SETTINGS = Settings()
CLASSES = Classes.parse("auto")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def catalogue_in(home, clock=lambda: datetime.now(UTC)):
    return Catalogue(LocalStore(home / "store"), SETTINGS, clock=clock)


@pytest.fixture
def catalogue(tmp_path):
    return catalogue_in(tmp_path / "home")


def labelled(folder, labels):
    """A folder with labels.csv and a file of its own bytes for each name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in labels:
        (folder / name).write_bytes(name.encode())
    (folder / "labels.csv").write_text("path,label\n" + "".join(f"{name},{label}\n" for name, label in labels.items()))
    return folder


def review(folder, *lines):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "decisions.csv").write_text("\n".join(["sha256,label,waive,by,reason", *lines]) + "\n")
    return folder


def stored(catalogue, batch):
    root = catalogue.folder(batch)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def visible(catalogue):
    """The keys of everything in the bucket."""
    root = catalogue.store.path(SETTINGS.uri())
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_batch_holds_its_labels_file_and_the_files_that_its_rows_name(catalogue, tmp_path):
    source = labelled(tmp_path / "data", {"a.png": 0, "b.png": 1})
    (source / "unlabelled.png").write_bytes(b"not mine")
    batch = catalogue.add(source, classes=CLASSES).batch
    assert stored(catalogue, batch) == {
        "labels.csv": (source / "labels.csv").read_bytes(),
        "a.png": b"a.png",
        "b.png": b"b.png",
    }
    listing = catalogue.listing(batch.name)
    assert listing["path"].tolist() == ["a.png", "b.png"]
    assert listing["sha256"].tolist() == [sha256_file(source / name) for name in ("a.png", "b.png")]
    assert listing["bytes"].tolist() == [5, 5]


def test_a_card_says_what_came_in_who_added_it_and_when(tmp_path):
    catalogue = catalogue_in(tmp_path / "home", lambda: NOON)
    source = labelled(tmp_path / "data", {"a.png": 0, "b.png": ""})
    added = catalogue.add(source, classes=CLASSES, by="Ada", note="first")
    path = catalogue.store.path(SETTINGS.uri("catalogue", f"{added.batch.name}.json"))
    card = json.loads(path.read_text())
    assert added.batch.name == f"20261123T120000Z-{added.batch.sha256[:12]}"
    assert card == {
        "version": 1,
        "name": added.batch.name,
        "labels": "labels.csv",
        "sha256": added.batch.sha256,
        "kind": "labels",
        "added": "2026-11-23T12:00:00Z",
        "source": "data",
        "note": "first",
        "by": "Ada",
        "rows": 2,
        "refused": 1,
        "bytes": 10 + (source / "labels.csv").stat().st_size,
        "classes": "",
        "attribute": "",
    }
    assert catalogue.card(added.batch.name).batch == added.batch


def test_what_came_in_is_counted(catalogue, tmp_path):
    catalogue.add(labelled(tmp_path / "one", {"a.png": 0, "b.png": 1}), classes=CLASSES)
    second = labelled(tmp_path / "two", {"b.png": 1, "c.png": "positive", "d.png": ""})
    (second / "labels.csv").write_text((second / "labels.csv").read_text() + "gone.png,1\n")
    added = catalogue.add(second, classes=CLASSES)
    assert (added.rows, dict(added.per_label)) == (4, {"negative": 0, "positive": 2})
    assert sorted((row.row, row.reason, row.batch) for row in added.refused) == [
        (4, "label", added.batch.name),
        (5, "missing-file", added.batch.name),
    ]
    # d.png comes along although it has no label: a person may decide on it.
    assert (added.screenshots, added.new_screenshots, added.already) == (3, 2, False)


def test_the_content_does_not_depend_on_what_the_classes_are_called(tmp_path):
    source = labelled(tmp_path / "data", {"a.png": "game", "b.png": 0})
    first, second = (
        take_in(source, kind=LABELS, classes=Classes.parse(names), store=tmp_path / "store")
        for names in ("other,game", "app,Game")
    )
    assert first.sha256 == second.sha256


def test_equal_content_is_not_added_again(catalogue, tmp_path):
    first = catalogue.add(labelled(tmp_path / "one", {"a.png": 0}), classes=CLASSES)
    before = visible(catalogue)
    again = catalogue.add(labelled(tmp_path / "moved", {"a.png": 0}) / "labels.csv", classes=CLASSES)
    assert (again.already, again.batch, again.new_screenshots) == (True, first.batch, 0)
    assert visible(catalogue) == before


@pytest.mark.parametrize("change", ["bytes", "name", "label", "labels file"])
def test_any_other_content_is_another_batch(catalogue, tmp_path, change):
    first = catalogue.add(labelled(tmp_path / "one", {"a.png": 0}), classes=CLASSES)
    source = labelled(tmp_path / "two", {"b.png" if change == "name" else "a.png": 1 if change == "label" else 0})
    if change == "bytes":
        (source / "a.png").write_bytes(b"other")
    if change == "labels file":
        (source / "labels.csv").rename(source / "other.csv")
    second = catalogue.add(source, classes=CLASSES)
    assert not second.already
    assert catalogue.batches() == [first.batch, second.batch]


def test_the_same_content_of_another_kind_is_another_batch(catalogue, tmp_path):
    source = labelled(tmp_path / "data", {"a.png": 0})
    first = catalogue.add(source, classes=CLASSES).batch
    second = catalogue.add(source, classes=CLASSES, kind=REVIEW).batch
    assert first.sha256 == second.sha256
    assert (catalogue.batches(LABELS), catalogue.batches(REVIEW)) == ([first], [second])
    assert catalogue.batches(REFERENCE) == []


def test_names_sort_in_the_order_of_adding_whatever_the_clock_does(tmp_path):
    now, names = NOON, []
    for number, step in enumerate((0, 0, -3, 2, 9)):
        now += timedelta(seconds=step)
        catalogue = catalogue_in(tmp_path / "home", lambda at=now: at)
        names.append(catalogue.add(labelled(tmp_path / str(number), {f"{number}.png": 1}), classes=CLASSES).batch.name)
    assert sorted(set(names)) == names


def test_nothing_from_outside_of_the_folder_comes_in(catalogue, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    source = labelled(tmp_path / "data", {"a.png": 0})
    (source / "link.png").symlink_to(tmp_path / "secret.png")
    (source / "inner.png").symlink_to("a.png")
    refs = ["link.png", "../secret.png", str(tmp_path / "secret.png"), "inner.png"]
    with (source / "labels.csv").open("a") as stream:
        stream.writelines(f"{ref},1\n" for ref in refs)
    added = catalogue.add(source, classes=CLASSES)
    assert set(stored(catalogue, added.batch)) == {"labels.csv", "a.png", "inner.png"}
    assert all(path.read_bytes() != b"secret" for path in catalogue.store.root.rglob("*") if path.is_file())
    assert sorted(row.source_ref for row in added.refused) == sorted(refs[:3])


def test_a_labels_file_that_is_a_link_out_of_its_folder_is_refused(catalogue, tmp_path):
    labelled(tmp_path / "data", {"a.png": 0})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "labels.csv").symlink_to(tmp_path / "data" / "labels.csv")
    with pytest.raises(UserError, match="cannot be used: a symbolic link leads out"):
        catalogue.add(tmp_path / "other", classes=CLASSES)


def test_a_folder_for_each_class_brings_all_visible_files_and_says_what_it_left_out(catalogue, tmp_path):
    for name in ("negative/a.png", "positive/b.png", ".git/c.png", "elsewhere.txt"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(name.encode())
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "data" / "positive" / "link.png").symlink_to(tmp_path / "secret")
    added = catalogue.add(tmp_path / "data", classes=CLASSES)
    assert added.batch.labels == "."
    assert set(stored(catalogue, added.batch)) == {"negative/a.png", "positive/b.png", "elsewhere.txt"}
    assert {(row.source_ref, row.reason) for row in added.refused} == {
        ("elsewhere.txt", "label"),
        ("positive/link.png", "path"),
    }
    assert (added.rows, sum(added.per_label.values())) == (4, 2)


def test_a_reference_is_every_visible_picture_and_needs_no_labels(catalogue, tmp_path):
    for name in ("a.png", "deep/b.JPG", "c.jpeg", "d.webp", "labels.csv", "notes.txt", ".hidden.png", ".git/e.png"):
        (tmp_path / "sample" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sample" / name).write_bytes(name.encode())
    added = catalogue.add(tmp_path / "sample", classes=CLASSES, kind=REFERENCE)
    assert set(stored(catalogue, added.batch)) == {"a.png", "deep/b.JPG", "c.jpeg", "d.webp"}
    assert (added.batch.labels, added.rows, sum(added.per_label.values())) == (".", 4, 0)
    assert catalogue.rows(added.batch, CLASSES)[0].empty


def test_labels_that_were_changed_in_the_store_are_not_read(catalogue, tmp_path):
    batch = catalogue.add(labelled(tmp_path / "data", {"a.png": 0, "b.png": 1}), classes=CLASSES).batch
    labels = catalogue.folder(batch) / "labels.csv"
    labels.chmod(0o644)
    for change in ("path,label\na.png,1\nb.png,1\n", None):
        labels.write_text(change) if change else labels.unlink()
        with pytest.raises(UserError, match=r"labels\.csv (or its listing was changed|of batch .* cannot be read)"):
            catalogue.rows(batch, CLASSES)


def test_a_review_may_name_screenshots_by_their_checksum_alone(catalogue, tmp_path):
    source = labelled(tmp_path / "data", {"a.png": 0, "b.png": 1})
    catalogue.add(source, classes=CLASSES)
    one, two = (sha256_file(source / name) for name in ("a.png", "b.png"))
    added = catalogue.add(
        review(tmp_path / "review", f"{one},1,,Ada,a game", f"{two},,near-conflict,Ada,fine"),
        classes=CLASSES,
        kind=REVIEW,
    )
    assert set(stored(catalogue, added.batch)) == {"decisions.csv"}
    assert (added.rows, len(added.refused), added.screenshots) == (2, 0, 0)
    assert dict(added.per_label) == {"negative": 0, "positive": 1}


def test_a_screenshot_that_the_store_holds_already_takes_no_more_room(catalogue, tmp_path):
    first = catalogue.add(labelled(tmp_path / "one", {"a.png": 0}), classes=CLASSES).batch
    second = catalogue.add(labelled(tmp_path / "two", {"a.png": 1}), classes=CLASSES).batch
    assert (catalogue.folder(second) / "a.png").samefile(catalogue.folder(first) / "a.png")


def test_a_batch_does_not_change_with_the_files_it_came_from(catalogue, tmp_path):
    source = labelled(tmp_path / "data", {"a.png": 0})
    batch = catalogue.add(source, classes=CLASSES).batch
    (source / "a.png").write_bytes(b"changed")
    assert stored(catalogue, batch)["a.png"] == b"a.png"


def test_a_file_that_changes_while_it_is_read_is_an_error_and_no_batch(catalogue, tmp_path):
    source = labelled(tmp_path / "data", {"a.png": 0, "b.png": 1})

    def meddle(verb, done, total):
        if (verb, done) == ("Hashed", total):
            (source / "b.png").write_bytes(b"changed")

    with pytest.raises(UserError, match=r"b\.png changed while it was read"):
        catalogue.add(source, classes=CLASSES, progress=meddle)
    assert catalogue.batches() == []
    assert not [key for key in visible(catalogue) if key.endswith("b.png")]


def test_a_file_that_vanishes_before_it_is_read_is_left_out_with_its_reason(catalogue, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / "data" / "positive" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "positive" / name).write_bytes(name.encode())

    def meddle(verb, done, total):
        (tmp_path / "data" / "positive" / "b.png").unlink(missing_ok=True)

    added = catalogue.add(tmp_path / "data", classes=CLASSES, progress=meddle)
    assert set(stored(catalogue, added.batch)) == {"positive/a.png"}
    assert [(row.source_ref, row.reason) for row in added.refused] == [("positive/b.png", "missing-file")]


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (lambda folder: labelled(folder, {"a.png": ""}), LABELS, "holds no usable row; the first of 1 that"),
        (lambda folder: labelled(folder, {"a.png": "perhaps"}), LABELS, "the labels are 'perhaps'"),
        (lambda folder: labelled(folder, {}), LABELS, "holds no usable row"),
        (lambda folder: folder.mkdir(), LABELS, "holds no labelled data"),
        (lambda folder: labelled(folder, {}), REFERENCE, "holds no picture"),
        (lambda folder: review(folder, "nonsense,1,,,"), REVIEW, "holds no usable row"),
        (lambda _: None, LABELS, "there is no such folder"),
        (lambda folder: labelled(folder, {"a.png": 1}), "best", "one of labels, review, reference is wanted"),
    ],
)
def test_what_holds_nothing_usable_is_one_sentence_and_no_batch(catalogue, tmp_path, make, kind, says):
    make(tmp_path / "data")
    with pytest.raises(UserError, match=says):
        catalogue.add(tmp_path / "data", classes=CLASSES, kind=kind)
    assert visible(catalogue) == []


def test_one_of_several_labels_files_can_be_named(catalogue, tmp_path):
    source = labelled(tmp_path / "data", {"a.png": 0})
    (source / "other.csv").write_text("path,label\na.png,1\n")
    with pytest.raises(UserError, match="several labels files"):
        catalogue.add(source, classes=CLASSES)
    assert catalogue.add(source, classes=CLASSES, labels="other.csv").batch.labels == "other.csv"
    with pytest.raises(UserError, match="is a file, and so the labels file itself"):
        catalogue.add(source / "labels.csv", classes=CLASSES, labels="other.csv")
    with pytest.raises(UserError, match="cannot be used"):
        catalogue.add(source, classes=CLASSES, labels="../data/labels.csv")


def test_a_home_among_the_data_is_refused(tmp_path):
    (tmp_path / "positive").mkdir()
    (tmp_path / "positive" / "a.png").write_bytes(b"a")
    with pytest.raises(UserError, match="the home lies in the data"):
        catalogue_in(tmp_path / "home").add(tmp_path, classes=CLASSES)
    assert catalogue_in(tmp_path / ".tilegate").add(tmp_path, classes=CLASSES).screenshots == 1


def test_a_batch_that_is_not_there_and_a_card_that_is_broken_are_one_sentence(catalogue, tmp_path):
    with pytest.raises(UserError, match="there is no batch 'gone'"):
        catalogue.card("gone")
    batch = catalogue.add(labelled(tmp_path / "data", {"a.png": 0}), classes=CLASSES).batch
    uri = SETTINGS.uri("catalogue", f"{batch.name}.json")
    whole = json.loads(catalogue.store.path(uri).read_text())
    for broken in ({**whole, "version": 2}, {**whole, "rows": "1"}, {**whole, "name": "other"}, {"version": 1}, []):
        catalogue.store.put_bytes(json.dumps(broken).encode(), uri)
        with pytest.raises(UserError, match=f"{batch.name}.json is no card of a batch"):
            catalogue.batches()


# --- kills and crowds


def dying(catalogue, lives):
    catalogue.data = Mortal(catalogue.data, lives, kill_this_process)
    return catalogue


def test_what_a_killed_add_left_is_garbage_after_a_day_and_its_content_can_come_again(catalogue, tmp_path):
    source = labelled(tmp_path / "data", {"a.png": 0})
    in_processes(lambda: str(dying(catalogue_in(tmp_path / "home"), 3).add(source, classes=CLASSES)))
    assert orphans(catalogue, lambda _: True) == []
    found = orphaned(catalogue)
    assert {key.split("/")[0] for key in found} == {"catalogue", "labelled"}
    remove(catalogue.store, found.values())
    assert visible(catalogue) == []
    assert not catalogue.add(source, classes=CLASSES).already


def test_who_adds_while_all_garbage_is_removed_is_told_and_leaves_no_half_batch(catalogue, tmp_path):
    source = labelled(tmp_path / "data", {"a.png": 0})

    def meddle(verb, done, total):
        if (verb, done) == ("Stored", total):
            remove(catalogue.store, orphans(catalogue, lambda _: True, min_age_seconds=0))

    with pytest.raises(UserError, match="was removed while it was being added"):
        catalogue.add(source, classes=CLASSES, progress=meddle)
    assert catalogue.batches() == []


def test_two_who_add_the_same_at_once_make_one_batch(catalogue, tmp_path):
    source = labelled(tmp_path / "data", {f"{n}.png": n % 2 for n in range(50)})

    def add():
        added = catalogue_in(tmp_path / "home").add(source, classes=CLASSES)
        return [added.batch.name, added.already, added.new_screenshots]

    told = in_processes(add, add)
    assert sorted((already, new) for _, already, new in told) == [(False, 50), (True, 0)]
    assert [[batch.name] for batch in catalogue.batches()] == [list({name for name, _, _ in told})]
    assert len(stored(catalogue, catalogue.batches()[0])) == 51


def test_two_who_add_different_data_at_once_make_two_batches_in_some_order(catalogue, tmp_path):
    sources = [labelled(tmp_path / str(k), {f"{k}{n}.png": 1 for n in range(20)} | {"both.png": 0}) for k in (1, 2)]
    told = in_processes(
        *(lambda s=source: catalogue_in(tmp_path / "home").add(s, classes=CLASSES).batch.name for source in sources)
    )
    batches = catalogue.batches()
    assert set(told) == {batch.name for batch in batches}
    # The screenshot that both bring belongs to the one that came first.
    parts = parts_of(batches, lambda batch: catalogue.listing(batch.name))
    assert [len(part.files) for part in parts] == [21, 20]


# --- one screenshot


def test_a_screenshot_is_found_by_its_beginning_and_with_every_row_that_labels_it(catalogue, tmp_path):
    source = labelled(tmp_path / "one", {"a.png": 0, "b.png": 1})
    checksum = sha256_file(source / "a.png")
    first = catalogue.add(source, classes=CLASSES).batch
    catalogue.add(labelled(tmp_path / "two", {"c.png": 0}), classes=CLASSES)
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "x.png").write_bytes(b"a.png")
    third = catalogue.add(tmp_path / "three", classes=CLASSES, kind=REFERENCE).batch
    fourth = catalogue.add(review(tmp_path / "four", f"{checksum},1,,Ada,"), classes=CLASSES, kind=REVIEW).batch
    assert catalogue.screenshots(checksum[:8].upper()) == [checksum]
    found = [(s.batch, s.path, s.rows["label"].tolist()) for s in catalogue.sightings(checksum, CLASSES)]
    assert found == [(first, "a.png", [0]), (third, "x.png", []), (fourth, None, [1])]


# --- what nobody refers to

LATER = 2 * DAY_SECONDS


def put(catalogue, *keys):
    for key in keys:
        catalogue.store.put_bytes(b"x" * 10, SETTINGS.uri(key))


def orphaned(catalogue, alive=lambda _: True, **options):
    now = datetime.now(UTC).timestamp() + LATER
    return {
        orphan.uri.removeprefix(SETTINGS.uri() + "/"): orphan
        for orphan in orphans(catalogue, alive, now=now, **options)
    }


def test_a_store_that_is_whole_has_no_orphans(catalogue, tmp_path):
    catalogue.add(labelled(tmp_path / "data", {"a.png": 0}), classes=CLASSES)
    put(catalogue, "facts/1/p/facts.parquet", "facts/1/p/thumbnails.parquet")
    assert orphaned(catalogue) == {}


def test_a_batch_without_a_card_is_an_orphan_unless_a_snapshot_names_it(catalogue, tmp_path):
    put(
        catalogue,
        "labelled/killed/labels.csv",
        "labelled/killed/a.png",
        "labelled/named/a.png",
        "catalogue/killed.parquet",
    )
    batch = Batch("named", ".", "0" * 64)
    write_snapshot(tmp_path / "snapshot", [batch], Place())
    catalogue.store.commit(tmp_path / "snapshot", SETTINGS.uri("datasets", snapshot_digest([batch])))
    found = orphaned(catalogue)
    assert set(found) == {"labelled/killed", "catalogue/killed.parquet"}
    assert (found["labelled/killed"].files, found["labelled/killed"].bytes) == (2, 20)


def test_bytes_that_have_another_name_are_not_counted_as_freed(catalogue, tmp_path):
    put(catalogue, "labelled/killed/own.png")
    batch = catalogue.add(labelled(tmp_path / "data", {"a.png": 0}), classes=CLASSES).batch
    os.link(catalogue.folder(batch) / "a.png", catalogue.store.path(SETTINGS.uri("labelled/killed/a.png")))
    assert orphaned(catalogue)["labelled/killed"].bytes == 10


def test_what_was_touched_within_a_day_is_left_alone(catalogue):
    put(catalogue, "labelled/killed/a.png")
    assert orphans(catalogue, lambda _: True) == []
    assert [orphan.uri for orphan in orphans(catalogue, lambda _: True, min_age_seconds=0)] == [
        SETTINGS.uri("labelled/killed")
    ]


def test_what_killed_commands_left_is_found_wherever_they_left_it(catalogue, tmp_path, monkeypatch):
    """In the home, and among the temporary files of this machine, but there nothing of today and nothing of others."""
    home, tmp = catalogue.store.root.parent, tmp_path / "tmp"
    left = ["store/.staging/1-x", "releases/.a.tilegate-part", "store/b/c/.d.tilegate-part", "runs/r/.unfinished.b"]
    temporary = ["tilegate-release-x/model.tar.gz", "__autograph_generated_filex.py", "other/tilegate-y", "file"]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp))
    for path in (home / left[0] / "file", *(home / name for name in left[1:]), *(tmp / name for name in temporary)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert [orphan.uri for orphan in leftovers(catalogue.store)] == left
    found = {orphan.uri: orphan for orphan in leftovers(catalogue.store, now=datetime.now(UTC).timestamp() + LATER)}
    assert list(found) == [*left, str(tmp / "tilegate-release-x"), str(tmp / temporary[1])]
    assert [uri for uri, orphan in found.items() if not orphan.touched] == left[:1]
    remove(catalogue.store, found.values())
    assert list(leftovers(catalogue.store)) == []
    assert {path.name for path in tmp.iterdir()} == {"other", "file"}


def test_orphans_are_removed_and_nothing_else(catalogue, tmp_path):
    added = catalogue.add(labelled(tmp_path / "data", {"a.png": 0}), classes=CLASSES)
    before = visible(catalogue)
    put(catalogue, "labelled/killed/deep/a.png", "catalogue/killed.parquet", "facts/1/p/facts.parquet")
    remove(catalogue.store, orphaned(catalogue).values())
    assert visible(catalogue) == before
    assert stored(catalogue, added.batch)["a.png"] == b"a.png"
    assert orphaned(catalogue) == {}


def cut_part(catalogue, key):
    """A whole part of the tile store; returns its shard's name."""
    encoded = (b"overview", key.encode(), b"tile")
    cut = CutScreenshot(plan_tiles(10, 20), encoded)
    index = write_part(catalogue.store.path(SETTINGS.uri("tiles")), key, [("0" * 64, cut)])
    return index["shard"].iloc[0]


def test_a_part_of_the_tile_store_is_an_orphan_without_its_index_or_a_shard(catalogue):
    shards = {part: cut_part(catalogue, f"spec/{part}") for part in ("whole", "no-index", "no-shard")}
    catalogue.store.path(SETTINGS.uri("tiles/spec/no-index/tiles.parquet")).unlink()
    catalogue.store.path(SETTINGS.uri(f"tiles/{shards['no-shard']}")).unlink()
    put(catalogue, "tiles/spec/whole/tiles-0123456789abcdef.tfrecord")
    found = {key: orphan.why for key, orphan in orphaned(catalogue).items()}
    assert found == {
        "tiles/spec/no-index": "a part without its tiles.parquet",
        "tiles/spec/no-shard": f"a part without its {shards['no-shard'].rpartition('/')[2]}",
        "tiles/spec/whole/tiles-0123456789abcdef.tfrecord": "a shard that no index names",
    }


@pytest.mark.parametrize("lacking", ["facts.parquet", "thumbnails.parquet"])
def test_facts_without_one_of_their_tables_are_an_orphan(catalogue, lacking):
    put(catalogue, *(f"facts/1/p/{name}" for name in ("facts.parquet", "thumbnails.parquet") if name != lacking))
    assert [orphan.why for orphan in orphaned(catalogue).values()] == [f"a part without its {lacking}"]


def test_whole_parts_go_only_when_nothing_uses_them(catalogue):
    for part in ("used", "unused"):
        cut_part(catalogue, f"spec/{part}")
    asked = []

    def alive(uri):
        asked.append(uri)
        return uri.endswith("/used")

    assert set(orphaned(catalogue, alive)) == {"tiles/spec/unused"}
    assert asked == [SETTINGS.uri("tiles/spec/unused"), SETTINGS.uri("tiles/spec/used")]


def test_nothing_is_called_an_orphan_while_a_snapshot_cannot_be_read(catalogue):
    put(catalogue, "labelled/killed/a.png", "datasets/x/manifest.jsonl")
    with pytest.raises(UserError, match="line 1: not a batch"):
        orphaned(catalogue)
