"""The verifier, all that a phone's side needs: alone, against hostile files, and for what was signed long ago."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.release import verify as verifier
from pipelines.release.signers import LocalSigner, sealed
from pipelines.release.verify import (
    CHANNEL_TYPE,
    MANIFEST_TYPE,
    Folder,
    VerificationError,
    authenticated,
    check_files,
    chosen,
    entry,
    is_included,
    opened,
    read_keys,
    share_of,
    verify_channel,
)

FIXTURES = Path(__file__).parent / "fixtures"
FORMATS = sorted(FIXTURES.glob("v*"))
V1 = FIXTURES / "v1"


@pytest.fixture
def signer(tmp_path):
    return LocalSigner(tmp_path / "keys")


@pytest.fixture
def keys(signer):
    return read_keys([signer.public_pem])


@pytest.mark.parametrize("folder", FORMATS, ids=lambda folder: folder.name)
def test_what_a_release_of_tilegate_has_signed_verifies_for_ever(folder):
    keys = read_keys([(folder / "public.pem").read_bytes()])
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    channel, manifests = verify_channel("stable", Folder(folder), keys)
    assert channel["sequence"] == expected["sequence"]
    assert [manifest["version"] for manifest in manifests] == expected["versions"]
    for installation, wanted in expected["installations"].items():
        assert share_of(expected["salt"], installation) == wanted["share"]
        assert (chosen(channel, installation) or {}).get("version") == wanted["version"]


def test_the_present_format_is_among_the_fixtures():
    """Whoever changes the format has to leave what the one before has signed."""
    assert verifier.FORMAT == 1
    assert [folder.name for folder in FORMATS] == ["v1"]


def test_the_fixtures_hold_no_private_key():
    files = [path for path in FIXTURES.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if b"PRIVATE" in path.read_bytes()]


def alone(tmp_path, *words):
    """Run a copy of the verifier, far from tilegate."""
    copy = tmp_path / "elsewhere" / "verify.py"
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(Path(verifier.__file__).read_bytes())
    # -S would hide cryptography as well; -c makes tilegate unfindable instead, should the copy ask for it.
    blocked = "import sys, runpy; sys.modules.update(dict.fromkeys(('pipelines', 'steps', 'infra')));"
    command = [sys.executable, "-I", "-c", f"{blocked} runpy.run_path({str(copy)!r}, run_name='__main__')", *words]
    return subprocess.run(command, cwd=copy.parent, capture_output=True, text=True, check=False, env=dict(os.environ))


def test_the_verifier_is_one_file_that_runs_without_tilegate(tmp_path, signer):
    done = alone(tmp_path, "--root", str(V1), "--key", str(V1 / "public.pem"), "--installation", "phone-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "version 2: 4 files as they were signed",
        "version 1: 4 files as they were signed",
        "stable 2: 30 % of installations",
        f"phone-1 runs version {2 if share_of('stable/2', 'phone-1') < 3000 else 1}",
    ]
    (tmp_path / "other.pem").write_bytes(signer.public_pem)
    both = alone(tmp_path, "--root", str(V1), "--key", str(tmp_path / "other.pem"), "--key", str(V1 / "public.pem"))
    assert both.returncode == 0
    other = alone(tmp_path, "--root", str(V1), "--key", str(tmp_path / "other.pem"))
    assert (other.returncode, other.stdout) == (1, "")
    assert other.stderr == f"error: {entry('stable', 1)} is signed by none of the 1 keys that are trusted\n"
    old = alone(tmp_path, "--root", str(V1), "--key", str(V1 / "public.pem"), "--seen", "3")
    assert (old.returncode, old.stdout) == (1, "")
    assert f"{entry('stable', 3)} is missing, for 3 was seen before" in old.stderr
    gone = alone(tmp_path, "--root", str(tmp_path), "--key", str(V1 / "public.pem"))
    assert (gone.returncode, gone.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    "path", sorted(p.relative_to(V1).as_posix() for p in V1.glob("releases/*/**/*") if p.is_file())
)
def test_a_changed_byte_in_any_file_is_found_and_the_file_named(path):
    keys = read_keys([(V1 / "public.pem").read_bytes()])

    class Changed(Folder):
        def get(self, key):
            data = (V1 / key).read_bytes()
            return data if key != path else data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]

    with pytest.raises(VerificationError, match=path):
        verify_channel("stable", Changed(V1), keys)


@given(st.integers(0, 1_000_000), st.integers(0, 7))
def test_no_bit_of_a_channel_can_be_turned(position, bit):
    """Whatever is turned: refused, or (in the envelope's blanks) the very same payload."""
    keys = read_keys([(V1 / "public.pem").read_bytes()])
    data = bytearray((V1 / "channels/stable.json").read_bytes())
    whole = opened(bytes(data), CHANNEL_TYPE, keys, "it")
    data[position % len(data)] ^= 1 << bit
    try:
        found = opened(bytes(data), CHANNEL_TYPE, keys, "it")
    except VerificationError:
        return
    assert found == whole


NESTED = b"[" * 100_000
HOSTILE = [b"", b"null", b"[]", b"{}", b"\xff", NESTED, b'{"payload": 1}', b'{"payload": "e30=", "payloadType": "x"}']


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_envelopes_are_no_more_than_refused(keys, data):
    with pytest.raises(VerificationError, match="it is no signed envelope"):
        opened(data, MANIFEST_TYPE, keys, "it")


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_no_bytes_end_otherwise_than_in_the_verifier_s_own_error(data):
    with pytest.raises(VerificationError):
        opened(data, MANIFEST_TYPE, {}, "it")


def test_one_good_signature_of_a_trusted_key_is_enough(signer, keys, tmp_path):
    """While a key is being replaced two sign, and a phone that knows one of them has to accept it."""
    other = LocalSigner(tmp_path / "other")
    data = json.loads(sealed({"format": 1}, MANIFEST_TYPE, signer))
    theirs = json.loads(sealed({"format": 1}, MANIFEST_TYPE, other))["signatures"][0]
    (good,) = data["signatures"]
    bad = {**good, "sig": theirs["sig"]}
    for signatures in ([theirs, good], [bad, good]):
        envelope = json.dumps({**data, "signatures": signatures}).encode()
        assert opened(envelope, MANIFEST_TYPE, keys, "it") == {"format": 1}
    for signatures in ([theirs], []):
        with pytest.raises(VerificationError, match="it is signed by none of the 1 keys"):
            opened(json.dumps({**data, "signatures": signatures}).encode(), MANIFEST_TYPE, keys, "it")
    with pytest.raises(VerificationError, match="it is not what was signed"):
        opened(json.dumps({**data, "signatures": [bad]}).encode(), MANIFEST_TYPE, keys, "it")


def test_a_manifest_is_no_channel_though_the_same_key_has_signed_both(signer, keys):
    envelope = json.loads(sealed({"format": 1}, MANIFEST_TYPE, signer))
    renamed = json.dumps({**envelope, "payloadType": CHANNEL_TYPE}).encode()
    with pytest.raises(VerificationError, match="it is not what was signed"):
        opened(renamed, CHANNEL_TYPE, keys, "it")


@pytest.mark.parametrize("payload", [b'{"format": 2}', b"{}", b"[1]", b"no JSON", b"\xff"])
def test_a_newer_format_is_told_and_not_guessed_at(signer, keys, payload):
    signature = base64.b64encode(signer.sign(authenticated(MANIFEST_TYPE, payload))).decode()
    envelope = {
        "payloadType": MANIFEST_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": next(iter(keys)), "sig": signature}],
    }
    with pytest.raises(VerificationError, match=r"it (has format .*take a newer verifier|holds no JSON)"):
        opened(json.dumps(envelope).encode(), MANIFEST_TYPE, keys, "it")


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "a/../../b", "a//b", "", ".", "a/./b", "a\\b", "a\nb", "a b"]
)
def test_no_listed_name_leads_out_of_a_release(path):
    manifest = {"files": [{"path": path, "bytes": 0, "sha256": ""}]}
    with pytest.raises(VerificationError, match="which is no plain relative path"):
        check_files(manifest, None, "releases/1")


@given(st.text(max_size=30), st.text(max_size=40), st.integers(0, 100), st.integers(0, 100))
def test_a_higher_percentage_drops_nobody(salt, installation, one, other):
    low, high = sorted((one, other))
    assert not is_included(salt, installation, low) or is_included(salt, installation, high)
    assert is_included(salt, installation, 100)
    assert not is_included(salt, installation, 0)


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
def test_the_share_is_the_percentage(percent):
    """10,000 installations: within five standard deviations of the binomial."""
    found = sum(is_included("stable/7", f"{number:032x}", percent) for number in range(10_000))
    assert abs(found - 100 * percent) < 5 * (10_000 * percent / 100 * (1 - percent / 100)) ** 0.5


def test_the_same_installations_are_not_always_the_first():
    """Of two independent tenths of 10,000, a tenth is in both: 100, give or take five standard deviations of 9.5."""
    first, second = (
        {number for number in range(10_000) if is_included(salt, str(number), 10)} for salt in ("stable/7", "stable/8")
    )
    assert abs(len(first & second) - 100) < 48
