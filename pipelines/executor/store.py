"""A folder that stands for S3: `s3://bucket/key` is `<root>/<bucket>/<key>`; objects are read-only files."""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.executor.digests import FileDigests
from pipelines.executor.errors import DefinitionError
from pipelines.executor.files import PART, READ_ONLY, link_or_copy, output_files, replacing, walk_files

_DAY_SECONDS = 86_400
_UNHELD = ".new-"  # between its making and its holding, which takes no time


class LocalStore:
    """Objects by URI. Everything raises DefinitionError for a URI that is not one, or that names nothing.

    Digests are remembered beside the root, in `<home>/digests.sqlite` for `<home>/store`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._digests = FileDigests(root.parent / "digests.sqlite")
        # One file system with the objects, outside of every bucket (a bucket's name never starts with a dot).
        self._staging = root / ".staging"

    def path(self, uri: str) -> Path:
        """Return where the object or prefix lies, whether or not it exists; never outside of the root."""
        if not str(uri).startswith("s3://"):
            raise DefinitionError(f"{uri!r} is not an S3 URI: wanted s3://<bucket>/<key>")
        bucket, *segments = uri.removeprefix("s3://").rstrip("/").split("/")
        if not bucket or bucket.startswith(".") or "\0" in uri or any(part in {"", ".", ".."} for part in segments):
            raise DefinitionError(
                f"{uri!r} cannot name an object: wanted s3://<bucket>/<key>, with a bucket that does not start with a "
                "dot, and no empty segment, '.', '..' or NUL in the key"
            )
        return self.root.joinpath(bucket, *segments)

    def exists(self, uri: str) -> bool:
        """Tell whether there is an object at `uri` or under it."""
        return bool(self._files(uri))

    def fetch(
        self, uri: str, dest: Path, *, copy: bool = False, listed: bool = False, share: tuple[int, int] = (0, 1)
    ) -> list[Path]:
        """Bring one object to `dest/<its name>`, or a prefix's tree to `dest`, as S3Prefix does.

        Files are hard links where possible; `copy` makes writable copies of one's own. With `listed`, `uri` is a
        ManifestFile, and the objects that it lists are brought. Of several hosts each gets the `share` (its number,
        from 0, and how many there are) of the sorted keys. Returns the files of the store that were brought.
        """
        number, hosts = share
        objects = (self._listed(uri) if listed else self._objects(uri))[number::hosts]
        for key, source in objects:
            target = dest / key
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                if copy:
                    shutil.copyfile(source, target)
                else:
                    link_or_copy(source, target)
            except FileExistsError:
                raise DefinitionError(
                    f"two inputs bring a file to {target.name} in the same folder {dest.name} (one is {uri}): "
                    "give each input a LocalPath of its own"
                ) from None
        return [source for _, source in objects]

    def digest(self, uri: str, *, listed: bool = False) -> str:
        """Return the content digest: sha256 over the sorted (key, sha256 of the bytes); the URI is not part of it."""
        return self._digest(self._listed(uri) if listed else self._objects(uri))

    def digest_or_empty(self, uri: str, keys: Sequence[str] | None = None) -> str:
        """Like `digest`, but that of an empty tree if there is nothing at `uri`.

        With `keys` it is that of these objects under the prefix `uri`, as far as they exist.
        """
        if keys is None:
            return self._digest(self._files(uri))
        files = ((key, self.path(f"{uri.rstrip('/')}/{key}")) for key in sorted(keys))
        return self._digest([(key, file) for key, file in files if file.is_file()])

    def commit(self, src_dir: Path, uri: str, *, give_up: bool = False, keep_others: bool = False) -> tuple[str, ...]:
        """Publish the files of a folder under `uri`, all of them at once, and return their keys.

        An equal tree is left as it is, a different one is replaced. With `keep_others` what lies there stays and
        objects are put one by one in the order of their keys, as S3 does. `give_up` promises that the caller writes
        to its files no more, so that they can be linked instead of copied. Empty folders are not kept, as in S3; links
        are refused.
        """
        files = output_files(src_dir)
        keys = tuple(key for key, _ in files)
        target = self.path(uri)
        if not files:
            return keys
        if keep_others:
            for key, source in sorted(files):
                self._put(source, target / key, give_up=give_up)
            return keys
        with self.scratch() as staged:
            for key, source in files:
                beside = staged / key
                beside.parent.mkdir(parents=True, exist_ok=True)
                _take(source, beside, give_up=give_up)
            self._publish(staged, target, uri)
        return keys

    def put_file(self, path: Path, uri: str, *, give_up: bool = False) -> None:
        """Copy a file to an object, whole or not at all; `give_up` as in `commit`."""
        self._put(path, self._object_path(uri), give_up=give_up)

    def put_bytes(self, data: bytes, uri: str) -> None:
        with replacing(self._object_path(uri)) as beside:
            beside.write_bytes(data)
            beside.chmod(READ_ONLY)

    def link(self, source_uri: str, uri: str) -> None:
        """Make the object at `source_uri` an object at `uri` as well."""
        with replacing(self._object_path(uri)) as beside:
            link_or_copy(self.path(source_uri), beside)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield an empty folder beside the objects for what is to be committed; `sweep` removes a killed one."""
        folder = self._staging / f"{time.time_ns()}-{secrets.token_hex(6)}"
        unheld = folder.with_name(f"{_UNHELD}{folder.name}")
        unheld.mkdir(parents=True)
        with _held(unheld):
            unheld.rename(folder)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def abandoned(self) -> list[Path]:
        """Return what killed processes left half-staged: the kernel has let go of it."""
        left = sorted(self._staging.iterdir()) if self._staging.is_dir() else []
        return [path for path in left if not _is_held(path)]

    def sweep(self) -> None:
        """Remove what killed processes left half-staged."""
        for left in self.abandoned():
            shutil.rmtree(left, ignore_errors=True)

    def _files(self, uri: str) -> list[tuple[str, Path]]:
        path = self.path(uri)
        if path.is_file():
            return [(path.name, path)]
        return [item for item in walk_files(path) if not item[0].endswith(PART)]

    def _objects(self, uri: str) -> list[tuple[str, Path]]:
        files = self._files(uri)
        if not files:
            raise DefinitionError(f"no objects under {uri}: nothing lies at {self.path(uri)}")
        return files

    def _listed(self, uri: str) -> list[tuple[str, Path]]:
        """Return what a ManifestFile lists: `[{"prefix": "s3://bucket/key/"}, "relative key", …]`."""
        path = self.path(uri)
        try:
            head, *keys = json.loads(path.read_text(encoding="utf-8"))
            prefix = head["prefix"].rstrip("/")
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DefinitionError(
                f"{uri} is not a ManifestFile ({error!r}): wanted a JSON list of an object with the prefix and of keys"
            ) from None
        files = [(str(key), self.path(f"{prefix}/{key}")) for key in sorted(keys)]
        for key, file in files:
            if not file.is_file():
                raise DefinitionError(f"{uri} lists {key}, and there is no object {prefix}/{key}")
        return files

    def _digest(self, files: list[tuple[str, Path]]) -> str:
        whole = hashlib.sha256()
        for (key, _), digest in zip(files, self._digests.sha256(path for _, path in files), strict=True):
            whole.update(os.fsencode(key) + b"\0" + digest.encode() + b"\n")
        return whole.hexdigest()

    def _object_path(self, uri: str) -> Path:
        path = self.path(uri)
        if uri.endswith("/") or path.parent == self.root:
            raise DefinitionError(f"{uri!r} is a prefix: wanted the URI of one object, s3://<bucket>/<key>")
        if path.is_dir():
            raise DefinitionError(f"{uri!r} is a prefix that holds objects: an object of that name cannot be put there")
        return path

    def _put(self, source: Path, target: Path, *, give_up: bool) -> None:
        with replacing(target) as beside:
            _take(source, beside, give_up=give_up)

    def _publish(self, staged: Path, target: Path, uri: str) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir() and any(target.iterdir()):
            if self._digest(list(walk_files(target))) == self._digest(list(walk_files(staged))):
                return
            with self.scratch() as bin_:
                target.rename(bin_ / "replaced")
                staged.rename(target)
        elif target.is_file():
            raise DefinitionError(f"{uri} is one object already: a tree cannot be stored under the same name")
        else:
            staged.rename(target)


def _take(source: Path, target: Path, *, give_up: bool) -> None:
    """Put `source` at `target` read-only; a link if it is given up (then `source` becomes read-only too).

    A file that has another name already, which may lie anywhere, is copied.
    """
    if give_up and source.lstat().st_nlink == 1:
        source.chmod(READ_ONLY)
        link_or_copy(source, target)
    else:
        shutil.copyfile(source, target)
        target.chmod(READ_ONLY)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder; the kernel lets go of it when this process dies."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_held(folder: Path) -> bool:
    """Tell whether somebody holds a folder, or may be about to."""
    try:
        if folder.name.startswith(_UNHELD) and time.time() - folder.stat().st_mtime < _DAY_SECONDS:
            return True
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
