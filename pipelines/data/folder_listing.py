"""The files below a folder, each folder in it listed once: a labels file may name millions, or millions that lack."""

import os
from collections.abc import Iterator
from pathlib import Path

from steps.core.dataset.paths import MAX_PATH_CHARACTERS, PathRefusedError, locate

_S3 = "s3://"
# Letter case and accents mean what the file system says they mean: the names of such entries are left to it.
_MOST_OF_A_NAME = 255
_FOLDER, _FILE, _OTHER = "folder", "file", "other"


class FolderListing:
    """Answers as `steps.core.dataset.paths.locate` does, which is asked for what is unusual, at the cost of a look-up.

    For folders to which nobody writes meanwhile.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._entries: dict[str, dict[str, str] | None] = {}
        self._missing: dict[bool, PathRefusedError] = {}

    def locate(self, ref: str) -> str:
        """Return the path below the folder of the file that `ref` names; raises PathRefusedError."""
        usual = ref.isascii() and ref.isprintable() and len(ref) <= MAX_PATH_CHARACTERS and "\\" not in ref
        paths = list(_paths(ref)) if usual else []
        kinds = [self._kind(path) for path in paths]
        if not paths or _OTHER in kinds:
            return str(locate(self._root, ref))
        if _FILE in kinds:
            return paths[kinds.index(_FILE)]
        is_s3 = ref.startswith(_S3)
        if is_s3 not in self._missing:
            try:
                return str(locate(self._root, ref))
            except PathRefusedError as error:
                self._missing[is_s3] = error
        raise PathRefusedError(self._missing[is_s3].reason, str(self._missing[is_s3]))

    def _kind(self, path: str) -> str | None:
        """Return what lies at a path; None if nothing does, `_OTHER` if only the file system can tell."""
        folder, _, name = path.rpartition("/")
        if folder:
            above = self._kind(folder) if folder not in self._entries else _FOLDER
            if above != _FOLDER:
                return above if above == _OTHER else None
        entries = self._listed(folder)
        if entries is None:
            return _OTHER
        return entries.get(name) or (_OTHER if name.casefold() in entries else None)

    def _listed(self, folder: str) -> dict[str, str] | None:
        """Return what lies directly in a folder by its name, and names in lower case as others; None if it is shut."""
        if folder not in self._entries:
            try:
                with os.scandir(self._root / folder) as found:
                    kinds = {entry.name: _kind_of(entry) for entry in found}
                self._entries[folder] = {**{name.casefold(): _OTHER for name in kinds}, **kinds}
            except OSError:
                self._entries[folder] = None
        return self._entries[folder]


def _paths(ref: str) -> Iterator[str]:
    """Yield the relative paths that a usual ref may mean, the longest first; none of one that is unusual."""
    is_s3 = ref.startswith(_S3)
    key = ref.removeprefix(_S3).partition("/")[2] if is_s3 else ref
    parts = [part for part in key.split("/") if part not in ("", ".")]
    leads_out = ".." in parts or (not is_s3 and (ref.startswith("/") or ":" in ref))
    if leads_out or any(len(part) > _MOST_OF_A_NAME for part in parts):
        return
    for start in range(len(parts) if is_s3 else 1):
        yield "/".join(parts[start:])


def _kind_of(entry: "os.DirEntry[str]") -> str:
    if entry.is_symlink():
        return _OTHER
    if entry.is_dir(follow_symlinks=False):
        return _FOLDER
    return _FILE if entry.is_file(follow_symlinks=False) else _OTHER
