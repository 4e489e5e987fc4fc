"""Whole files or none: everything is written beside its place and renamed into it."""

import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.executor.errors import DefinitionError

READ_ONLY = 0o400
PART = ".tilegate-part"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling that becomes `path` when the block ends well and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.parent / f".{path.name[:100]}.{secrets.token_hex(6)}{PART}"
    try:
        yield beside
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        error.filename = error.filename or str(path)  # the error of a full disk has none
        raise
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON; NaN and infinities are written as Python reads them back (a metric may be one)."""
    with replacing(path) as beside:
        beside.write_text(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Return the JSON of a file this package wrote, None if it is missing or not whole."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` the same read-only file as `source`: a hard link if the file systems allow it, else a copy."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(READ_ONLY)


def walk_files(top: Path) -> Iterator[tuple[str, Path]]:
    """Yield (key relative to `top` with forward slashes, path) of each file below `top`, sorted by key.

    No link is followed; each is yielded itself.
    """
    found = []
    for folder, folders, names in os.walk(top):
        found += [Path(folder, name) for name in names]
        found += [path for name in folders if (path := Path(folder, name)).is_symlink()]
    keyed = ((path.relative_to(top).as_posix(), path) for path in found)
    yield from sorted(keyed, key=lambda item: os.fsencode(item[0]))


def output_files(top: Path, root: Path | None = None) -> list[tuple[str, Path]]:
    """Return the files that a job has written, as `walk_files` does, into a folder of its own root.

    Raises DefinitionError for a link, which could lead to any file of this machine, and for what is no file at all.
    With `root` a link on the way from there to `top` is refused as well.
    """
    below = [place for place in (top, *top.parents) if root and place.is_relative_to(root) and place != root]
    if linked := next((place for place in (top, *below) if place.is_symlink()), None):
        raise DefinitionError(f"the output folder {linked} is a link: a job writes into the folder it was given")
    files = list(walk_files(top))
    for key, path in files:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise DefinitionError(f"the output {key} is a link or not a regular file: only files of its own are stored")
    return files
