"""The files of a step that MLflow shows, and the digest of a dataset."""

import hashlib
import re
from pathlib import Path

_SHOWN = frozenset({".csv", ".html", ".json", ".md", ".parquet", ".png"})
_MAX_FILE_BYTES = 20 * 1024 * 1024
_DIGEST_LENGTH = 36  # MLflow refuses longer dataset digests


def is_shown(name: str, size: int) -> bool:
    """Tell whether a file of this name and size in bytes is one for a browser, or a small table."""
    return Path(name).suffix in _SHOWN and size <= _MAX_FILE_BYTES


def files_to_show(root: Path) -> dict[str, Path]:
    """Return the files of a folder that are shown, by their path in it."""
    found = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(root).as_posix(): path for path in found if is_shown(path.name, path.stat().st_size)}


def dataset_digest(uri: str) -> str:
    """Return the content digest that the URI of a snapshot carries (`…/datasets/<digest>`), or one of another URI.

    It is cut to MLflow's length.
    """
    # Not in the bucket's name, which may have an account's number.
    found = re.findall(r"[0-9a-f]{12,64}", uri.partition("://")[2].partition("/")[2])
    return (found[-1] if found else hashlib.sha256(uri.encode()).hexdigest())[:_DIGEST_LENGTH]
