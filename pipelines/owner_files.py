"""Files that their owner alone may read: keys, made when they are first needed."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from steps.core.common.errors import UserError

_OTHERS = 0o077


def secret(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return the bytes of a file that only its owner reads, which `make` gives if there is none.

    Raises UserError if others may read the file.
    """
    if not path.exists():
        _create(path, make())
    check_owner(path)
    return path.read_bytes()


def check_owner(path: Path) -> None:
    """Raise UserError if anybody but this process's user may read or write a file."""
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise UserError(f"{path} belongs to another user, who alone may use it: run the command as its owner")
    if status.st_mode & _OTHERS:
        raise UserError(f"{path} is readable by others: `chmod 600` it, or make a new one")


def _create(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(data)
        # A link is refused where a file is already: of two first uses, one makes it and both use it.
        os.link(beside, path)
    except FileExistsError:
        pass
    finally:
        beside.unlink(missing_ok=True)
