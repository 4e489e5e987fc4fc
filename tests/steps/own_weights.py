"""Weights of a backbone that nobody has trained, in a file as Keras writes it."""

from pathlib import Path

import numpy as np


def write_pretrained(path: Path, backbone: str, size: int) -> Path:
    """Write weights whose features are all alive: random kernels, statistics of noise."""
    import tf_keras as keras

    from steps.network.backbone import build_model
    from tests.make_sample_backbone import write_backbone

    keras.utils.set_random_seed(7)
    model = build_model(backbone, size)
    model.trainable = True
    noise = np.random.default_rng(7).integers(0, 256, (64, size, size, 3)).astype(np.float32)
    for _ in range(30):
        model(noise, training=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_backbone(model, path)
    return path
