"""The app's Kotlin follows a channel as the verifier does; what was changed, put back or of others is refused."""

import base64
import hashlib
import json
import shutil

import pytest

from pipelines.release.verify import CHANNEL_TYPE
from tests.android.kit import kotlin, needs_kotlin
from tests.pipelines.release.test_verify import V1

pytestmark = [pytest.mark.integration, needs_kotlin]

EXPECTED = json.loads((V1 / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture
def root(tmp_path):
    return shutil.copytree(V1, tmp_path / "copy")


def follow(root, *, seen=0, channel="stable", names=tuple(EXPECTED["installations"])):
    done = kotlin("shares", root, V1 / "public.pem", channel, seen, said="".join(f"{name}\n" for name in names))
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


def files(version):
    folder = V1 / "releases" / str(version)
    listed = (path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in listed}


def test_every_installation_gets_the_files_of_its_share(root):
    assert follow(root, seen=EXPECTED["sequence"]) == {
        name: {"share": wanted["share"], "files": files(wanted["version"])}
        for name, wanted in EXPECTED["installations"].items()
    }


def change(path, old, new):
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def repack(path, old, new):
    """Change the payload of an envelope and leave its signature."""
    envelope = json.loads(path.read_text())
    payload = base64.b64decode(envelope["payload"])
    assert old in payload
    path.write_text(json.dumps({**envelope, "payload": base64.b64encode(payload.replace(old, new)).decode()}))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (
            lambda r: repack(r / "channels/stable.json", b'"percent": 30', b'"percent": 99'),
            "signed by none of the keys",
        ),
        (lambda r: change(r / "channels/stable.json", CHANNEL_TYPE.encode(), b"text/plain"), "signed by none"),
        (lambda r: shutil.copy(r / "releases/2/manifest.json", r / "channels/stable.json"), "signed as something else"),
        (lambda r: shutil.copy(r / "channels/stable.json", r / "channels/beta.json"), "signed for another channel"),
        (lambda r: shutil.copy(r / "releases/1/manifest.json", r / "releases/2/manifest.json"), "not the manifest of"),
        (lambda r: (r / "releases/2/model.tflite").write_bytes(b"another"), "changed: model.tflite"),
    ],
)
def test_what_was_changed_is_refused(root, harm, told):
    harm(root)
    channel = "beta" if (root / "channels/beta.json").exists() else "stable"
    assert f"tilegate.Refused: {told}" in follow(root, channel=channel, names=["phone-1"])


def test_a_channel_that_was_put_back_is_refused(root):
    shutil.copy(root / "channels/stable/history/00000001.json", root / "channels/stable.json")
    assert "tilegate.Refused: older than what was seen before" in follow(root, seen=EXPECTED["sequence"])
    assert "share" in follow(root, names=["0"])["0"]
