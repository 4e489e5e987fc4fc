"""What the whole-screenshot signature costs: latency on one core, memory and bytes, beside tiles cut outside the graph.

Run with: pytest tests/benchmarks/test_device.py -m benchmark -s
The weights are random, which costs what trained ones cost; the machine should be idle.
"""

import statistics
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
from steps.network.head import Head
from steps.network.runtime import start_tensorflow
from tests.benchmarks.own_process import run

pytestmark = [pytest.mark.benchmark, pytest.mark.filterwarnings("ignore::UserWarning")]
SPEC = PreprocessingSpec()
SIZES = [(1080, 2400), (1080, 2340), (1440, 3200), (719, 1599), (1600, 2560)]
MODES = ["float32", "float16"]
MEMORY = """
import sys
from pathlib import Path
import numpy as np
from own_process import peak_mb
from steps.core.tiles.cutting import cut_tiles
from steps.core.tiles.spec import PreprocessingSpec
from steps.device.runtime import LiteModel
model = LiteModel(Path(sys.argv[1]), 1)
width, height = int(sys.argv[3]), int(sys.argv[4])
pixels = np.zeros((height, width, 3), np.uint8)
before = peak_mb()
if sys.argv[2] == "screenshot":
    model.screenshot(pixels)
else:
    for tile in cut_tiles(pixels, PreprocessingSpec()):
        model.tile(tile)
print(peak_mb() - before)
"""


@pytest.fixture(scope="module")
def repeats(sizes):
    return sizes(full=15, smoke=1)


@pytest.fixture(scope="module")
def shapes(sizes):
    """Return the widths and heights of the screenshots."""
    return sizes(full=SIZES, smoke=SIZES[:1])


@pytest.fixture(scope="module", params=MODES)
def converted(request, tmp_path_factory, sizes, network):
    if request.param not in sizes(full=MODES, smoke=MODES[:1]):
        pytest.skip("one form is enough for a smoke")
    start_tensorflow()
    from steps.network.backbone import build_model

    model = build_model("small", SPEC.tile_size)
    path = tmp_path_factory.mktemp(request.param) / "model.tflite"
    export(model, Head.of(np.ones(3 * model.output_shape[-1]), 0.0), SPEC, path, mode=request.param)
    return request.param, path


def milliseconds(act, repeats):
    """Return the median CPU time of the calling thread, the interpreter's only one, after the first call."""
    act()
    taken = []
    for _ in range(repeats):
        start = time.thread_time()
        act()
        taken.append(1e3 * (time.thread_time() - start))
    return statistics.median(taken)


def test_a_screenshot_at_once_against_its_tiles(converted, repeats, shapes, figures):
    cv2.setNumThreads(1)
    mode, path = converted
    model = LiteModel(path, 1)
    print(f"\n{mode}: screenshot | cut_tiles + tiles, ms")
    for width, height in shapes:
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        tiles = cut_tiles(pixels, SPEC)
        whole = milliseconds(lambda pixels=pixels: model.screenshot(pixels), repeats)
        cutting = milliseconds(lambda pixels=pixels: cut_tiles(pixels, SPEC), repeats)
        scoring = milliseconds(lambda tiles=tiles: [model.tile(tile) for tile in tiles], repeats)
        print(f"{width} x {height}, {len(tiles)} tiles: {whole:6.1f} | {cutting:4.1f} + {scoring:5.1f}")
        assert len(tiles) == len(plan_tiles(width, height))
        features, index = np.stack([model.tile(tile) for tile in tiles]), np.arange(len(tiles))
        head = Head.of(np.ones(3 * model.width), 0.0)
        assert model.screenshot(pixels)[1] == pytest.approx(
            head.evidence(features, index, 0 * index), rel=1e-4, abs=1e-4
        )
        figures.record(f"device: {width} x {height} at once, {mode}", whole / 1000)


def test_what_the_screenshot_signature_adds_to_the_file(converted, sizes):
    mode, path = converted
    both = path.stat().st_size
    model = read_model(path)
    model.subgraphs, model.signatureDefs = model.subgraphs[:1], [s for s in model.signatureDefs if not s.subgraphIndex]
    used = {tensor.buffer for tensor in model.subgraphs[0].tensors}
    for number, buffer in enumerate(model.buffers):
        buffer.data = buffer.data if number in used else None
    alone = len(model_bytes(model))
    print(f"\n{mode}: {both:,} bytes, {both - alone:,} of them for the second signature and the metadata")
    # A smoke's model is nearly nothing but its signatures.
    assert alone < both < sizes(full=1.2, smoke=100) * alone


def test_peak_memory(converted, shapes):
    mode, path = converted
    for width, height in shapes[:3]:
        for kind in ("screenshot", "tile"):
            added = float(run(MEMORY, path, kind, width, height))
            print(f"\n{mode}, {width} x {height}: {kind} adds {added:.0f} MB")
            assert added < 1000
