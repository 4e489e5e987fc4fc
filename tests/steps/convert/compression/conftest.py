"""Three blocks of the real backbone: every kind of layer that MobileNetV3 has, few enough to compress many times."""

import numpy as np
import pytest

from steps.network.head import Head
from steps.network.runtime import start_tensorflow
from tests.steps.tiny import SPEC, fitted

SIZE = SPEC.tile_size


@pytest.fixture(scope="session")
def tiles():
    """Forty-eight tiles, float32 [n, size, size, 3]: blocks of random colours, some dark and some bright."""
    rng = np.random.default_rng(3)
    blocks = rng.integers(0, 256, (48, 4, 4, 3)) * rng.uniform(0.2, 1, (48, 1, 1, 1))
    return np.kron(blocks.astype(np.uint8), np.ones((1, SIZE // 4, SIZE // 4, 1), np.uint8)).astype(np.float32)


@pytest.fixture(scope="session")
def batches(tiles):
    return lambda: (tiles[first : first + 16] for first in range(0, len(tiles), 16))


@pytest.fixture(scope="module", autouse=True)
def _few_blocks():
    """For a module only: what runs after it in the same process wants the backbone whole."""
    start_tensorflow()
    from steps.network import backbone

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbone, "_SMALL", tuple(backbone._SMALL[number] for number in (0, 3, 4)))
        patch.setattr(backbone, "_SMALL_POOLED", (1,))
        yield


@pytest.fixture(scope="module")
def model(tiles, _few_blocks):
    """An untrained model whose batch normalisation fits its data, and whose channels differ by orders of magnitude."""
    import tf_keras as keras

    from steps.network.backbone import build_model

    keras.utils.set_random_seed(7)
    made = build_model("small", SIZE)
    for name in ("expanded_conv_1/depthwise", "expanded_conv_2/depthwise"):
        kernel = made.get_layer(name).depthwise_kernel
        kernel.assign(kernel * np.logspace(-2, 1, kernel.shape[2], dtype=np.float32)[:, None])
    return fitted(made, tiles)


@pytest.fixture(scope="module")
def head(model, tiles):
    """A head that looks at every feature alike."""
    return Head.of(np.tile(0.1 / (model(tiles, training=False).numpy().std(0) + 1e-3), 3), 0.0)
