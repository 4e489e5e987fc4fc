"""Atomic writes: every file is written beside its place and renamed into it."""

import errno
import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from steps.core.common.errors import UserError

_CHUNK = 1 << 20


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """Yield a hidden file in `folder`, for the block to write and to rename; it vanishes if it is still there."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".unfinished.{secrets.token_hex(8)}"
    beside.touch(exist_ok=False)  # with the rights that the umask leaves, as tempfile's files have not
    try:
        yield beside
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an OSError of the block name `path` if it names no file, as that of a full disk does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Raise UserError in the place of a full disk's OSError: what could not be written, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        what = error.filename2 or error.filename or "a file"  # of a copy, the second is what was written
        raise UserError(f"the disk is full: {what} could not be written; free space and do the same again") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that becomes `path` if the block ends well, and vanishes if not."""
    with naming(path), unfinished(path.parent) as beside:
        yield beside
        beside.replace(path)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON, as `json_text` does."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Return strict JSON (no NaN, no infinity): a number that is not one must be settled before it is written."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def read_json(path: Path) -> Any:
    """Read a JSON file that another step wrote; raises UserError that names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path.name} is missing in {path.parent}: run the step that writes it first") from None
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"{path} is not readable JSON ({error}): it must be written again by its step") from None


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, in lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
