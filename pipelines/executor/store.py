"""A folder that stands for S3: `s3://bucket/key` is `<root>/<bucket>/<key>`; objects are read-only files."""

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
from pipelines.locks import exclusive, is_held

_DAY_SECONDS = 86_400
_UNHELD = ".new-"  # after it was made and before it is held, which takes no time
Files = list[tuple[str, Path]]


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

    def fetch(self, uri: str, dest: Path, *, listed: bool = False, share: tuple[int, int] = (0, 1)) -> list[Path]:
        """Link one object to `dest/<its name>`, or a prefix's tree to `dest`, as S3Prefix does.

        Where links are not possible files are copied. With `listed`, `uri` is a ManifestFile, and the objects that it
        lists are fetched. Of several hosts each gets the `share` (its number, from 0, and how many there are) of the
        sorted keys. Returns the files of the store that were fetched.
        """
        number, hosts = share
        objects = self._objects(uri, listed=listed)[number::hosts]
        for key, source in objects:
            target = dest / key
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                link_or_copy(source, target)
            except FileExistsError:
                raise DefinitionError(
                    f"two inputs have a file {target.name} in the same folder {dest.name} (one is {uri}): "
                    "give each input a LocalPath of its own"
                ) from None
        return [source for _, source in objects]

    def digest(self, uri: str, *, listed: bool = False) -> str:
        """Return the content digest: sha256 over the sorted (key, sha256 of the bytes); the URI is not part of it."""
        return self._digest(self._objects(uri, listed=listed))

    def digest_or_empty(self, uri: str, keys: Sequence[str] | None = None) -> str:
        """Like `digest`, but that of an empty tree if there is nothing at `uri`.

        With `keys` it is that of these objects under the prefix `uri`, as far as they exist.
        """
        if keys is None:
            return self._digest(self._files(uri))
        files = ((key, self.path(f"{uri.rstrip('/')}/{key}")) for key in sorted(keys))
        return self._digest([(key, file) for key, file in files if file.is_file()])

    def commit(self, src_dir: Path, uri: str, *, keep_others: bool = False) -> tuple[str, ...]:
        """Publish the files of a folder under `uri`, all of them at once, and return their keys.

        An equal tree is left as it is, a different one is replaced. With `keep_others` what lies there stays and
        objects are put one by one in the order of their keys, as S3 does. The caller writes to its files no more, so
        that they can be linked. Empty folders are not kept, as in S3; links are refused.
        """
        files = output_files(src_dir)
        target = self.path(uri)
        if keep_others:
            for key, source in files:
                self._put(source, target / key)
        elif files:
            with self.scratch() as staged:
                for key, source in files:
                    (staged / key).parent.mkdir(parents=True, exist_ok=True)
                    _take(source, staged / key)
                self._publish(staged, target, uri)
        return tuple(key for key, _ in files)

    def put_file(self, path: Path, uri: str) -> None:
        """Make a file an object, whole or not at all; the caller writes to it no more."""
        self._put(path, self._object_path(uri))

    def put_bytes(self, data: bytes, uri: str) -> None:
        with replacing(self._object_path(uri)) as beside:
            beside.write_bytes(data)
            beside.chmod(READ_ONLY)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield an empty folder beside the objects for what is to be committed; `sweep` removes a killed one."""
        folder = self._staging / f"{time.time_ns()}-{secrets.token_hex(6)}"
        unheld = folder.with_name(f"{_UNHELD}{folder.name}")
        unheld.mkdir(parents=True)
        with exclusive(unheld):
            unheld.rename(folder)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def abandoned(self) -> list[Path]:
        """Return what killed processes left half-staged: the kernel has let go of it."""
        left = sorted(self._staging.iterdir()) if self._staging.is_dir() else []
        return [path for path in left if not (is_held(path) or _is_new(path))]

    def sweep(self) -> None:
        """Remove what killed processes left half-staged."""
        for left in self.abandoned():
            shutil.rmtree(left, ignore_errors=True)

    def _files(self, uri: str) -> Files:
        path = self.path(uri)
        if path.is_file():
            return [(path.name, path)]
        return [item for item in walk_files(path) if not item[0].endswith(PART)]

    def _objects(self, uri: str, *, listed: bool) -> Files:
        files = self._listed(uri) if listed else self._files(uri)
        if not (files or listed):
            raise DefinitionError(f"no objects under {uri}: nothing lies at {self.path(uri)}")
        return files

    def _listed(self, uri: str) -> Files:
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

    def _digest(self, files: Files) -> str:
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

    def _put(self, source: Path, target: Path) -> None:
        with replacing(target) as beside:
            _take(source, beside)

    def _publish(self, staged: Path, target: Path, uri: str) -> None:
        if target.is_file():
            raise DefinitionError(f"{uri} is one object already: a tree cannot be stored under the same name")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (target.is_dir() and any(target.iterdir())):
            staged.rename(target)
        elif self._digest(list(walk_files(target))) != self._digest(list(walk_files(staged))):
            with self.scratch() as bin_:
                target.rename(bin_ / "replaced")
                staged.rename(target)


def _take(source: Path, target: Path) -> None:
    """Put `source` at `target` read-only, as a link, by which `source` becomes read-only too.

    A file that has another name already, which may lie anywhere, is copied.
    """
    if source.lstat().st_nlink == 1:
        source.chmod(READ_ONLY)
        link_or_copy(source, target)
    else:
        shutil.copyfile(source, target)
        target.chmod(READ_ONLY)


def _is_new(folder: Path) -> bool:
    """Tell whether a folder is about to be held, or gone."""
    try:
        age = time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        return True
    return folder.name.startswith(_UNHELD) and age < _DAY_SECONDS
