"""Keys that mean the same object everywhere: in S3, in a folder, in a manifest."""

from steps.core.common.errors import UserError
from steps.core.dataset.paths import is_text

MAX_KEY_BYTES = 1_024


def checked_key(key: str) -> str:
    """Return a key if it can name an object; raises UserError if it is absolute, or could lead anywhere else."""
    _check_text(key)
    if any(segment in {"", ".", ".."} for segment in key.split("/")):
        raise UserError(f"the key {key!r} names no object: a relative path without empty segments, . and .. is wanted")
    return key


def checked_prefix(prefix: str) -> str:
    """Return what keys may begin with, a whole key or not; raises UserError for what no key begins with."""
    _check_text(prefix)
    *segments, last = prefix.split("/")
    if any(segment in {"", ".", ".."} for segment in segments) or last in {".", ".."}:
        raise UserError(f"no key begins with {prefix!r}: a relative path without empty segments, . and .. is wanted")
    return prefix


def _check_text(key: str) -> None:
    if not is_text(key) or len(key.encode()) > MAX_KEY_BYTES:
        raise UserError(f"{key[:80]!r} is no key: a text of at most {MAX_KEY_BYTES:,} bytes without NUL is wanted")
