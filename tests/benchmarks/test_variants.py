"""Every form of a model: sizes, latency on one core, flips against the trained model, and which one ships.

Run with: pytest tests/benchmarks/test_variants.py -m benchmark -s
TILEGATE_BENCH_INPUTS names a folder with the inputs of ConvertToTFLite (model, tiles, shards, dataset, evaluation and,
if there are any, champion and ledger); without it a small model is trained on a few drawn screenshots, whose sizes
tell something and whose flips do not. TILEGATE_BENCH_LIMIT is the limit of the FPR, 0.9 if it is not given.
"""

import json
import os
from pathlib import Path

import pytest

from steps.convert.__main__ import main as convert_main
from steps.convert.variants import Variant, table
from tests.steps.conftest import Workspace
from tests.steps.tiny import Judged, write_learned

pytestmark = [pytest.mark.benchmark, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    if given := os.environ.get("TILEGATE_BENCH_INPUTS"):
        return Path(given)
    root = tmp_path_factory.mktemp("inputs")
    drawn = Workspace(tmp_path_factory.mktemp("workspace"))
    drawn.draw(60)
    assert drawn.validate() == drawn.preprocess(drawn.tiles, drawn.shards) == 0
    drawn.describe()
    for name, folder in (("tiles", drawn.tiles), ("shards", drawn.shards), ("dataset", drawn.dataset)):
        (root / name).symlink_to(folder)
    trained = write_learned(root / "trained", drawn)
    assert Judged(drawn, trained, root).evaluate(*_flags(_limits())) == 0
    return root


def _limits():
    return {"max-fpr": os.environ.get("TILEGATE_BENCH_LIMIT", "0.9"), "min-tpr": "0.001"}


def _flags(words):
    return [str(word) for name, value in words.items() for word in (f"--{name}", value)]


def test_variants(inputs, tmp_path, sizes):
    names = ("model", "tiles", "shards", "dataset", "champion", "ledger", "evaluation")
    words = {name: inputs / name for name in names if (inputs / name).exists()}
    words |= {"output": tmp_path / "bundle", "new-ledger": tmp_path / "ledger", "message": tmp_path / "message"}
    code = convert_main([*_flags(words | _limits()), *sizes(full=[], smoke=["--variants", "float32"])])
    told = json.loads((tmp_path / "bundle" / "evidence" / "variants.json").read_text())
    found = [Variant(**row) for row in told["variants"]]
    print(f"\nexit code {code}\n{table(found)}")
    by_name = {row.name: row for row in found}
    for row in found:
        if row.bytes and by_name["float32"].bytes:
            share, deflated = row.bytes / by_name["float32"].bytes, row.deflated / by_name["float32"].deflated
            print(f"{row.name:<12} {share:.1%} of float32, {deflated:.1%} compressed")
    assert all(row.reason or row.latency_ms for row in found)
