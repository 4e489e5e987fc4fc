"""What a release is made of, and which artefacts and files never become one."""

import base64
import hashlib
import json

import pytest

from pipelines.registry.protocol import RegistryError
from pipelines.release import store
from pipelines.release.verify import MANIFEST_TYPE, opened
from steps.core.common.errors import UserError
from steps.device import contract
from tests.pipelines.release.kit import GROUP, WHO, everything, files_of, passed

MANIFEST = "releases/1/manifest.json"


@pytest.fixture
def objects(bench):
    return bench.new_bucket()


def publish(bench, objects, version=1):
    return bench.publisher(objects).publish(version, "stable", 100, **WHO)


def test_a_manifest_says_what_was_judged_approved_and_released(bench, objects):
    version = bench.approve(2)
    publish(bench, objects)
    state = publish(bench, objects, version)
    manifest = opened(objects.get(state.release.manifest), MANIFEST_TYPE, bench.keys(), "manifest")
    files = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files_of("1").items()
    }
    found = bench.registry.get(GROUP, version)
    before = objects.get(MANIFEST)
    assert manifest == {
        "format": 1,
        "group": GROUP,
        "version": 2,
        "archive_sha256": found.sha256,
        "files": [{"path": name, **files[name]} for name in sorted(files)],
        "approval": {**WHO, "at": found.approval.at},
        "gate": {"fpr": "0.004", "fpr_upper": "0.009", "tpr": "0.93", **passed(files_of("1"))},
        "previous": {"version": 1, "manifest_sha256": hashlib.sha256(before).hexdigest()},
    }
    assert {key: objects.get(key) for key in files_keys(objects, 2)} == {
        f"releases/2/{name}": data for name, data in files_of("1").items()
    }


def files_keys(objects, version):
    return [i.key for i in objects.list(f"releases/{version}/") if not i.key.endswith("/manifest.json")]


def test_the_bytes_are_those_that_were_registered(here, objects_here):
    """An archive that was exchanged after its approval is refused; nothing of it comes near a phone."""
    version = here.approve()
    found = here.registry.get(GROUP, version)
    (archive,) = (here.folder / "home").rglob("model.tar.gz")
    archive.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(RegistryError, match=f"but {found.sha256} was registered"):
        publish(here, objects_here)
    assert everything(objects_here) == {}


@pytest.fixture
def objects_here(here):
    return here.new_bucket()


@pytest.mark.parametrize(
    ("files", "metadata", "sentence"),
    [
        ({"model.json": b"{}"}, {}, "has no model.tflite: its archive is no bundle"),
        (None, {"tflite_sha256": "0" * 64}, f"but {'0' * 64} was judged: reject it"),
        (None, {"tflite_sha256": ""}, "nothing says that the model.tflite of .* has passed the gate"),
        (None, {"failed_checks": "1"}, "nothing says that the model.tflite of .* has passed the gate"),
        ({**files_of("x"), "manifest.json": b"{}"}, {}, "has a file 'manifest.json', which cannot be released"),
        ({**files_of("x"), "golden/a b.png": b""}, {}, "has a file 'golden/a b.png', which cannot"),
        ({**files_of("x"), "golden/é.png": b""}, {}, "has a file 'golden/é.png', which cannot"),
    ],
    ids=["no model", "another model", "not judged", "not passed", "a manifest of its own", "a space", "no ASCII"],
)
def test_an_archive_that_is_no_bundle_is_refused_before_anything_is_written(
    here, objects_here, files, metadata, sentence
):
    version = here.register(files, **metadata)
    here.registry.approve(GROUP, version, **WHO)
    with pytest.raises(UserError, match=sentence):
        publish(here, objects_here, version)
    assert list(objects_here.list("releases/")) == []


def test_a_file_that_lies_there_already_with_other_bytes_is_named_and_left(bench, objects):
    bench.approve()
    objects.put("releases/1/golden/screen.png", b"somebody's")
    with pytest.raises(UserError, match=r"releases/1/golden/screen.png has sha256 .* never written over"):
        publish(bench, objects)
    assert objects.get("releases/1/golden/screen.png") == b"somebody's"
    assert objects.info(MANIFEST) is None
    assert objects.info("channels/stable.json") is None


def test_a_file_in_a_release_s_folder_that_is_not_of_the_archive_stops_it(bench, objects):
    bench.approve()
    objects.put("releases/1/golden/more.png", b"somebody's")
    with pytest.raises(UserError, match=r"releases/1/golden/more.png is no file of the archive that was approved"):
        publish(bench, objects)
    assert objects.info(MANIFEST) is None


def test_the_model_is_the_file_that_the_bundle_s_writer_calls_so():
    assert store.TFLITE_FILE == contract.TFLITE_FILE


@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_a_released_file_that_is_not_what_it_was_stops_every_move_to_it(bench, objects, change):
    bench.approve(2)
    for version in (1, 2):
        publish(bench, objects, version)
    key = "releases/1/model.tflite"
    objects.delete(key)
    if change == "replaced":
        objects.put(key, b"model 0 with more")
    for move in (
        lambda: bench.publisher(objects).rollback("stable", to=1, by="Bob", reason="alarms"),
        lambda: bench.publisher(objects).publish(1, "beta", 100, **WHO),
    ):
        with pytest.raises(UserError, match=r"releases/1/model.tflite is (missing|not the file that was released)"):
            move()
    assert bench.read(objects)["release"]["version"] == 2


def test_a_manifest_that_somebody_else_wrote_is_refused(bench, objects):
    bench.approve()
    payload = base64.b64encode(b'{"format": 1, "files": []}').decode()
    forged = {"payloadType": MANIFEST_TYPE, "payload": payload, "signatures": []}
    objects.put(MANIFEST, json.dumps(forged).encode())
    with pytest.raises(UserError, match=r"releases/1/manifest.json is signed by none of the 1 keys"):
        publish(bench, objects)


def test_another_registry_s_version_of_the_same_number_is_no_re_use(bench, objects, monkeypatch):
    """A home that was made anew begins with version 1 again: phones must not get another model under that name."""
    bench.approve(2)
    publish(bench, objects)
    publisher = bench.publisher(objects)
    second = bench.registry.get(GROUP, 2)
    renumbered = type(second)(**{name: getattr(second, name) for name in second.__slots__} | {"version": 1})
    monkeypatch.setattr(bench.registry, "get", lambda *_: renumbered)
    with pytest.raises(UserError, match=f"and {second.sha256} was approved: a release is never written over"):
        publisher.publish(1, "stable", 100, **WHO)
