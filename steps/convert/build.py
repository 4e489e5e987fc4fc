"""The files of the variants, each built in a process of its own: a converter that crashes costs one variant."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from steps.core.common.choices import FLOAT32, INT8
from steps.core.common.errors import UserError
from steps.core.common.worker_pool import die_with_parent
from steps.core.tiles.spec import PreprocessingSpec
from steps.device.contract import TFLITE_FILE
from steps.network.archive import MODEL_FILE
from steps.network.head import Head

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What variants are made of: the unpacked model archive, a .npy file of calibration tiles uint8 [n, S, S, 3]."""

    archive: Path
    backbone: str
    tiles: Path
    head: Head
    spec: PreprocessingSpec


def make_all(
    names: Sequence[str], ingredients: Ingredients, folder: Path, workers: int
) -> Iterator[tuple[str, Path, str]]:
    """Make each variant as `folder / name / model.tflite`, `workers` at a time.

    Yields (name, path, reason) in the order of `names`; the reason is "" or says why there is no such file.
    """
    with ThreadPoolExecutor(workers) as threads:
        paths = {name: folder / name / TFLITE_FILE for name in names}
        made = {name: threads.submit(_in_a_child, name, ingredients, paths[name]) for name in names}
        for name in names:
            yield name, paths[name], made[name].result()


def _in_a_child(name: str, ingredients: Ingredients, path: Path) -> str:
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=die_with_parent) as pool:
        try:
            pool.submit(make, name, ingredients, path).result()
        except UserError as error:
            return str(error)
        except BrokenProcessPool:
            return "its conversion was killed: it needs more memory than there is"
        # TensorFlow raises whatever it likes, and one variant's trouble is not the others'.
        except Exception as error:  # noqa: BLE001
            return f"its conversion failed: {type(error).__name__}: {str(error)[:300]}"
    return ""


def make(name: str, ingredients: Ingredients, path: Path) -> None:
    """Make one variant, metadata included; raises UserError if what it needs is not there."""
    from steps.network.runtime import start_tensorflow

    start_tensorflow()
    from steps.convert.quantization import rounded, shorten
    from steps.device.export import export
    from steps.device.metadata import finish
    from steps.network.backbone import build_model, load_weights

    head, spec = ingredients.head, ingredients.spec
    model = load_weights(build_model(ingredients.backbone, spec.tile_size), ingredients.archive / MODEL_FILE)
    if name == INT8:
        tiles = np.load(ingredients.tiles, mmap_mode="r")
        parts = (tiles[first : first + _BATCH] for first in range(0, len(tiles), _BATCH))
        model = rounded(model, (part.astype(np.float32) for part in parts))
    export(model, head, spec, path)
    if name != FLOAT32:
        shorten(path, 8 if name == INT8 else 16)
        finish(path, head, spec)
