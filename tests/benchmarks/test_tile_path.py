"""What a screenshot costs from its PNG to tiles in a shard, beside the floor, Pillow and TensorFlow.

Run with: TILEGATE_SCREENSHOTS=<folder> pytest tests/benchmarks/test_tile_path.py -m benchmark -s
The folder holds `labels.csv` with a column `path`, and the PNGs that it names.
"""

import csv
import io
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from steps.core.tiles.cutting import cut_tiles, encode_tile, tiles_of
from steps.core.tiles.decode import decode_image, open_image
from steps.core.tiles.headers import read_header
from steps.core.tiles.shards import ShardWriter
from steps.core.tiles.spec import PreprocessingSpec
from steps.core.tiles.tiling import plan_tiles

MOST = 60
REPEATS = 5
SPEC = PreprocessingSpec()
SIZE = (SPEC.tile_size, SPEC.tile_size)
# The floor of decoding: inflating by libdeflate, measured here, then unfiltering and packing to RGB. Hand-written C
# with SSE took 2.8 ms for 1.72 million RGBA pixels and 3.9 ms for 2.45 million on an AMD Zen 3, whatever was in them.
UNFILTERING = 1.6e-9
WORKER = """
import resource, sys
from pathlib import Path
from steps.core.tiles.cutting import tiles_of
from steps.core.tiles.shards import ShardWriter
from steps.core.tiles.spec import PreprocessingSpec
with ShardWriter(Path(sys.argv[1]), "s") as writer:
    for path in sys.argv[2:]:
        for tile in tiles_of(Path(path).read_bytes(), PreprocessingSpec())[1]:
            writer.append(tile)
unit = 1024 if sys.platform == "linux" else 1
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)
"""


@pytest.fixture(scope="module")
def screenshots():
    folder = os.environ.get("TILEGATE_SCREENSHOTS")
    if not folder:
        pytest.skip("TILEGATE_SCREENSHOTS names no folder with labels.csv and images/")
    with (Path(folder) / "labels.csv").open(newline="") as stream:
        paths = [Path(folder) / row["path"] for row in csv.DictReader(stream) if row["path"].endswith(".png")]
    # Of phone size, and true colour: the floor is that of such PNGs.
    paths = [path for path in paths if is_phone_screenshot(path.read_bytes())]
    return paths[:: max(1, -(-len(paths) // MOST))]


def is_phone_screenshot(data):
    header = read_header(data)
    return header.plain and header.mode != "P" and min(header.width, header.height) >= 720


@pytest.fixture(scope="module", params=["as published", "as Android writes them"])
def images(request, screenshots):
    if request.param == "as published":
        return request.param, [path.read_bytes() for path in screenshots]
    return request.param, [as_android(path.read_bytes()) for path in screenshots]


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
    def run(n, writer):
        for tile in tiles_of(images[n], SPEC)[1]:
            writer.append(tile)

    return run


def pillow(images):
    def run(n, writer):
        picture = Image.open(io.BytesIO(images[n])).convert("RGB")
        for t in plan_tiles(*picture.size):
            box = (t.left, t.top, t.left + t.width, t.top + t.height)
            tile = picture.resize(SIZE, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
            buffer = io.BytesIO()
            tile.save(buffer, "JPEG", quality=95, subsampling=0)
            writer.append(buffer.getvalue())

    return run


def tensorflow(images):
    tf = pytest.importorskip("tensorflow")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    def run(n, writer):
        picture = tf.io.decode_png(images[n], channels=3)
        height, width = picture.shape[:2]
        for t in plan_tiles(width, height):
            part = picture[t.top : t.top + t.height, t.left : t.left + t.width]
            tile = tf.cast(tf.image.resize(part, SIZE) + 0.5, tf.uint8)
            writer.append(tf.io.encode_jpeg(tile, quality=95, chroma_downsampling=False).numpy())

    return run


def measured(paths, count, folder):
    """Return for each path the median CPU seconds of each screenshot, the paths taking turns."""
    times = {name: [[] for _ in range(count)] for name in paths}
    for repeat in range(REPEATS + 1):
        for n in range(count):
            for name, run in paths.items():
                with ShardWriter(folder / f"{name}.tfrecord", name) as writer:
                    began = time.process_time()
                    run(n, writer)
                    spent = time.process_time() - began
                if repeat:
                    times[name][n].append(spent)
    return {name: np.array([statistics.median(each) for each in all_of]) for name, all_of in times.items()}


@pytest.mark.benchmark
def test_png_to_tiles_against_the_floor_pillow_and_tensorflow(images, tmp_path):
    """Prints CPU milliseconds a screenshot (mean of medians) and ratios: of the totals, and the median of all."""
    kind, data = images
    cv2.setNumThreads(1)
    paths = {"inflate": inflating(data), "ours": ours(data), "pillow": pillow(data), "tensorflow": tensorflow(data)}
    times = measured(paths, len(data), tmp_path)
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


@pytest.mark.benchmark
def test_where_the_time_goes(images):
    """Prints the CPU milliseconds of the parts of our path."""
    kind, data = images
    cv2.setNumThreads(1)
    parts = {"header": [], "decode": [], "cut and resize": [], "encode": []}
    for each in data:
        rounds = []
        for _ in range(REPEATS):
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


@pytest.mark.benchmark
def test_memory_of_one_worker(screenshots, tmp_path):
    # Linux counts the memory of the process that forked; one between keeps this one's, of TensorFlow, out of it.
    between = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:], check=True)"]
    worker = [sys.executable, "-c", WORKER, str(tmp_path / "s.tfrecord")]
    command = [*between, *worker, *map(str, screenshots)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    print(f"\npeak resident set of a process that cut {len(screenshots)} screenshots: {float(done.stdout):.0f} MB")
