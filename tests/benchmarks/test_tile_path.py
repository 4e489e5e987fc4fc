"""What a screenshot costs from its PNG to tiles in a shard, beside the floor, Pillow and TensorFlow.

Run with: pytest tests/benchmarks/test_tile_path.py -m benchmark -s
It takes the phone screenshots of TILEGATE_BENCH_DATA (see `tests/benchmarks/screenshots.py`), else draws some.
"""

import io
import os
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from steps.core.sample.apps import make_app
from steps.core.sample.scenes import draw_scene, plan_scene
from steps.core.tiles.cutting import cut_tiles, encode_tile, tiles_of
from steps.core.tiles.decode import decode_image, open_image
from steps.core.tiles.headers import read_header
from steps.core.tiles.shards import append_record
from steps.core.tiles.spec import PreprocessingSpec
from steps.core.tiles.tiling import plan_tiles
from steps.network.runtime import start_tensorflow
from tests.benchmarks.own_process import run
from tests.benchmarks.screenshots import screenshots

DATA = os.environ.get("TILEGATE_BENCH_DATA")
SPEC = PreprocessingSpec()
SIZE = (SPEC.tile_size, SPEC.tile_size)
# The floor of decoding: inflating by libdeflate, measured here, then unfiltering and packing to RGB. Hand-written C
# with SSE took 2.8 ms for 1.72 million RGBA pixels and 3.9 ms for 2.45 million on an AMD Zen 3, whatever was in them.
UNFILTERING = 1.6e-9
WORKER = """
import sys
from pathlib import Path
from own_process import peak_mb
from steps.core.tiles.cutting import tiles_of
from steps.core.tiles.shards import append_record
from steps.core.tiles.spec import PreprocessingSpec
with Path(sys.argv[1]).open("wb") as shard:
    for path in sys.argv[2:]:
        for tile in tiles_of(Path(path).read_bytes(), PreprocessingSpec())[1]:
            append_record(shard, tile)
print(peak_mb())
"""
pytestmark = pytest.mark.benchmark


@pytest.fixture(scope="module")
def repeats(sizes):
    return sizes(full=5, smoke=1)


@pytest.fixture(scope="module")
def shown(sizes, tmp_path_factory):
    """Return the paths of screenshots of phone size, in true colour: the floor is that of such PNGs."""
    most = sizes(full=60, smoke=1)
    if not DATA:
        folder = tmp_path_factory.mktemp("drawn")
        return [drawn(folder / f"{number}.png", number) for number in range(most)]
    paths = [path for path in screenshots(Path(), sample=0).pictures() if path.suffix == ".png"]
    paths = [path for path in paths if is_phone_screenshot(path.read_bytes())]
    return paths[:: max(1, -(-len(paths) // most))]


def drawn(path, number):
    draw_scene(plan_scene(17, make_app(17, number), number, size=(1080, 2400))).save(path)
    return path


def is_phone_screenshot(data):
    header = read_header(data)
    return header.plain and min(header.width, header.height) >= 720


@pytest.fixture(scope="module", params=["as published", "as Android writes them"])
def images(request, shown):
    encode = as_android if request.param.startswith("as Android") else bytes
    return request.param, [encode(path.read_bytes()) for path in shown]


def as_android(data):
    """Encode anew by Skia, with alpha, as a phone's `Bitmap.compress(PNG)` does."""
    skia = pytest.importorskip("skia")
    pixels = cv2.cvtColor(decode_image(data)[0], cv2.COLOR_RGB2RGBA)
    image = skia.Image.fromarray(pixels, colorType=skia.kRGBA_8888_ColorType)
    return bytes(image.encodeToData(skia.kPNG, 100))


def inflating(images):
    deflate = pytest.importorskip("deflate")
    headers = [read_header(data) for data in images]
    streams = [
        b"".join(data[start + 8 : end - 4] for start, end in header.pixels)
        for data, header in zip(images, headers, strict=True)
    ]
    sizes = [header.raw_size for header in headers]
    return lambda n, _: deflate.zlib_decompress(streams[n], sizes[n])


def ours(images):
    def run(n, shard):
        for tile in tiles_of(images[n], SPEC)[1]:
            append_record(shard, tile)

    return run


def pillow(images):
    def run(n, shard):
        picture = Image.open(io.BytesIO(images[n])).convert("RGB")
        for t in plan_tiles(*picture.size):
            box = (t.left, t.top, t.left + t.width, t.top + t.height)
            tile = picture.resize(SIZE, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
            buffer = io.BytesIO()
            tile.save(buffer, "JPEG", quality=95, subsampling=0)
            append_record(shard, buffer.getvalue())

    return run


def tensorflow(images):
    start_tensorflow()
    import tensorflow as tf

    def run(n, shard):
        picture = tf.io.decode_png(images[n], channels=3)
        height, width = picture.shape[:2]
        for t in plan_tiles(width, height):
            part = picture[t.top : t.top + t.height, t.left : t.left + t.width]
            tile = tf.cast(tf.image.resize(part, SIZE) + 0.5, tf.uint8)
            append_record(shard, tf.io.encode_jpeg(tile, quality=95, chroma_downsampling=False).numpy())

    return run


def measured(paths, count, folder, repeats):
    """Return for each path the median CPU seconds of each screenshot, the paths taking turns."""
    times = {name: [[] for _ in range(count)] for name in paths}
    for repeat in range(repeats + 1):
        for n in range(count):
            for name, path in paths.items():
                with (folder / f"{name}.tfrecord").open("wb") as shard:
                    began = time.process_time()
                    path(n, shard)
                    spent = time.process_time() - began
                if repeat:
                    times[name][n].append(spent)
    return {name: np.array([statistics.median(each) for each in all_of]) for name, all_of in times.items()}


def test_png_to_tiles_against_the_floor_pillow_and_tensorflow(images, tmp_path, repeats, figures):
    """Prints CPU milliseconds a screenshot (mean of medians) and ratios: of the totals, and the median of all."""
    kind, data = images
    cv2.setNumThreads(1)
    paths = {"inflate": inflating(data), "ours": ours(data), "pillow": pillow(data), "tensorflow": tensorflow(data)}
    times = measured(paths, len(data), tmp_path, repeats)
    pixels = np.array([header.width * header.height for header in map(read_header, data)])
    times["floor"] = times["inflate"] + pixels * UNFILTERING
    ratios = {
        "ours / floor": ("ours", "floor"),
        "Pillow / ours": ("pillow", "ours"),
        "TensorFlow / ours": ("tensorflow", "ours"),
    }
    kilobytes = statistics.mean(map(len, data)) / 1e3
    print(f"\n{len(data)} screenshots {kind}, {pixels.mean() / 1e6:.2f} MP and {kilobytes:.0f} kB each")
    for name, each in times.items():
        print(f"  {name:10} {each.mean() * 1000:6.2f} ms")
    for name, (over, under) in ratios.items():
        total, middle = times[over].sum() / times[under].sum(), np.median(times[over] / times[under])
        print(f"  {name:17} {total:5.2f} of the totals, {middle:5.2f} median")
    assert all((each > 0).all() for each in times.values())
    if not DATA:
        figures.record(f"tile path: ours to the floor, {kind}", times["ours"].sum(), beside=times["floor"].sum())


def test_where_the_time_goes(images, repeats):
    """Prints the CPU milliseconds of the parts of our path."""
    kind, data = images
    cv2.setNumThreads(1)
    parts = {"header": [], "decode": [], "cut and resize": [], "encode": []}
    for each in data:
        rounds = []
        for _ in range(repeats):
            marks = [time.process_time()]
            read_header(each)
            marks.append(time.process_time())
            pixels, _ = open_image(each)
            marks.append(time.process_time())
            tiles = cut_tiles(pixels, SPEC)
            marks.append(time.process_time())
            encoded = [encode_tile(tile) for tile in tiles]
            marks.append(time.process_time())
            rounds.append(np.diff(marks))
        for name, spent in zip(parts, np.median(rounds, axis=0), strict=True):
            parts[name].append(spent)
        assert len(encoded) == len(tiles)
    print(f"\n{kind}: " + ", ".join(f"{name} {statistics.mean(spent) * 1000:.2f} ms" for name, spent in parts.items()))


def test_memory_of_one_worker(shown, tmp_path):
    peak = float(run(WORKER, tmp_path / "s.tfrecord", *shown))
    print(f"\npeak resident set of a process that cut {len(shown)} screenshots: {peak:.0f} MB")
    assert peak < 1000
