"""Files of weights from outside: numbers of known shapes are read from them, and nothing else is believed.

Pretrained weights are HDF5 as Keras writes them (`layers/conv2d_3/vars/0`, or by layer names as its releases are). HDF5
can point to other files; what is no plain array of the wanted shape in the file itself is refused before it is read.
"""

import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from steps.core.common.errors import UserError

WEIGHTS_SUFFIX = ".weights.h5"

Shape = tuple[int, ...]
Arrays = list[npt.NDArray[np.float32]]
# Of a layer with weights: its kind as Keras names it, its name, and the shapes of its weights.
LayerShapes = tuple[str, str, Sequence[Shape]]


def pretrained_weights(folder: Path) -> Path:
    """Return the weights in a folder; raises UserError unless there is exactly one such file."""
    found = sorted(folder.glob(f"*{WEIGHTS_SUFFIX}")) if folder.is_dir() else []
    if len(found) == 1:
        return found[0]
    names = ", ".join(p.name for p in found) or "none"
    raise UserError(f"{folder} holds {names}: one *{WEIGHTS_SUFFIX} is wanted")


def read_pretrained(path: Path, layers: Sequence[LayerShapes], what: str) -> Arrays:
    """Read the weights of `layers`, in their order, float32; `what` is the network's name, for messages.

    Raises UserError for a file that is no HDF5, is of another network, points outside of itself or holds what is no
    finite number.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            named = "layer_names" in file.attrs
            count: Counter[str] = Counter()
            arrays = []
            for kind, name, shapes in layers:
                number, count[kind] = count[kind], count[kind] + 1
                places = (
                    _by_name(file, name)
                    if named
                    else [f"layers/{kind}{f'_{number}' if number else ''}/vars/{at}" for at in range(len(shapes))]
                )
                arrays += [_array(file, place, shape) for place, shape in zip(places, shapes, strict=True)]
    # Damaged files make h5py raise whatever it likes.
    except Exception as error:  # noqa: BLE001
        raise UserError(
            f"{path.name} holds no weights of {what}: {str(error).strip()[:300]}; give a Keras *{WEIGHTS_SUFFIX} of "
            "the same MobileNetV3 without its top"
        ) from None
    return arrays


def _by_name(file: Any, layer: str) -> list[str]:
    return [
        f"{layer}/{name.decode() if isinstance(name, bytes) else name}" for name in file[layer].attrs["weight_names"]
    ]


def _array(file: Any, place: str, shape: Shape) -> npt.NDArray[np.float32]:
    import h5py

    at = file
    for part in place.split("/"):
        if not isinstance(at.get(part, getlink=True), h5py.HardLink):
            raise KeyError(f"{place} is missing, or a link")
        at = at[part]
    if not isinstance(at, h5py.Dataset) or at.is_virtual or at.external or at.dtype.kind != "f" or at.shape != shape:
        found = getattr(at, "shape", type(at).__name__)
        raise ValueError(f"{place} is {found}, where an array of {shape} in this file is wanted")
    values = np.asarray(at[()], np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{place} holds what is no finite number")
    return values


def read_arrays(path: Path, shapes: Sequence[Shape]) -> Arrays:
    """Read the float32 arrays of these shapes from a NumPy archive; raises UserError for anything else."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(archive.namelist())
            return [_member(archive, name, shape) for name, shape in zip(names, shapes, strict=True)]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise UserError(
            f"{path.name} does not hold this model's weights ({str(error)[:300]}): train it again"
        ) from None


def _member(archive: zipfile.ZipFile, name: str, shape: Shape) -> npt.NDArray[np.float32]:
    with archive.open(name) as stream:
        if (version := np.lib.format.read_magic(stream)) != (1, 0):
            raise ValueError(f"{name} is of version {version}")
        found, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        if (found, fortran, dtype) != (shape, False, np.dtype(np.float32)):
            raise ValueError(f"{name} is {dtype} {found} instead of float32 {shape}")
        values = np.frombuffer(stream.read(dtype.itemsize * int(np.prod(shape))), dtype).reshape(shape)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds what is no finite number")
    return values
