"""What the tests of releases share: a registry with versions, a bucket that a publisher dies over, a strict reader."""

import functools
import gzip
import hashlib
import io
import itertools
import shutil
import tarfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from moto.kms.utils import ECDSAPrivateKey

from pipelines.environment import Environment
from pipelines.release.channels import Channels
from pipelines.release.publisher import Publisher
from pipelines.release.signers import KmsSigner
from pipelines.release.store import ReleaseStore, StoredBucket
from pipelines.release.verify import PublicKeys, accepted, read_keys
from pipelines.storage.s3 import S3Objects
from tests.pipelines.registered import FilledRegistry

ENVIRONMENT = Environment("dev", "123456789012", "eu-west-1")
GROUP = ENVIRONMENT.model_package_group
PERSON = "arn:aws:sts::123456789012:assumed-role/tilegate-dev-approver/ann"
LOCATION = {"LocationConstraint": "eu-west-1"}
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
WHO = {"by": "Ann", "reason": "fewer alarms"}


def files_of(text: str) -> dict[str, bytes]:
    """A bundle's files; other text, another model."""
    return {
        "model.tflite": f"model {text}".encode(),
        "model.json": b'{"version": 2}\n',
        "golden/screen.png": b"the same in every version",
        "MODEL_CARD.md": f"# {text}\n".encode(),
    }


def passed(files: dict[str, bytes]) -> dict[str, str]:
    """What the metadata of a version say whose model has passed the gate."""
    return {"failed_checks": "0", "tflite_sha256": hashlib.sha256(files.get("model.tflite", b"")).hexdigest()}


def pack(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # gzip writes the time into its header: without mtime=0 the same files are other bytes a second later.
    with (
        path.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


class Settled:
    """A registry in which nobody decides any more: what it has answered once it answers again, at no cost."""

    def __init__(self, registry: Any, folder: Path) -> None:
        self._registry, self._folder = registry, folder
        self.get, self.versions = functools.cache(registry.get), functools.cache(registry.versions)
        self.load_champion = functools.cache(registry.load_champion)

    def download(self, version: Any, dest: Path) -> Path:
        kept = self._folder / f"downloaded-{version.version}"
        if not kept.exists():
            kept.mkdir()
            self._registry.download(version, kept)
        dest.mkdir(parents=True, exist_ok=True)
        (archive,) = kept.iterdir()
        return Path(shutil.copy(archive, dest))


@dataclass
class Bench:
    """A registry of the group GROUP, a signer, and as many empty release buckets as a test wants."""

    registry: Any
    signer: Any
    new_bucket: Any
    folder: Path
    numbers: Any = field(default_factory=itertools.count)

    def register(self, files: dict[str, bytes] | None = None, **metadata: str) -> int:
        """Register a version and return its number; by default each has a model of its own, which passed the gate."""
        number = next(self.numbers)
        files = files or files_of(str(number))
        path = pack(self.folder / f"version-{number}" / "model.tar.gz", files)
        request = {
            "ModelPackageGroupName": GROUP,
            "CustomerMetadataProperties": {
                "fpr": "0.004",
                "fpr_upper": "0.009",
                "tpr": "0.93",
                **passed(files),
                **metadata,
            },
            "InferenceSpecification": {
                "Containers": [{"ModelDataUrl": "s3://bucket/model.tar.gz", "Image": "1.dkr/x"}]
            },
        }
        return self.registry.register(request, path).version

    def approve(self, count: int = 1) -> int:
        """Register and approve versions; return the number of the last."""
        for _ in range(count):
            version = self.register()
            self.registry.approve(GROUP, version, **WHO)
        return version

    def settle(self) -> None:
        """Say that this is all that is decided in the registry."""
        self.registry = Settled(self.registry, self.folder)

    def publisher(self, objects: Any, signer: Any = None, trusted: tuple[bytes, ...] = ()) -> Publisher:
        store = ReleaseStore(objects, signer or self.signer, trusted)
        return Publisher(self.registry, GROUP, store, Channels(store, lambda: NOON))

    def keys(self) -> PublicKeys:
        return read_keys([self.signer.public_pem])

    def read(self, objects: Any, channel: str = "stable", seen: int = 0) -> dict[str, Any] | None:
        """Read a channel as a phone does: all of it is there and as it was signed, or there is no channel yet."""
        if objects.info(f"channels/{channel}.json") is None:
            return None
        payload, manifests = accepted(channel, StoredBucket(objects), self.keys(), seen=seen)
        assert manifests[0]["version"] == payload["release"]["version"]
        assert all(manifest["files"] for manifest in manifests)
        return payload


def new_clients() -> dict[str, Any]:
    known = {"region_name": "eu-west-1", "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return {service: boto3.client(service, **known) for service in ("s3", "sagemaker", "kms")}


def make_signing_key(clients: dict[str, Any]) -> str:
    """Make the environment's key in moto's KMS and return its alias."""
    made = clients["kms"].create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    alias = ENVIRONMENT.signing_key_alias
    clients["kms"].create_alias(AliasName=alias, TargetKeyId=made["KeyMetadata"]["KeyId"])
    return alias


def open_cloud(clients: dict[str, Any], folder: Path, alias: str) -> Bench:
    """Make the environment's buckets in moto; the first of the new buckets is its release bucket."""
    s3 = clients["s3"]
    s3.create_bucket(Bucket=ENVIRONMENT.artifact_bucket, CreateBucketConfiguration=LOCATION)
    names = (ENVIRONMENT.release_bucket + (f"-{number}" if number else "") for number in itertools.count())

    def new_bucket() -> S3Objects:
        name = next(names)
        s3.create_bucket(Bucket=name, CreateBucketConfiguration=LOCATION)
        return S3Objects(s3, name)

    artifacts = S3Objects(s3, ENVIRONMENT.artifact_bucket)
    registry = FilledRegistry(clients["sagemaker"], artifacts, ENVIRONMENT, identity=lambda: PERSON)
    return Bench(registry, KmsSigner(clients["kms"], alias), new_bucket, folder)


def everything(objects: Any) -> dict[str, bytes]:
    """All bytes of a bucket."""
    return {info.key: objects.get(info.key) for info in objects.list()}


class Killed(BaseException):
    """No exception that code could mend: the process is gone."""


class Dying:
    """A bucket whose writer dies at the `number`th write: before it, or after it and before it hears of it."""

    def __init__(self, objects: Any, number: int, *, after: bool) -> None:
        self._objects, self._left, self._after = objects, number, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def put(self, key: str, data: bytes, **conditions: Any) -> str:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        etag = self._objects.put(key, data, **conditions)
        if self._left == 0:
            raise Killed
        return etag


def teach_moto_digests(monkeypatch: Any) -> None:
    """Let moto's KMS sign a digest as what it is: it ignores MessageType, and would hash the digest again."""

    def sign(self: Any, message: bytes, signing_algorithm: str) -> bytes:
        assert (len(message), signing_algorithm) == (hashlib.sha256().digest_size, "ECDSA_SHA_256")
        return self.private_key.sign(message, ec.ECDSA(utils.Prehashed(hashes.SHA256())))

    monkeypatch.setattr(ECDSAPrivateKey, "sign", sign)
