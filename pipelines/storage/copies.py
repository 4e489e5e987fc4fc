"""Every copy of every object: what a listing shows, and also earlier versions and what killed writers left."""

import hashlib
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipelines.executor.files import replacing
from pipelines.storage.errors import s3_errors
from steps.core.common.files import sha256_file


@dataclass(frozen=True, slots=True)
class Copy:
    """`version` is S3's, "" in a folder; the latest one of a key is what a reader gets."""

    key: str
    size: int
    version: str = ""
    is_latest: bool = True


class Copies(Protocol):
    """The copies in one place, which can be removed and rewritten for good."""

    name: str

    def all(self) -> Iterator[Copy]:
        """Yield every copy, lazily."""

    def read(self, copy: Copy) -> bytes:
        """Return a copy's bytes, which have to fit into memory."""

    def sha256(self, copy: Copy) -> str: ...

    def remove(self, copy: Copy) -> None:
        """Remove a copy so that nothing of it is left; nothing happens if it is gone."""

    def rewrite(self, copy: Copy, data: bytes) -> None:
        """Put other bytes in its place; an earlier version is only removed."""


class FolderCopies:
    """The regular files below a folder on this machine; links are not followed. `name` is for people."""

    def __init__(self, folder: Path, name: str = "") -> None:
        self._folder, self.name = folder, name or folder.name

    def all(self) -> Iterator[Copy]:
        for path in self._folder.rglob("*"):
            with suppress(FileNotFoundError):
                if stat.S_ISREG((found := path.lstat()).st_mode):
                    yield Copy(path.relative_to(self._folder).as_posix(), found.st_size)

    def read(self, copy: Copy) -> bytes:
        return (self._folder / copy.key).read_bytes()

    def sha256(self, copy: Copy) -> str:
        return sha256_file(self._folder / copy.key)

    def remove(self, copy: Copy) -> None:
        (self._folder / copy.key).unlink(missing_ok=True)

    def rewrite(self, copy: Copy, data: bytes) -> None:
        path = self._folder / copy.key
        mode = path.stat().st_mode
        with replacing(path) as beside:
            beside.write_bytes(data)
            beside.chmod(mode)


class S3Copies:
    """All versions of the objects of a bucket below some prefixes; `client` is boto3's of S3."""

    def __init__(self, client: Any, bucket: str, prefixes: Sequence[str]) -> None:
        self._client, self.name, self._prefixes = client, bucket, prefixes

    def all(self) -> Iterator[Copy]:
        pages = self._client.get_paginator("list_object_versions")
        for prefix in self._prefixes:
            with s3_errors(self._client, self.name, "s3:ListBucketVersions"):
                for page in pages.paginate(Bucket=self.name, Prefix=prefix):
                    for found in page.get("Versions", ()):
                        yield Copy(found["Key"], int(found["Size"]), str(found["VersionId"]), bool(found["IsLatest"]))

    def read(self, copy: Copy) -> bytes:
        with s3_errors(self._client, self.name, "s3:GetObjectVersion", copy.key):
            return bytes(self._client.get_object(**self._named(copy))["Body"].read())

    def sha256(self, copy: Copy) -> str:
        return hashlib.sha256(self.read(copy)).hexdigest()

    def remove(self, copy: Copy) -> None:
        with s3_errors(self._client, self.name, "s3:DeleteObjectVersion", copy.key):
            self._client.delete_object(**self._named(copy))

    def rewrite(self, copy: Copy, data: bytes) -> None:
        if copy.is_latest:
            with s3_errors(self._client, self.name, "s3:PutObject", copy.key):
                self._client.put_object(Bucket=self.name, Key=copy.key, Body=data, ChecksumAlgorithm="SHA256")
        self.remove(copy)

    def _named(self, copy: Copy) -> dict[str, str]:
        return {"Bucket": self.name, "Key": copy.key, "VersionId": copy.version}
