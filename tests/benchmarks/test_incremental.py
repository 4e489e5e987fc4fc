"""What a second night costs that brings one percent of new screenshots, against the first one.

Run with: pytest tests/benchmarks/test_incremental.py -m benchmark -s
See `tests/benchmarks/screenshots.py` for the data.
"""

import shutil
import time

import pytest

from pipelines.data.catalogue import Catalogue
from pipelines.data.snapshots import current_dataset
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from pipelines.planning.planner import plan_run
from pipelines.runs.local_start import data_here
from steps.core.common.files import sha256_file
from steps.core.dataset.classes import Classes
from steps.core.dataset.plan import FACTS, FEATURES, INSPECTOR, TILES
from steps.core.tiles.features import features_key
from steps.core.tiles.spec import PreprocessingSpec
from steps.index import __main__ as index
from steps.network.runtime import start_tensorflow
from steps.preprocess import __main__ as preprocess
from steps.validate import __main__ as validate
from tests.benchmarks.figures import cpu
from tests.benchmarks.screenshots import screenshots
from tests.steps.own_weights import write_pretrained

pytestmark = pytest.mark.benchmark

SETTINGS = Settings()


class Home:
    """A store, and the data steps run on its catalogue as jobs run them, with the weights in a file."""

    def __init__(self, root, weights):
        self.root, self.weights = root, weights
        self.store = LocalStore(root / "home" / "store")
        self.bucket = self.store.path(SETTINGS.uri())
        self.night = 0

    def run(self):
        """Run one night; return (CPU seconds, wall seconds) of each step."""
        self.night += 1
        job = self.root / f"night-{self.night}"
        snapshot = current_dataset(data_here(self.store, SETTINGS))
        spec = PreprocessingSpec()
        features = features_key(spec, "small", sha256_file(self.weights))
        plan = plan_run(data_here(self.store, SETTINGS), snapshot.source, spec, code="benchmark", features=features)
        self.store.fetch(plan, job / "plan")
        for step in ("validate", "cut", "index"):
            self.store.fetch(f"{plan}/{step}.manifest", job / step, listed=True)
        shared = ["--plan", job / "plan", "--message", job / "message"]
        told = ["--development", job / "development", "--report", job / "report", "--new-facts", job / "facts"]
        made = ["--dataset", job / "dataset", "--output", job / "tiles", "--new-tiles", job / "new"]
        described = ["--pretrained", self.weights.parent, "--new-features", job / "features"]
        programs = {
            "ValidateData": (validate.main, ["--store", job / "validate", "--output", job / "dataset", *told]),
            "PreprocessTiles": (preprocess.main, ["--images", job / "cut", "--output", job / "pieces"]),
            "IndexTiles": (index.main, ["--store", job / "index", "--cut", job / "pieces", *made, *described]),
        }
        spent = {}
        for name, (main, words) in programs.items():
            began = cpu(), time.perf_counter()
            assert main([str(word) for word in (*shared, *words)]) == 0
            spent[name] = cpu() - began[0], time.perf_counter() - began[1]
        for folder, key in (("facts", f"{FACTS}/{INSPECTOR}"), ("new", TILES), ("features", FEATURES)):
            shutil.copytree(job / folder, self.bucket / key, dirs_exist_ok=True)
        return spent


def write_batch(folder, pictures, copies):
    """Write a folder per class; bytes behind a picture's end change its name for tilegate, and not a pixel."""
    for number, picture in enumerate(pictures):
        for copy in copies:
            target = folder / ("negative", "positive")[number % 2] / f"{picture.stem}-{copy}{picture.suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(picture.read_bytes() + copy.to_bytes(4))


def stock_weights(folder):
    """Write weights that know nothing: how long tiles take does not depend on them."""
    start_tensorflow()
    return write_pretrained(folder / "stock.weights.h5", "small", PreprocessingSpec().tile_size)


def test_a_second_night_with_one_percent_of_new_screenshots(tmp_path, sizes, figures):
    """Prints CPU and wall seconds of both nights, and their ratio; the steps' imports are paid before."""
    sample, copies = sizes(full=(200, 8), smoke=(60, 1))
    data = screenshots(tmp_path, sample=sample)
    pictures = sorted(data.pictures())
    batches = {
        "first": (pictures, range(copies)),
        "second": (pictures[: max(1, len(pictures) * copies // 100)], [copies]),
        "warm-up": (pictures[:60], [copies + 1]),
    }
    for name, (chosen, numbers) in batches.items():
        write_batch(tmp_path / name, chosen, numbers)
    weights = data.weights or stock_weights(tmp_path / "weights")
    home, warm = Home(tmp_path, weights), Home(tmp_path / "warm", weights)
    nights = {}
    for name, where in (*sizes(full=[("warm-up", warm)], smoke=[]), ("first", home), ("second", home)):
        Catalogue(where.store, SETTINGS).add(tmp_path / name, classes=Classes())
        nights[name] = where.run()
    for step, (processor, wall) in nights["first"].items():
        again, second_wall = nights["second"][step]
        print(
            f"\n{step}: first night {processor:.1f} CPU s ({wall:.1f} s), second {again:.2f} CPU s "
            f"({second_wall:.2f} s): {again / processor:.1%} of the CPU time, {second_wall / wall:.1%} of the time"
        )
    if not data.real:
        for name in ("first", "second"):
            spent = sum(seconds for seconds, _ in nights[name].values())
            figures.record(f"incremental: {name} night, {len(pictures) * copies:,} screenshots", spent)
