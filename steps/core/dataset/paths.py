"""The paths that rows name: each a file inside its batch, and nothing else."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import pandas as pd

# What an S3 key may be long, https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html.
MAX_PATH_CHARACTERS = 1_024
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_S3 = "s3://"
_NO_FILE = "there is no such readable file in the batch (links that lead out of it are not followed)"
_NO_KEY = "no end of the URI's key is a readable file in the batch"


class PathRefusedError(ValueError):
    """A path that names no file of the batch; `reason` is a stable code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Files:
    """The regular files of a batch: `sha256` by path (posix, relative), `depth` the parts of the longest path."""

    sha256: Mapping[str, str]
    depth: int

    @classmethod
    def of(cls, listing: "pd.DataFrame") -> Self:
        """Read a listing: columns path and sha256."""
        sha256 = dict(zip(listing["path"].tolist(), listing["sha256"].tolist(), strict=True))
        return cls(sha256, max((path.count("/") for path in sha256), default=0) + 1)

    def locate(self, ref: str) -> str:
        """Return the listed path that `ref` names, as `locate` does; raises PathRefusedError. Nothing is looked at."""
        return _found(ref, self.depth, self.sha256.__contains__)


def is_text(value: str) -> bool:
    """Tell whether a string can be written as UTF-8; half a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def locate(root: Path, ref: str) -> PurePosixPath:
    """Return the path below `root` of the regular file that `ref` names; raises PathRefusedError.

    `ref` is a path relative to `root`. Of an S3 URI, as Ground Truth writes them, the longest end of the key that is a
    file below `root` is taken: that is where a download of its prefix has put it. Nothing is opened, and no path, link
    or URI reaches anything outside of `root`.
    """
    return PurePosixPath(_found(ref, MAX_PATH_CHARACTERS, partial(_is_inside, root)))


def _found(ref: str, depth: int, is_file: Callable[[str], bool]) -> str:
    """Return the first of the paths that `ref` may mean that is a file; raises PathRefusedError."""
    paths = _ends(ref, depth) if ref.startswith(_S3) else (_relative(ref),)
    for path in paths:
        for form in _forms(path):
            if is_file(form):
                return form
    raise PathRefusedError("missing-file", _NO_KEY if ref.startswith(_S3) else _NO_FILE)


def _forms(path: str) -> Iterator[str]:
    """Yield a path as it is written, and with its accents composed and apart, as file systems and tables have them."""
    yield path
    if not path.isascii():
        yield from (unicodedata.normalize(form, path) for form in ("NFC", "NFD"))


def _parts(path: str) -> list[str]:
    """Split a path as PurePosixPath does, at a tenth of its time."""
    return [part for part in path.split("/") if part not in ("", ".")]


def _ends(uri: str, depth: int) -> Iterator[str]:
    """Yield the ends of an S3 URI's key that have at most `depth` parts, the longest first."""
    _check_text(uri)
    key = _parts(uri.removeprefix(_S3).partition("/")[2])
    for start in range(max(0, len(key) - depth), len(key)):
        if ".." not in key[start:]:
            yield "/".join(key[start:])


def _relative(ref: str) -> str:
    """Return a relative path without `.` and doubled slashes; raises PathRefusedError if it can lead elsewhere."""
    _check_text(ref)
    parts = _parts(ref)
    if ref.startswith("/") or "\\" in ref or ".." in parts or _SCHEME.match(ref):
        raise PathRefusedError("path", f"{_why_not(ref)}: a relative path inside it is wanted, as in images/a.png")
    return "/".join(parts)


def _why_not(ref: str) -> str:
    if "\\" in ref:
        return "the path has backslashes, as Windows writes them, and may leave the batch's folder"
    if ref.startswith("/"):
        return "the path is absolute, and leaves the batch's folder"
    return "the path leaves the batch's folder"


def _check_text(ref: str) -> None:
    if len(ref) > MAX_PATH_CHARACTERS:
        raise PathRefusedError("path", f"the path is {len(ref):,} characters long; {MAX_PATH_CHARACTERS:,} is the most")
    if not is_text(ref):
        raise PathRefusedError("path", "the path is no text in UTF-8")
    if not ref.isprintable() and _CONTROL.search(ref):
        raise PathRefusedError("path", "the path has a control character")


def _is_inside(root: Path, path: str) -> bool:
    """Tell whether `path` is a file below `root`; raises PathRefusedError for a link that leads out of it."""
    file = root / path
    try:
        # The root itself may be reached through a link; what lies in it may not lead out.
        if not file.resolve().is_relative_to(root.resolve()):
            raise PathRefusedError("path", "a symbolic link leads out of the batch's folder: copy the file into it")
        return file.is_file()
    except (OSError, RuntimeError) as error:
        raise PathRefusedError("path", f"not a usable path: {error}") from None
