"""A tile model small enough to be compressed many times, with every kind of layer that MobileNetV3 has."""

import numpy as np
import pytest

from steps.network.runtime import start_tensorflow

SIZE, COLUMNS = 32, 2


@pytest.fixture(scope="session")
def tiles():
    """Forty-eight tiles, float32 [n, size, size, 3]: blocks of random colours, some dark and some bright."""
    rng = np.random.default_rng(3)
    blocks = rng.integers(0, 256, (48, 4, 4, 3)) * rng.uniform(0.2, 1, (48, 1, 1, 1))
    return np.kron(blocks.astype(np.uint8), np.ones((1, SIZE // 4, SIZE // 4, 1), np.uint8)).astype(np.float32)


@pytest.fixture(scope="session")
def batches(tiles):
    return lambda: (tiles[first : first + 16] for first in range(0, len(tiles), 16))


@pytest.fixture(scope="session")
def model(tiles):
    """An untrained model whose batch normalisation fits its data, and whose channels differ by orders of magnitude."""
    start_tensorflow()
    import tf_keras as keras

    from steps.network.backbone import HardSwish, ShiftedRelu6, SixthScale

    layers = keras.layers
    keras.utils.set_random_seed(7)

    def normalised(x, name):
        return layers.BatchNormalization(epsilon=1e-3, momentum=0.0, name=name)(x)

    inputs = layers.Input((SIZE, SIZE, 3), name="tile")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(inputs)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="Conv")(x)
    short = HardSwish(name="Conv/act")(normalised(x, "Conv/BatchNorm"))
    x = layers.Conv2D(24, 1, use_bias=False, name="expand")(short)
    x = layers.ReLU(name="expand/act")(normalised(x, "expand/BatchNorm"))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.ReLU(name="depthwise/act")(normalised(x, "depthwise/BatchNorm"))
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="AvgPool")(x)
    gate = layers.ReLU(name="Relu")(layers.Conv2D(8, 1, name="squeeze")(gate))
    gate = layers.Conv2D(24, 1, name="excite")(gate)
    gate = SixthScale(name="gate_scale")(ShiftedRelu6(name="gate_relu6")(gate))
    x = layers.Multiply(name="Mul")([x, gate])
    x = normalised(layers.Conv2D(8, 1, use_bias=False, name="project")(x), "project/BatchNorm")
    x = layers.Add(name="Add")([short, x])
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
    x = layers.DepthwiseConv2D(3, strides=2, use_bias=False, name="last")(x)
    short = HardSwish(name="last/act")(normalised(x, "last/BatchNorm"))
    x = layers.Dropout(0.5, name="dropout")(layers.GlobalAveragePooling2D(name="pool")(short))
    made = keras.Model(inputs, layers.Dense(COLUMNS, name="evidence")(x), name="tiny")
    for name in ("depthwise", "last"):
        kernel = made.get_layer(name).depthwise_kernel
        kernel.assign(kernel * np.logspace(-2, 1, kernel.shape[2], dtype=np.float32)[:, None])
    made(tiles, training=True)
    # A head whose evidence spreads like that of a trained one.
    features = keras.Model(inputs, x)(tiles, training=False).numpy()
    spread = made.get_layer("evidence").kernel.numpy() / features.std(0)[:, None]
    made.get_layer("evidence").set_weights([2 * spread, np.zeros(COLUMNS, np.float32)])
    return made


@pytest.fixture(scope="session")
def fit(tiles):
    """A short training through a model around the tile model, as training through a reducer is."""
    import tf_keras as keras

    labels = np.random.default_rng(4).integers(0, 2, (len(tiles), COLUMNS)).astype(np.float32)

    def train(wrapped, callbacks):
        inputs = keras.layers.Input((SIZE, SIZE, 3))
        around = keras.Model(inputs, keras.layers.Activation("sigmoid")(wrapped(inputs)))
        around.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy")
        around.fit(tiles, labels, batch_size=8, epochs=1, verbose=0, callbacks=list(callbacks))

    return train
