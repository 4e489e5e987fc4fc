"""A folder as a bucket: the objects of `pipelines.executor.LocalStore`, read-only files that are replaced whole."""

import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pipelines.executor.files import PART, READ_ONLY, link_or_copy
from pipelines.locks import exclusive
from pipelines.storage.protocol import Copy, LostRace, NoSuchObject, ObjectInfo, checked_key, checked_prefix
from steps.core.common.errors import UserError
from steps.core.common.files import naming, replacing, sha256_file


class FolderObjects:
    """The objects below `folder`, which is called `bucket` in URIs. Threads and processes may share it.

    An etag is made of the file's inode, its size and the time of its writing in nanoseconds. Unlike in S3, `a` and
    `a/b` cannot both be objects.
    """

    def __init__(self, folder: Path, bucket: str) -> None:
        self._folder, self._bucket = folder, bucket

    def uri(self, key: str = "") -> str:
        return f"s3://{self._bucket}/{key}"

    def info(self, key: str) -> ObjectInfo | None:
        return _info(key, self._path(key))

    def sha256(self, key: str) -> str:
        with self._found(key):
            return sha256_file(self._path(key))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder, slash, _ = checked_prefix(prefix).rpartition("/")
        for path in _keys(self._folder / folder):
            key = folder + slash + path
            if key.startswith(prefix) and (info := _info(key, self._folder / key)):
                yield info

    def folders(self, prefix: str) -> Iterator[str]:
        paths = (info.key.removeprefix(prefix) for info in self.list(prefix))
        yield from dict.fromkeys(path.partition("/")[0] for path in paths if "/" in path)

    def get(self, key: str) -> bytes:
        return self.get_with_etag(key)[0]

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        with self._found(key), self._path(key).open("rb") as stream:
            return stream.read(), _etag(os.fstat(stream.fileno()))

    def put(self, key: str, data: bytes, *, only_if_absent: bool = False, only_if_etag: str | None = None) -> str:
        target = self._path(key)
        with self._staged(key) as beside:
            beside.write_bytes(data)
            etag = _seal(beside)
            with self._alone():
                if only_if_etag is not None:
                    seen = _info(key, target)
                    if seen is None or seen.etag != only_if_etag:
                        raise LostRace(f"{self.uri(key)} is no longer what the write was meant for")
                if only_if_absent:
                    try:
                        # Not a look and a rename: whoever does not know of the lock cannot slip in between either.
                        os.link(beside, target)
                    except FileExistsError:
                        raise LostRace(f"{self.uri(key)} is there already") from None
                else:
                    beside.replace(target)
            return etag

    def download(self, key: str, path: Path) -> None:
        with self._found(key):
            reader = self._path(key).open("rb")
        with reader, replacing(path) as beside, beside.open("wb") as writer:
            shutil.copyfileobj(reader, writer)

    def upload(self, path: Path, key: str) -> str:
        with self._staged(key) as beside:
            shutil.copyfile(path, beside)
            _seal(beside)
            sha256 = sha256_file(beside)
            self._replace(beside, key)
        return sha256

    def copy(self, source: str, key: str, *, source_etag: str | None = None) -> None:
        origin, _ = self._path(source), self._path(key)
        if self.info(source) is None:
            raise NoSuchObject(f"there is no object {self.uri(source)}")
        with self._staged(key) as beside:
            # Linked first and looked at then: that file is what becomes the copy, whoever replaces the source.
            with self._found(source):
                link_or_copy(origin, beside)
            if source_etag is not None and _etag(beside.stat()) != source_etag:
                raise LostRace(f"{self.uri(source)} has been written by somebody else")
            self._replace(beside, key)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._alone(), suppress(NotADirectoryError):
            if not path.is_dir():
                path.unlink(missing_ok=True)

    def remove_parts(self) -> None:
        """Remove what killed writers have left half-written; nobody may be writing meanwhile."""
        for left in self._folder.rglob(f".*{PART}"):
            left.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / checked_key(key)

    def _replace(self, beside: Path, key: str) -> None:
        with self._alone():
            beside.replace(self._path(key))

    def _alone(self) -> AbstractContextManager[None]:
        """Keep every other writer out. The lock is no object: it lies beside the bucket, as what is staged does."""
        return exclusive(self._folder.parent / ".locks" / f"{self._folder.name}.lock")

    @contextmanager
    def _staged(self, key: str) -> Iterator[Path]:
        """Yield a file beside the object that is to be written; it is gone afterwards, unless it has been renamed."""
        target = self._path(key)
        if target.is_dir():
            raise UserError(f"{self.uri(key)} is a prefix that holds objects: here no object can be called so as well")
        beside = target.parent / f".{secrets.token_hex(12)}{PART}"
        try:
            with naming(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                yield beside
        except (NotADirectoryError, FileExistsError):
            raise UserError(f"{self.uri(key)} lies below an object: here none can") from None
        finally:
            with suppress(NotADirectoryError):
                beside.unlink(missing_ok=True)

    @contextmanager
    def _found(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NoSuchObject(f"there is no object {self.uri(key)}") from None


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


def _etag(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"


def _seal(path: Path) -> str:
    """Make a new file read-only and return its etag; the kernel's clock ticks too rarely to tell two writes apart."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))
    path.chmod(READ_ONLY)
    return _etag(path.stat())


def _info(key: str, path: Path) -> ObjectInfo | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return ObjectInfo(key, status.st_size, _etag(status), datetime.fromtimestamp(status.st_mtime, UTC))


def _keys(folder: Path) -> list[str]:
    """Return the paths of the files below a folder, relative to it, in the order of their bytes; none if it is none."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    places = os.walk(folder, onerror=refuse, followlinks=True)
    found = [f"{top}/{name}" for top, _, names in places for name in names if not name.endswith(PART)]
    return sorted((path[len(f"{folder}/") :] for path in found), key=os.fsencode)
