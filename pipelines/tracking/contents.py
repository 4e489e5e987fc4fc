"""The lines of MLflow that a step's files make: pure functions over JSON, paths and URIs."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_SHOWN = frozenset({".csv", ".html", ".json", ".md", ".parquet", ".png"})
_MAX_FILE_BYTES = 20 * 1024 * 1024
_DIGEST_LENGTH = 36  # MLflow refuses longer dataset digests
_HEX_DIGEST = re.compile(r"(?:sha256[-:])?([0-9a-f]{12,64})")


def metric_name(name: str) -> str:
    """Return `name` in the characters that MLflow accepts in keys, as no path that it refuses; `a:b` becomes `a/b`.

    MLflow puts what begins alike before a slash side by side.
    """
    clean = re.sub(r"[^\w.\- /]", "_", name.replace(":", "/"))
    parts = [part for part in clean.split("/") if part not in {"", ".", ".."}]
    return "/".join(parts)[:250] or "_"


def is_worth_a_look(name: str, size: int) -> bool:
    """Tell whether a file of this name and size in bytes is one for a browser, or a small table."""
    return Path(name).suffix in _SHOWN and size <= _MAX_FILE_BYTES


def files_to_show(root: Path) -> dict[str, Path]:
    """Return the files of a folder that are worth a look, by their path in it."""
    found = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return {
        path.relative_to(root).as_posix(): path for path in found if is_worth_a_look(path.name, path.stat().st_size)
    }


def dataset_digest(uri: str) -> str:
    """Return the content digest that the URI carries (`…/datasets/<digest>/manifest.jsonl`), cut to MLflow's length.

    A URI without one is not content-addressed: the digest of the URI itself then tells one dataset from another.
    """
    for segment in reversed(uri.split("/")):
        if match := _HEX_DIGEST.fullmatch(segment.partition(".")[0]):
            return match[1][:_DIGEST_LENGTH]
    return "uri-" + hashlib.sha256(uri.encode()).hexdigest()[: _DIGEST_LENGTH - 4]


def dataset_uris(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values named DatasetUri, in any spelling (dataset-uri, dataset_uri, …)."""
    for name, value in values.items():
        if re.sub(r"[^a-z]", "", name.lower()) == "dataseturi" and isinstance(value, str) and value:
            yield value
