"""Verify a release with nothing but a public key: what the phone's side of tilegate has to do, in one file.

It needs Python and `cryptography` and imports nothing else of tilegate, so it can be copied to wherever releases are
checked: `python verify.py --key public.pem --root FOLDER --channel stable`, where FOLDER is a copy of the release
bucket. `accepted` is what a phone does; `verify_channel` is that and the channel's whole log, for whoever watches.

A channel's log is `channels/<name>/history/<8 digits>.json`, numbered from 1; each entry names the sha256 of the one
before. `channels/<name>.json`, the pointer that phones read, is the same bytes as the last entry.

Formats. A manifest and a channel are DSSE v1 envelopes (https://github.com/secure-systems-lab/dsse): JSON with
`payloadType`, the payload in base64, and signatures with `keyid` and `sig`. A signature is ECDSA on P-256 with SHA-256
in DER (Java: `SHA256withECDSA`), over the envelope's pre-authentication encoding. A key id is the hex sha256 of the
public key as DER SubjectPublicKeyInfo. Whoever verifies accepts a set of keys, so that a key can be replaced.
"""

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

MANIFEST_TYPE = "application/vnd.tilegate.release.v1+json"
CHANNEL_TYPE = "application/vnd.tilegate.channel.v1+json"
FORMAT = 1
CHANNELS = "channels"
_SHARES = 10_000
_AT_ONCE = 8  # a request waits for S3, not for this machine
_WHOLE = 100
_PATH = re.compile(r"(?!.*(^|/)\.{1,2}(/|$))[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")

PublicKeys = Mapping[str, ec.EllipticCurvePublicKey]


class VerificationError(Exception):
    """What was looked at is not what the publisher signed; the message names it."""


class Bucket(Protocol):
    def keys(self, prefix: str) -> Iterable[str]:
        """Return the keys that begin with `prefix`, in their order."""

    def get(self, key: str) -> bytes:
        """Return an object's bytes; raises OSError or LookupError if there is none."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A copy of the release bucket."""

    root: Path

    def keys(self, prefix: str) -> list[str]:
        found = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())
        return sorted(key for key in found if key.startswith(prefix))

    def get(self, key: str) -> bytes:
        return (self.root / key).read_bytes()


@dataclass(frozen=True, slots=True)
class Log:
    """All that a channel was told to say, oldest first: payloads, and the envelopes they came in.

    `shown` is the number of entries that the pointer has reached, 0 if there is no pointer.
    """

    entries: tuple[Mapping[str, Any], ...]
    envelopes: tuple[bytes, ...]
    shown: int


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """Return the hex sha256 of a public key as DER SubjectPublicKeyInfo."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def read_keys(pems: Iterable[bytes]) -> PublicKeys:
    """Return public keys by their id; raises VerificationError for one that is no P-256 key in PEM."""
    keys = {}
    for pem in pems:
        try:
            key = serialization.load_pem_public_key(pem)
        except ValueError as error:
            raise VerificationError(f"a public key in PEM is wanted ({error})") from None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise VerificationError("a public key of the curve P-256 is wanted")
        keys[key_id(key)] = key
    return keys


def pem_of(key: str) -> bytes:
    """Return a public key in PEM from the base64 of its DER, which is what a PEM file has between its two lines."""
    return f"-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n".encode()


def authenticated(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding, the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def opened(data: bytes, payload_type: str, keys: PublicKeys, what: str) -> dict[str, Any]:
    """Return the payload of an envelope that one of the keys has signed; raises VerificationError naming `what`."""
    try:
        envelope = json.loads(data)
        payload = base64.b64decode(envelope["payload"], validate=True)
        kind = str(envelope["payloadType"])
        signatures = [(str(s["keyid"]), base64.b64decode(s["sig"], validate=True)) for s in envelope["signatures"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise VerificationError(f"{what} is no signed envelope ({type(error).__name__})") from None
    if kind != payload_type:
        raise VerificationError(f"{what} holds {kind[:100]!r}, and {payload_type} is wanted")
    known = [(keys[signer], signature) for signer, signature in signatures if signer in keys]
    if not known:
        raise VerificationError(f"{what} is signed by none of the {len(keys)} keys that are trusted")
    message = authenticated(kind, payload)
    # One that holds is enough: while a key is being replaced, two sign.
    if not any(_is_signed(message, signature, key) for key, signature in known):
        raise VerificationError(f"{what} is not what was signed: somebody has changed it; do not use it")
    return _read_payload(payload, what)


def _is_signed(message: bytes, signature: bytes, key: ec.EllipticCurvePublicKey) -> bool:
    try:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _read_payload(payload: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{what} holds no JSON ({error})") from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        found = value.get("format") if isinstance(value, dict) else type(value).__name__
        raise VerificationError(f"{what} has format {found!r}, and {FORMAT} is known: take a newer verifier")
    return value


def is_plain(path: str) -> bool:
    """Tell whether a file's path is plain: relative, of ASCII letters, digits, `_`, `.`, `-` and inner slashes."""
    return bool(_PATH.fullmatch(path))


def _read(bucket: Bucket, key: str) -> bytes:
    try:
        return bucket.get(key)
    except (OSError, LookupError) as error:
        raise VerificationError(f"{key} is missing ({error}): restore it") from None


def check_files(manifest: Mapping[str, Any], bucket: Bucket, folder: str) -> None:
    """Hold every file of a manifest against its size and sha256; raises VerificationError for one that differs."""
    for file in manifest["files"]:
        path = str(file["path"])
        if not is_plain(path):
            raise VerificationError(f"{folder} lists {path!r}, which is no plain relative path")
        data = _read(bucket, f"{folder}/{path}")
        if len(data) != file["bytes"] or hashlib.sha256(data).hexdigest() != file["sha256"]:
            raise VerificationError(f"{folder}/{path} is not the file that was released: its sha256 differs")


def share_of(salt: str, installation: str) -> int:
    """Return where an installation stands in a rollout, 0 to 9,999.

    That is the first eight bytes of sha256(salt + NUL + installation), both in UTF-8, as an unsigned big-endian number,
    modulo 10,000.
    """
    digest = hashlib.sha256(f"{salt}\0{installation}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _SHARES


def is_included(salt: str, installation: str, percent: int) -> bool:
    """Tell whether an installation is within a rollout: if its share is below percent * 100.

    A higher percentage includes everybody that a lower one does.
    """
    return share_of(salt, installation) < percent * (_SHARES // _WHOLE)


def chosen(channel: Mapping[str, Any], installation: str) -> Mapping[str, Any] | None:
    """Return what an installation should run: the channel's release, the one it replaces, or None for neither.

    A release is a mapping of `version`, `manifest` (its key) and `manifest_sha256`.
    """
    rollout = channel["rollout"]
    included = is_included(rollout["salt"], installation, rollout["percent"])
    release: Mapping[str, Any] | None = channel["release"] if included else rollout["otherwise"]
    return release


def read_manifest(release: Mapping[str, Any], bucket: Bucket, keys: PublicKeys) -> dict[str, Any]:
    """Return the manifest that a channel names; raises VerificationError for any other bytes or signer."""
    key = str(release["manifest"])
    data = _read(bucket, key)
    if hashlib.sha256(data).hexdigest() != release["manifest_sha256"]:
        raise VerificationError(f"{key} is not the manifest that the channel names: its sha256 differs")
    manifest = opened(data, MANIFEST_TYPE, keys, key)
    if manifest["version"] != release["version"]:
        raise VerificationError(f"{key} is of version {manifest['version']}, not {release['version']}")
    return manifest


def verify_release(release: Mapping[str, Any], bucket: Bucket, keys: PublicKeys) -> dict[str, Any]:
    """Verify a release that a channel names, down to every file; return its manifest."""
    manifest = read_manifest(release, bucket, keys)
    check_files(manifest, bucket, str(release["manifest"]).rpartition("/")[0])
    return manifest


def accepted(
    name: str, bucket: Bucket, keys: PublicKeys, *, seen: int = 0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Verify what a phone loads, the pointer and each release it offers; return its payload and the manifests.

    `seen` is the highest sequence number that was seen before: an older channel is refused, because somebody may have
    put back one that was signed long ago.
    """
    key = pointer(name)
    channel = _said(_read(bucket, key), name, keys, key)
    if channel["sequence"] < seen:
        raise VerificationError(f"{key} has sequence {channel['sequence']}, and {seen} was seen before: it is old")
    return channel, [verify_release(release, bucket, keys) for release in _offered(channel)]


def read_log(name: str, bucket: Bucket, keys: PublicKeys, *, seen: int = 0) -> Log:
    """Verify a channel's log, the manifests that it names, and that the pointer is one of its entries.

    `seen` is the highest sequence number that was seen before. The pointer may be behind: a publisher that was killed
    leaves it so. Raises VerificationError.
    """
    key = pointer(name)
    # Before the log is listed: what is written meanwhile comes to the log first.
    shown = _read(bucket, key) if key in bucket.keys(key) else None
    numbered = list(enumerate(bucket.keys(f"{CHANNELS}/{name}/history/"), 1))
    for number, found in numbered:
        if found != (wanted := entry(name, number)):
            raise VerificationError(f"{wanted} is missing ({found} comes in its place): restore it")
    if len(numbered) < seen:
        raise VerificationError(f"{entry(name, len(numbered) + 1)} is missing, for {seen} was seen before: restore it")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        envelopes = list(pool.map(lambda item: _read(bucket, item[1]), numbered))
        entries = [_said(data, name, keys, found) for data, (_, found) in zip(envelopes, numbered, strict=True)]
        before = ["", *(hashlib.sha256(data).hexdigest() for data in envelopes)]
        for (number, found), said in zip(numbered, entries, strict=True):
            if (said["sequence"], said["previous_sha256"]) != (number, before[number - 1]):
                raise VerificationError(f"{found} was not signed to stand there: restore the object's former version")
        releases = {json.dumps(one, sort_keys=True): one for said in entries for one in _named(said)}
        list(pool.map(lambda release: read_manifest(release, bucket, keys), releases.values()))
    return Log(tuple(entries), tuple(envelopes), _reached(name, shown, envelopes, keys))


def verify_channel(
    name: str, bucket: Bucket, keys: PublicKeys, *, seen: int = 0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Verify a channel, its whole log, and that phones accept its last entry; return its payload and the manifests."""
    log = read_log(name, bucket, keys, seen=seen)
    if log.shown < len(log.entries):
        said = f"has sequence {log.shown}" if log.shown else "is missing"
        raise VerificationError(
            f"{pointer(name)} {said}, and its log ends with {len(log.entries)}: phones are kept from what was decided; "
            "publish the same again"
        )
    return accepted(name, bucket, keys, seen=log.shown)


def channel_names(bucket: Bucket) -> list[str]:
    """Return the names of all channels that have a pointer or a log."""
    paths = (key.split("/") for key in bucket.keys(f"{CHANNELS}/"))
    return sorted({path[1].removesuffix(".json") for path in paths})


def pointer(name: str) -> str:
    return f"{CHANNELS}/{name}.json"


def entry(name: str, sequence: int) -> str:
    return f"{CHANNELS}/{name}/history/{sequence:08d}.json"


def _reached(name: str, shown: bytes | None, envelopes: list[bytes], keys: PublicKeys) -> int:
    """Return the number of the entry that the pointer is."""
    if shown is None:
        return 0
    key = pointer(name)
    sequence = int(_said(shown, name, keys, key)["sequence"])
    if sequence > len(envelopes):
        raise VerificationError(f"{key} has sequence {sequence}, and {entry(name, sequence)} is missing: restore it")
    if envelopes[sequence - 1] != shown:
        raise VerificationError(f"{key} is not the entry {sequence} of its log: restore the object's former version")
    return sequence


def _said(data: bytes, name: str, keys: PublicKeys, key: str) -> dict[str, Any]:
    payload = opened(data, CHANNEL_TYPE, keys, key)
    if payload["channel"] != name:
        raise VerificationError(f"{key} was signed for the channel {payload['channel']}: restore its former version")
    return payload


def _named(channel: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from filter(None, (channel["release"], channel["rollout"]["otherwise"]))


def _offered(channel: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the releases that some installation is to run."""
    yield from _named(channel) if channel["rollout"]["percent"] < _WHOLE else [channel["release"]]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Verify a channel and the releases it offers.")
    add = parser.add_argument
    add("--key", type=Path, action="append", required=True, help="public key in PEM; may be given several times")
    add("--root", type=Path, required=True, help="folder that holds channels/ and releases/")
    add("--channel", default="stable", help="name of the channel")
    add("--seen", type=int, default=0, help="highest sequence number that was seen before")
    add("--installation", help="tell what this installation should run")
    args = parser.parse_args(argv)
    try:
        keys = read_keys(path.read_bytes() for path in args.key)
        channel, manifests = verify_channel(args.channel, Folder(args.root), keys, seen=args.seen)
    except (VerificationError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for manifest in manifests:
        print(f"version {manifest['version']}: {len(manifest['files'])} files as they were signed")
    print(f"{args.channel} {channel['sequence']}: {channel['rollout']['percent']} % of installations")
    if args.installation is not None:
        release = chosen(channel, args.installation)
        print(f"{args.installation} runs {'version ' + str(release['version']) if release else 'no release'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
