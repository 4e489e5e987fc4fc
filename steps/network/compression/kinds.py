"""The compressed variants that training makes beside the float model: trained, saved and loaded by name."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from steps.core.common.choices import COMPRESSIONS
from steps.core.common.errors import UserError
from steps.network.compression.cloning import is_kernel_layer
from steps.network.compression.clustering import cluster
from steps.network.compression.files import variant_path
from steps.network.compression.pruning import prune
from steps.network.compression.quantizing import make_room, observe, quantised_objects, simulated

Fit = Callable[[Any, Sequence[Any]], None]
Tiles = Callable[[], Iterable[npt.NDArray[np.float32]]]


def compress(model: Any, kind: str, fit: Fit, *, steps: int, tiles: Tiles) -> Any:
    """Return a compressed copy of a tile model, float32 [n, size, size, 3] to evidence [n, columns].

    `fit(wrapped, callbacks)` trains it, about `steps` steps, through whatever it likes to put around the wrapped tile
    model; a low learning rate is wanted, for the model is trained already. "prune-qat" calls it twice. `tiles()` gives
    a few batches of training tiles, by which the 8-bit ranges are set before training refines them. `model` itself
    does not change. Raises UserError for a kind that is none of COMPRESSIONS.
    """
    if kind == "prune":
        return prune(model, fit, steps=steps)
    if kind == "cluster":
        return cluster(model, fit)
    if kind == "qat":
        return _aware(model, fit, tiles, keep_zeros=False)
    if kind == "prune-qat":
        return _aware(prune(model, fit, steps=steps), fit, tiles, keep_zeros=True)
    raise UserError(f"compression {kind!r}: one of {', '.join(COMPRESSIONS)} is wanted")


def _aware(model: Any, fit: Fit, tiles: Tiles, *, keep_zeros: bool) -> Any:
    made = simulated(model, keep_zeros=keep_zeros)
    observe(made, tiles())
    fit(made, [])
    if keep_zeros:
        # The scheme masks convolutions that batch normalisation follows, and lets the others go.
        _put_zeros_back(made, model)
    # Training sets the ranges of the weights anew.
    make_room(made)
    return made


def _put_zeros_back(simulation: Any, pruned: Any) -> None:
    inner = {layer.layer.name: layer for layer in simulation.layers if hasattr(layer, "layer")}
    for layer in pruned.layers:
        if is_kernel_layer(layer):
            kernel = next(w for w in inner[layer.name].weights if w.name.endswith("/kernel:0"))
            kernel.assign(kernel * tf.cast(layer.kernel != 0, kernel.dtype))


def save_variant(model: Any, folder: Path, kind: str) -> None:
    """Save a compressed model into a model archive's folder; HDF5, the form from which simulated models come back."""
    path = variant_path(folder, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # It recommends the newer form, which simulated models do not survive.
        warnings.simplefilter("ignore", UserWarning)
        model.save(path, save_format="h5", include_optimizer=False)


def load_variant(folder: Path, kind: str) -> Any:
    """Load what `save_variant` saved; raises UserError if it was not trained or cannot be read."""
    path = variant_path(folder, kind)
    if not path.is_file():
        raise UserError(f"the model was trained without it: train with compress={kind}")
    try:
        with quantised_objects():
            return keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path.name} is not a readable Keras model: {str(error)[:300]}") from None
