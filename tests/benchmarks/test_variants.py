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
from steps.core.common.files import write_json
from steps.evaluate.__main__ import main as evaluate_main
from steps.network.archive import pack
from steps.train.__main__ import main as train_main
from tests.steps.conftest import Workspace

pytestmark = [pytest.mark.benchmark, pytest.mark.filterwarnings("ignore::UserWarning")]
_RECIPE = {
    "head-epochs": "1",
    "fine-tune-epochs": "1",
    "fine-tune-learning-rate": "0.001",
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, sizes, network):
    if given := os.environ.get("TILEGATE_BENCH_INPUTS"):
        return Path(given)
    root = tmp_path_factory.mktemp("inputs")
    drawn = Workspace(tmp_path_factory.mktemp("workspace"))
    drawn.draw(60)
    assert drawn.validate() == drawn.preprocess(drawn.tiles, drawn.shards) == 0
    for name, folder in (("tiles", drawn.tiles), ("shards", drawn.shards), ("dataset", drawn.dataset)):
        (root / name).symlink_to(folder)
    write_json(root / "hyperparameters.json", _RECIPE | sizes(full={"compress": "prune,qat"}, smoke={}))
    write_json(root / "pretrained" / "initialisation.json", {})
    write_json(root / "champion" / "champion.json", {"champion": None})
    write_json(root / "ledger" / "ledger.json", [])
    words = {"tiles": drawn.tiles, "shards": drawn.shards, "dataset": drawn.development}
    words |= {"pretrained": root / "pretrained", "hyperparameters": root / "hyperparameters.json"}
    words |= {"model": root / "trained", "message": root / "message", "checkpoints": root / "checkpoints"}
    assert train_main(["train", *_flags(words)]) == 0
    pack(root / "trained", root / "model" / "model.tar.gz")
    words = {name: root / name for name in ("model", "tiles", "shards", "dataset", "champion", "ledger")}
    words |= {"output": root / "evaluation", "new-ledger": root / "new-ledger", "message": root / "message"}
    assert evaluate_main(_flags(words | _limits())) == 0
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
            print(f"{row.name:<12} {share:.1%} of float32, {deflated:.1%} compressed, floats {row.float_operators}")
    assert all(row.reason or row.latency_ms for row in found)
