"""From the path that a row names to a file inside its batch, and to nothing else."""

import re
from pathlib import Path, PurePosixPath

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_S3 = "s3://"


class PathRefusedError(ValueError):
    """A path that names no file of the batch; `reason` is a stable code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


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
    if not is_text(ref):
        raise PathRefusedError("path", "the path is no text in UTF-8")
    if ref.startswith(_S3):
        parts = PurePosixPath(ref.removeprefix(_S3)).parts[1:]
        ends = [PurePosixPath(*parts[start:]) for start in range(len(parts))]
        found = next((end for end in ends if ".." not in end.parts and _is_inside(root, end)), None)
        if found is None:
            raise PathRefusedError("missing-file", "no end of the URI's key is a readable file in the batch")
        return found
    path = PurePosixPath(ref)
    if _SCHEME.match(ref) or "\\" in ref or path.is_absolute() or ".." in path.parts:
        raise PathRefusedError("path", "the path leaves the batch's folder: a relative path inside it is wanted")
    if not _is_inside(root, path):
        raise PathRefusedError("missing-file", "there is no such readable file in the batch")
    return path


def _is_inside(root: Path, path: PurePosixPath) -> bool:
    """Tell whether `path` is a file below `root`; raises PathRefusedError for a link that leads out of it."""
    file = root / path
    try:
        # The root itself may be reached through a link; what lies in it may not lead out.
        if not file.resolve().is_relative_to(root.resolve()):
            raise PathRefusedError("path", "a symbolic link leads out of the batch's folder")
        return file.is_file()
    except (OSError, RuntimeError) as error:
        raise PathRefusedError("path", f"not a usable path: {error}") from None
