"""Copies of a functional model."""

from typing import Any

import tf_keras as keras


def copy_of(model: Any) -> Any:
    """Return a model of its own with the same weights: training it leaves `model` as it is."""
    copied = keras.models.clone_model(model)
    copied.set_weights(model.get_weights())
    return copied


def freeze_statistics(model: Any) -> None:
    """Keep every batch normalisation as it is, wrapped or not, also where the model is shown tiles as in training."""
    for layer in model.layers:
        inner = getattr(layer, "layer", layer)
        if isinstance(inner, keras.layers.BatchNormalization):
            inner.trainable = False
