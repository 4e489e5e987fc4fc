"""What the whole-screenshot signature costs: latency on one core, memory and bytes, beside tiles cut outside the graph.

Run with: pytest tests/benchmarks/test_device.py -m benchmark -s
The weights are random, which costs what trained ones cost; the machine should be idle.
"""

import statistics
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from steps.core.tiles.cutting import cut_tiles
from steps.core.tiles.spec import PreprocessingSpec
from steps.core.tiles.tiling import plan_tiles
from steps.device.export import export
from steps.device.flatbuffer import model_bytes, read_model
from steps.device.runtime import LiteModel
from steps.network.reducer import Reducer
from steps.network.runtime import start_tensorflow

pytestmark = [pytest.mark.benchmark, pytest.mark.filterwarnings("ignore::UserWarning")]
SPEC, REDUCER = PreprocessingSpec(), Reducer("attention")
SIZES = [(1080, 2400), (1080, 2340), (1440, 3200), (719, 1599), (1600, 2560)]
REPEATS = 15
MEMORY = """
import sys
import numpy as np
from pathlib import Path
from steps.device.runtime import LiteModel
model = LiteModel(Path(sys.argv[1]), 1)
width, height = int(sys.argv[3]), int(sys.argv[4])
pixels = np.zeros((height, width, 3), np.uint8)
def most():
    # Linux only: the resource usage of a process begins with what its parent had.
    return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmHWM"))
before = most()
if sys.argv[2] == "screenshot":
    model.screenshot(pixels)
else:
    from steps.core.tiles.cutting import cut_tiles
    from steps.core.tiles.spec import PreprocessingSpec
    for tile in cut_tiles(pixels, PreprocessingSpec()):
        model.tile(tile)
print((most() - before) * 1024 / 1e6)
"""


@pytest.fixture(scope="module", params=["float32", "float16", "dynamic"])
def converted(request, tmp_path_factory):
    start_tensorflow()
    import tf_keras as keras

    from steps.network.backbone import build_model

    backbone = build_model("small", SPEC.tile_size)
    features = backbone.get_layer("pool").output
    model = keras.Model(backbone.input, keras.layers.Dense(REDUCER.columns)(features))
    path = tmp_path_factory.mktemp(request.param) / "model.tflite"
    export(model, REDUCER, SPEC, path, mode=request.param)
    return request.param, path


def milliseconds(run):
    """Return the median CPU time of the calling thread, the interpreter's only one, after the first call."""
    run()
    taken = []
    for _ in range(REPEATS):
        start = time.thread_time()
        run()
        taken.append(1e3 * (time.thread_time() - start))
    return statistics.median(taken)


def test_a_screenshot_at_once_against_its_tiles(converted):
    cv2.setNumThreads(1)
    mode, path = converted
    model = LiteModel(path, 1)
    print(f"\n{mode}: screenshot | cut_tiles + tiles, ms")
    for width, height in SIZES:
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        tiles = cut_tiles(pixels, SPEC)
        whole = milliseconds(lambda pixels=pixels: model.screenshot(pixels))
        cutting = milliseconds(lambda pixels=pixels: cut_tiles(pixels, SPEC))
        scoring = milliseconds(lambda tiles=tiles: [model.tile(tile) for tile in tiles])
        print(f"{width} x {height}, {len(tiles)} tiles: {whole:6.1f} | {cutting:4.1f} + {scoring:5.1f}")
        assert len(tiles) == len(plan_tiles(width, height))
        apart = np.abs(model.screenshot(pixels)[1] - np.stack([model.tile(tile) for tile in tiles])).max()
        assert apart <= 1e-5


def test_what_the_screenshot_signature_adds_to_the_file(converted):
    mode, path = converted
    both = path.stat().st_size
    model = read_model(path)
    model.subgraphs, model.signatureDefs = model.subgraphs[:1], [s for s in model.signatureDefs if not s.subgraphIndex]
    used = {tensor.buffer for tensor in model.subgraphs[0].tensors}
    for number, buffer in enumerate(model.buffers):
        buffer.data = buffer.data if number in used else None
    alone = len(model_bytes(model))
    print(f"\n{mode}: {both:,} bytes, {both - alone:,} of them for the second signature and the metadata")
    assert both < 1.2 * alone


@pytest.mark.parametrize("size", SIZES[:3])
def test_peak_memory(converted, size):
    if sys.platform != "linux":
        pytest.skip("the peak is read from /proc")
    mode, path = converted
    for kind in ("screenshot", "tile"):
        command = [sys.executable, "-c", MEMORY, str(path), kind, *map(str, size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"\n{mode}, {size[0]} x {size[1]}: {kind} adds {float(done.stdout):.0f} MB")
        assert float(done.stdout) < 1000
