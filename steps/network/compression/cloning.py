"""Copies of a functional model, with some of their layers wrapped or changed."""

from collections.abc import Callable
from typing import Any

import tf_keras as keras


def copy_of(model: Any) -> Any:
    """Return a model of its own with the same weights: training it leaves `model` as it is."""
    copied = keras.models.clone_model(model)
    copied.set_weights(model.get_weights())
    return copied


def wrapped(model: Any, wrap: Callable[[Any], Any]) -> Any:
    """Return a copy in which `wrap(layer)` stands for each layer: the layer itself, or a Keras wrapper around it."""
    # Layers of the copy are built already, so that their wrappers take their weights over.
    return keras.models.clone_model(copy_of(model), clone_function=wrap)


def freeze_statistics(model: Any) -> None:
    """Keep every batch normalisation as it is, wrapped or not: a short training would only spoil its statistics."""
    for layer in model.layers:
        inner = getattr(layer, "layer", layer)
        if isinstance(inner, keras.layers.BatchNormalization):
            inner.trainable = False
            if inner is not layer:
                # A wrapper lists what was trainable when it was built, and would save and train it nevertheless.
                frozen = {id(weight) for weight in inner.weights}
                layer._trainable_weights = [w for w in layer._trainable_weights if id(w) not in frozen]  # noqa: SLF001


def is_kernel_layer(layer: Any) -> bool:
    """Tell whether a layer holds one of the large kernels: convolutions, without depthwise and the first.

    Depthwise kernels are a twentieth of the weights and the most sensitive ones, and so is the first convolution. The
    head is a few hundred numbers.
    """
    return type(layer) is keras.layers.Conv2D and layer.name != "Conv"
