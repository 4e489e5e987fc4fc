"""Labelled data on their way into the store: immutable, named by content, and nothing from outside the folder."""

import json

import pytest

from pipelines.data.catalogue import Catalogue
from pipelines.data.snapshots import current_dataset, source_of
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from pipelines.runs.local_start import data_here, snapshot_of, weights_of
from pipelines.storage.folder import FolderObjects
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes

SETTINGS = Settings()
CLASSES = Classes()
BATCHES = "ad-hoc/batches"


def bucket(store):
    return store.path(SETTINGS.uri())


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "home" / "store")


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(b"secret")
    for name in "ab":
        (folder / "images" / f"{name}.png").write_bytes(name.encode())
    (folder / "images" / "unlabelled.png").write_bytes(b"not mine")
    (folder / "images" / "link.png").symlink_to(tmp_path / "secret.png")
    refs = [
        "images/a.png",
        "images/b.png",
        "../secret.png",
        str(tmp_path / "secret.png"),
        "images/link.png",
        "gone.png",
    ]
    lines = [json.dumps({"source-ref": ref, "k": 1, "k-metadata": {}}) for ref in refs]
    (folder / "m.manifest").write_text("\n".join([*lines, "broken"]))
    return folder


def stored(store, uri):
    root = store.path(uri)
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_a_snapshot_lists_its_batch_and_exactly_its_objects(store, data):
    snapshot = snapshot_of(data, store, SETTINGS, CLASSES)
    batch = snapshot.batches[0]
    assert source_of(snapshot.uri, data_here(store, SETTINGS)) == snapshot.source
    assert snapshot.source.batches(bucket(store)) == [batch]
    assert list(snapshot.source.listing(bucket(store), batch)["path"]) == ["images/a.png", "images/b.png"]
    assert stored(store, SETTINGS.uri(BATCHES, batch.name)) == {"m.manifest", "images/a.png", "images/b.png"}


def test_nothing_from_outside_the_folder_enters_the_store(store, data):
    snapshot_of(data, store, SETTINGS, CLASSES)
    assert all(path.read_bytes() != b"secret" for path in store.root.rglob("*") if path.is_file())


def test_equal_data_give_the_same_snapshot_and_changed_data_another(store, data):
    first = snapshot_of(data, store, SETTINGS, CLASSES)
    assert snapshot_of(data, store, SETTINGS, CLASSES) == first
    (data / "images" / "unlabelled.png").write_bytes(b"changed")
    assert snapshot_of(data, store, SETTINGS, CLASSES) == first
    (data / "images" / "a.png").write_bytes(b"changed")
    second = snapshot_of(data, store, SETTINGS, CLASSES)
    assert second.uri != first.uri
    assert store.path(SETTINGS.uri(BATCHES, first.batches[0].name, "images/a.png")).read_bytes() == b"a"


def test_the_labels_file_itself_can_be_named(store, data):
    by_file = snapshot_of(data / "m.manifest", store, SETTINGS, CLASSES)
    assert by_file == snapshot_of(data, store, SETTINGS, CLASSES)


def test_a_folder_per_class_is_a_batch_without_a_labels_file(store, tmp_path):
    for name in ("negative/a.png", "positive/b.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).write_bytes(name.encode())
    snapshot = snapshot_of(tmp_path / "data", store, SETTINGS, CLASSES)
    assert snapshot.batches[0].labels == "."
    assert stored(store, SETTINGS.uri(BATCHES, snapshot.batches[0].name)) == {"negative/a.png", "positive/b.png"}


def test_missing_data_are_one_sentence(store, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        snapshot_of(tmp_path / "gone", store, SETTINGS, CLASSES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no labelled data"):
        snapshot_of(tmp_path / "empty", store, SETTINGS, CLASSES)


def artifacts_of(store):
    return FolderObjects(store.path(SETTINGS.artifact_uri()), SETTINGS.bucket)


def test_weights_are_named_by_content(store, tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    names = ("mobilenet_v3_small_notop", "mobilenet_v3_large_minimalistic_notop", "mobilenet_v3_large_notop")
    for name in names:
        (folder / f"{name}.weights.h5").write_bytes(name.encode())
    for backbone, name in zip(("small", "large-minimalistic", "large"), names, strict=True):
        uri = weights_of(folder, backbone, artifacts_of(store))
        assert store.path(f"{uri}/pretrained.weights.h5").read_bytes() == name.encode()
    with pytest.raises(UserError, match="holds none for the backbone 'small-minimalistic'"):
        weights_of(folder, "small-minimalistic", artifacts_of(store))
    one = folder / f"{names[0]}.weights.h5"
    assert weights_of(one, "large", artifacts_of(store)) == weights_of(folder, "small", artifacts_of(store))


def test_weights_under_another_name_are_refused_instead_of_left_out(store, tmp_path):
    (tmp_path / "weights_no_top_v2.h5").write_bytes(b"weights")
    with pytest.raises(UserError, match=r"no \*\.weights\.h5"):
        weights_of(tmp_path / "weights_no_top_v2.h5", "small", artifacts_of(store))


def test_a_home_among_the_data_is_refused_and_hidden_folders_are_no_data(tmp_path):
    for name in ("negative/a.png", "positive/b.png", ".git/c.png", "positive/.cache/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    hidden = LocalStore(tmp_path / ".tilegate" / "store")
    first = snapshot_of(tmp_path, hidden, SETTINGS, CLASSES)
    assert len(first.source.listing(bucket(hidden), first.batches[0])) == 2
    assert snapshot_of(tmp_path, hidden, SETTINGS, CLASSES) == first
    with pytest.raises(UserError, match="the home lies in the data"):
        snapshot_of(tmp_path, LocalStore(tmp_path / "home" / "store"), SETTINGS, CLASSES)


def test_the_s3_uris_of_ground_truth_name_the_files_where_a_download_put_them(store, tmp_path):
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "images" / "a.png").write_bytes(b"a")
    record = {"source-ref": "s3://customer/jobs/7/images/a.png", "k": 1, "k-metadata": {"class-name": "positive"}}
    (tmp_path / "data" / "output.manifest").write_text(json.dumps(record))
    snapshot = snapshot_of(tmp_path / "data", store, SETTINGS, CLASSES)
    batch = SETTINGS.uri(BATCHES, snapshot.batches[0].name)
    assert stored(store, batch) == {"output.manifest", "images/a.png"}


def test_a_labels_file_that_names_nothing_here_is_one_sentence(store, tmp_path):
    (tmp_path / "labels.csv").write_text(f"path,label\ngone.png,1\n{tmp_path}/labels.csv,0\n")
    with pytest.raises(UserError, match="names no readable file"):
        snapshot_of(tmp_path, store, SETTINGS, CLASSES)


def test_the_catalogues_snapshot_holds_every_batch_that_was_added(store, data, tmp_path):
    assert current_dataset(data_here(store, SETTINGS)) is None
    catalogue = Catalogue(store, SETTINGS)
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / "a.png").write_bytes(b"production")
    reference = catalogue.add(tmp_path / "production", classes=CLASSES, kind="reference").batch
    assert current_dataset(data_here(store, SETTINGS)) is None, "there is nothing to learn from yet"
    first = catalogue.add(data, classes=CLASSES).batch
    snapshot = current_dataset(data_here(store, SETTINGS))
    assert snapshot.batches == (reference, first)
    assert current_dataset(data_here(store, SETTINGS)) == snapshot
    assert source_of(snapshot.uri, data_here(store, SETTINGS)) == snapshot.source
    assert source_of(SETTINGS.uri("datasets", "gone"), data_here(store, SETTINGS)) is None
