"""The objects of a bucket, as S3 gives them and a folder on one machine can give as well.

A key is a relative path with forward slashes. An object is replaced whole or not at all, and a write can be made
conditional: that one writer among many wins is all the locking that tilegate needs in AWS.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from steps.core.common.errors import UserError
from steps.core.dataset.paths import is_text

MAX_KEY_BYTES = 1_024


class NoSuchObject(LookupError):  # noqa: N818
    """There is no object of that key; the message names bucket and key."""


class LostRace(Exception):  # noqa: N818
    """A conditional write found the object in another state: somebody else has written it."""


class AccessDeniedError(UserError):
    """A permission is missing; the message names the action and the resource."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a listing tells it; `etag` changes whenever the content does, `modified` is aware, in UTC."""

    key: str
    size: int
    etag: str
    modified: datetime


class ObjectStore(Protocol):
    """The objects of one bucket. Missing permissions raise AccessDeniedError."""

    def uri(self, key: str = "") -> str:
        """Return `s3://<bucket>/<key>`."""

    def info(self, key: str) -> ObjectInfo | None:
        """Return an object's size and etag, None if there is no such object."""

    def sha256(self, key: str) -> str:
        """Return the sha256 of an object's bytes in hex: by its checksum where it has one, else by reading it."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects whose keys begin with `prefix`, in the order of their keys' UTF-8 bytes, lazily."""

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield what lies directly under `prefix` (which ends in a slash) as a folder: names without slashes."""

    def get(self, key: str) -> bytes:
        """Return an object's bytes, which have to fit into memory; raises NoSuchObject."""

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        """Return an object's bytes and the etag that belongs to them; raises NoSuchObject."""

    def put(self, key: str, data: bytes, *, only_if_absent: bool = False, only_if_etag: str | None = None) -> str:
        """Write an object and return its etag; raises LostRace if a condition does not hold, and writes nothing."""

    def download(self, key: str, path: Path) -> None:
        """Bring an object to a file, whole or not at all, in constant memory; raises NoSuchObject."""

    def upload(self, path: Path, key: str) -> str:
        """Put a file, whole or not at all, in constant memory; return the sha256 of the object, its checksum."""

    def copy(self, source: str, key: str, *, source_etag: str | None = None) -> None:
        """Copy an object of this bucket to another key without bringing it here; raises NoSuchObject.

        With `source_etag` raises LostRace if the source is no longer what bears it, and copies nothing.
        """

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens if there is none."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of an object. `version` is S3's, "" in a folder; the latest one of a key is what a reader gets."""

    key: str
    size: int
    version: str = ""
    is_latest: bool = True


class Copies(Protocol):
    """Every copy of every object in one place, earlier versions and half-written ones too, to be removed for good."""

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


def checked_key(key: str) -> str:
    """Return a key if it can name an object; raises UserError if it is absolute, or could lead anywhere else."""
    return _checked(key, key.split("/"))


def checked_prefix(prefix: str) -> str:
    """Return what keys may begin with, a whole key or not; raises UserError for what no key begins with."""
    *segments, last = prefix.split("/")
    return _checked(prefix, [*segments, *([last] if last else [])])


def _checked(key: str, segments: Sequence[str]) -> str:
    if not is_text(key) or len(key.encode()) > MAX_KEY_BYTES:
        raise UserError(f"{key[:80]!r} is no key: a text of at most {MAX_KEY_BYTES:,} bytes without NUL is wanted")
    if any(segment in {"", ".", ".."} for segment in segments):
        raise UserError(f"{key!r} is no key: a relative path without empty segments, . and .. is wanted")
    return key
