"""The lines of MLflow that a step's files make: pure functions over JSON, paths and URIs."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTRACT_SUFFIXES = frozenset({".html", ".json", ".md", ".parquet", ".png"})
MAX_FILE_BYTES = 5 * 1024 * 1024
MAX_FILES = 50
MAX_METRICS = 100
MAX_DEPTH = 6
METRIC_FILES = frozenset({"evaluation.json", "validation.json"})
_DIGEST_LENGTH = 36  # MLflow refuses longer dataset digests
_HEX_DIGEST = re.compile(r"(?:sha256[-:])?([0-9a-f]{12,64})")


@dataclass(frozen=True, slots=True)
class Selection:
    """The files of one output to log, as (path, path relative to the output), and how many were left out."""

    files: tuple[tuple[Path, Path], ...]
    left_out: int


def metric_name(name: str) -> str:
    """Return `name` in the characters that MLflow accepts in keys, and as no path that it refuses."""
    clean = re.sub(r"[^\w.\- :/]", "_", name)
    parts = [part for part in clean.split("/") if part not in {"", ".", ".."}]
    return "/".join(parts)[:250] or "_"


def numeric_leaves(value: Any, *, limit: int = MAX_METRICS, depth: int = MAX_DEPTH) -> dict[str, float]:
    """Flatten the numbers and booleans of nested JSON objects to `a/b/c` names; at most `limit`, shallow ones first.

    Lists are left out: their elements have no name of their own, and a curve of a thousand points is not a metric.
    """
    found: dict[str, float] = {}
    level: list[tuple[str, Any]] = [("", value)]
    for _ in range(depth + 1):
        deeper: list[tuple[str, Any]] = []
        for prefix, item in level:
            if isinstance(item, Mapping):
                deeper.extend((f"{prefix}/{key}" if prefix else str(key), child) for key, child in item.items())
            elif prefix and isinstance(item, bool | int | float) and len(found) < limit:
                try:
                    found[metric_name(prefix)] = float(item)
                except OverflowError:  # a JSON integer beyond a float is no metric
                    continue
        level = deeper
    return found


def select_files(root: Path, keys: Sequence[str] | None = None) -> Selection:
    """Choose the small contract files of an output (a file or a folder), the ones near its top first.

    With `keys` the folder is shared with other executions, and only these files in it are the output's; tables among
    them are what a store is made of, and nothing to look at.
    """
    if keys is not None:
        found = [(root / key, Path(key)) for key in keys if not key.endswith(".parquet") and (root / key).is_file()]
    elif root.is_file():
        found = [(root, Path(root.name))]
    else:
        found = [(path, path.relative_to(root)) for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    wanted = sorted((item for item in found if item[1].suffix in CONTRACT_SUFFIXES), key=_shallow_first)
    small = [item for item in wanted if item[0].stat().st_size < MAX_FILE_BYTES]
    kept = small[:MAX_FILES]
    return Selection(tuple(kept), len(wanted) - len(kept))


def metrics_of(path: Path) -> dict[str, float]:
    """Return the numeric leaves of a metrics file (evaluation.json, validation.json); nothing if it is not JSON."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return {}
    return numeric_leaves(value)


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


def input_uris(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return the S3 inputs of a step's arguments by name: processing inputs, or training channels."""
    found: dict[str, str] = {}
    for item in arguments.get("ProcessingInputs") or []:
        uri = (item.get("S3Input") or {}).get("S3Uri")
        if isinstance(uri, str):
            found[str(item.get("InputName", ""))] = uri
    for channel in arguments.get("InputDataConfig") or []:
        uri = ((channel.get("DataSource") or {}).get("S3DataSource") or {}).get("S3Uri")
        if isinstance(uri, str):
            found[str(channel.get("ChannelName", ""))] = uri
    return found


def _shallow_first(item: tuple[Path, Path]) -> tuple[int, str]:
    return len(item[1].parts), str(item[1])
