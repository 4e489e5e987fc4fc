"""What the night, the registry and the release need of S3, and a folder on one machine can give as well.

A key is a relative path with forward slashes. An object is replaced whole or not at all, and a write can be made
conditional: that one writer among many wins is all the locking that tilegate needs in AWS.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from steps.core.common.errors import UserError


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
