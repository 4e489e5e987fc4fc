"""Features of tiles: what the frozen backbone says of each, kept beside the tile store and computed once.

`<key>/<shard>.npy` holds a shard's features, float16 [records, D], in the order of its records. The key names the
preprocessing spec and the very weights; of labels and splits features know as little as tiles do.
"""

import hashlib
import json
import tokenize
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.core.common.errors import UserError
from steps.core.common.files import replacing
from steps.core.tiles.spec import PreprocessingSpec

# A change of how features are computed makes a new version: old ones then are not taken for new ones.
_VERSION = 1
# What NumPy raises for the headers of files that are none of its own.
_UNREADABLE = (OSError, ValueError, EOFError, TypeError, SyntaxError, OverflowError, MemoryError, tokenize.TokenError)

Features = npt.NDArray[np.float16]


def features_key(spec: PreprocessingSpec, backbone: str, weights_sha256: str) -> str:
    """Return the folder of the features of tiles of `spec`, as weights of that digest see them."""
    identity = json.dumps([_VERSION, spec.digest, backbone, weights_sha256])
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def features_file(shard: str) -> str:
    """Return where the features of a shard lie below their key."""
    return f"{shard.removesuffix('.tfrecord')}.npy"


def write_shard_features(folder: Path, shard: str, values: Features) -> None:
    """Write a shard's features, float16 [records, D]; raises UserError if a value is not finite."""
    if not np.isfinite(values).all():
        raise UserError(f"the features of {shard} are not all finite: the pretrained weights fit no such tiles")
    with replacing(folder / features_file(shard)) as beside, beside.open("wb") as stream:
        np.save(stream, values, allow_pickle=False)


def read_features(folder: Path, rows: pd.DataFrame) -> Features:
    """Read the features of tiles, float16 [len(rows), D], in the order of `rows` (columns shard and record).

    `folder` holds a file for each shard, which is opened once. Raises UserError that names the file.
    """
    values: Features = np.empty((len(rows), 0), np.float16)
    for shard, records in rows.reset_index(drop=True).groupby("shard", dropna=False)["record"]:
        path = folder / features_file(str(shard))
        found = _records(path, records.to_numpy(np.int64))
        if not values.shape[1]:
            values = np.empty((len(rows), found.shape[1]), np.float16)
        if found.shape[1] != values.shape[1]:
            raise _damaged(path, f"{found.shape[1]} features a tile, and other shards have {values.shape[1]}")
        values[records.index] = found
    return values


def _records(path: Path, records: npt.NDArray[np.int64]) -> Features:
    """Read some records of a shard's file."""
    try:
        # Not np.load: it takes archives as well.
        whole = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: start the run again, IndexTiles then computes these features") from None
    except _UNREADABLE as error:
        raise _damaged(path, f"no array that can be read ({error})") from None
    if whole.ndim != 2 or whole.dtype != np.float16 or not whole.shape[1]:  # noqa: PLR2004
        raise _damaged(path, f"{whole.dtype} {list(whole.shape)} instead of float16 [records, features]")
    if records.max() >= len(whole):
        raise _damaged(path, f"{len(whole)} records, and the index of the tiles wants number {records.max()}")
    found: Features = np.array(whole[records])
    if not np.isfinite(found).all():
        raise _damaged(path, "values that are not finite")
    return found


def _damaged(path: Path, seen: str) -> UserError:
    return UserError(f"{path} holds {seen}: remove it from the features in the store, and start the run again")
