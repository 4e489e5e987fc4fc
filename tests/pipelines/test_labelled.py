"""Labelled data on their way into the store: immutable, named by content, and nothing from outside the folder."""

import json

import pytest

from pipelines.labelled import snapshot_of, weights_of
from pipelines.local import LocalStore
from pipelines.settings import Settings
from steps.core.classes import Classes
from steps.core.errors import UserError

SETTINGS = Settings()
CLASSES = Classes()


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
    objects = json.loads(store.path(f"{snapshot.uri}/objects.manifest").read_text())
    assert objects[0] == {"prefix": "s3://tilegate-local/labelled/"}
    assert set(objects[1:]) == {f"{batch.name}/{name}" for name in ("m.manifest", "images/a.png", "images/b.png")}
    assert stored(store, SETTINGS.uri("labelled", batch.name)) == {"m.manifest", "images/a.png", "images/b.png"}


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
    assert store.path(SETTINGS.uri("labelled", first.batches[0].name, "images/a.png")).read_bytes() == b"a"


def test_the_labels_file_itself_can_be_named(store, data):
    by_file = snapshot_of(data / "m.manifest", store, SETTINGS, CLASSES)
    assert by_file == snapshot_of(data, store, SETTINGS, CLASSES)


def test_a_folder_per_class_is_a_batch_without_a_labels_file(store, tmp_path):
    for name in ("negative/a.png", "positive/b.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).write_bytes(name.encode())
    snapshot = snapshot_of(tmp_path / "data", store, SETTINGS, CLASSES)
    assert snapshot.batches[0].labels == "."
    assert stored(store, SETTINGS.uri("labelled", snapshot.batches[0].name)) == {"negative/a.png", "positive/b.png"}


def test_missing_data_are_one_sentence(store, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        snapshot_of(tmp_path / "gone", store, SETTINGS, CLASSES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no labelled data"):
        snapshot_of(tmp_path / "empty", store, SETTINGS, CLASSES)


def test_weights_are_named_by_content_and_none_is_a_folder_that_says_so(store, tmp_path):
    random = weights_of(None, "small", store, SETTINGS)
    assert json.loads(store.path(f"{random}/initialisation.json").read_text()) == {"initialisation": "random"}
    folder = tmp_path / "weights"
    folder.mkdir()
    names = ("mobilenet_v3_small_notop", "mobilenet_v3_large_minimalistic_notop", "mobilenet_v3_large_notop")
    for name in names:
        (folder / f"{name}.weights.h5").write_bytes(name.encode())
    for backbone, name in zip(("small", "large-minimalistic", "large"), names, strict=True):
        assert stored(store, weights_of(folder, backbone, store, SETTINGS)) == {f"{name}.weights.h5"}
    with pytest.raises(UserError, match="holds none for the backbone 'small-minimalistic'"):
        weights_of(folder, "small-minimalistic", store, SETTINGS)
    one = folder / f"{names[0]}.weights.h5"
    assert weights_of(one, "large", store, SETTINGS) == weights_of(folder, "small", store, SETTINGS)
