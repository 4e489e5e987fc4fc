"""How to divide labelled data: what learns, what sets the threshold, what judges; TPR at the proven limit, and errors.

Run with: pytest tests/benchmarks/test_splits.py -m benchmark -s
A quarter of the real screenshots' groups, or 20,000 drawn groups, are kept apart and say what is true of a model that
the rest has made, tested and passed. `out of fold` has no split for the threshold: it is chosen on what phase 1 says of
the screenshots that it learned from, each held out once. See `tests/benchmarks/screenshots.py` for the data.
"""

import os

import numpy as np
import pandas as pd
import pytest

from steps.core.gate.clustered_errors import Errors, Sizes
from steps.core.gate.limits import Limits
from steps.core.gate.threshold import choose_threshold
from steps.network.runtime import start_tensorflow
from steps.train.phase1 import Examples, fit_phase1
from tests.benchmarks.screenshots import screenshots

start_tensorflow()

pytestmark = pytest.mark.benchmark
# Of the groups: learns (train and validation), calibrates, tests.
SHARES = {
    "60/20/20 (ours)": (0.6, 0.2),
    "50/25/25": (0.5, 0.25),
    "70/15/15": (0.7, 0.15),
    "80/10/10": (0.8, 0.1),
    "80/20, out of fold": (0.8, 0.0),
}


def drawn(count, seed):
    """Return screenshots of two classes: those of an app resemble each other, 60 features, a geometric size."""
    rng = np.random.default_rng(seed)
    direction = np.random.default_rng(1).normal(size=60) * np.arange(1, 61) ** -0.5
    labels, sizes = rng.integers(0, 2, count), rng.geometric(0.6, count)
    app = np.repeat(np.arange(count), sizes)
    features = 0.7 * (rng.normal(size=(count, 60))[app] + rng.normal(size=(len(app), 60)))
    features += 2.6 * labels[app][:, None] * direction / np.linalg.norm(direction)
    return Examples(features.astype(np.float32), labels[app].astype(np.int64), app.astype(object))


def described(data, folder):
    """Return the real screenshots as phase 1 sees them."""
    from steps.network.backbone import build_model
    from steps.network.tile_input import describer
    from steps.train.step import examples_of
    from tests.benchmarks.recipes import tile_source

    source = tile_source(data.labels, folder, 224)
    model = build_model("small", 224, pretrained=data.weights)
    return examples_of(source.frame, describer(model)(source, source.frame))


def measure(known, truth, shares, limits, seed):
    """Return what the gate says of a model, and what is true of it: a row of the table."""
    learns, calibrates = shares
    names = np.random.default_rng(seed).permutation(pd.unique(known.groups))
    ends = [round(learns * len(names)), round((learns + calibrates) * len(names))]
    parts = [known.take(np.flatnonzero(np.isin(known.groups, part))) for part in np.split(names, ends)]
    learned, calibration, test = parts
    found = fit_phase1(learned, seed)
    logits = found.solution.logits(calibration.features) if calibrates else found.logits
    asked = calibration if calibrates else learned.take(found.held_out)
    negative, wrong = asked.labels == 0, test.labels == 0
    codes = pd.factorize(test.groups)[0]
    sizes = Sizes.of(pd.factorize(test.groups[wrong])[0])
    point = choose_threshold(logits[negative], pd.factorize(asked.groups[negative])[0], limits, sizes)
    flagged = found.solution.logits(test.features) > point.threshold
    upper = Errors.of(flagged[wrong], pd.factorize(codes[wrong])[0]).upper(limits.confidence)
    lower = 1 - Errors.of(~flagged[~wrong], pd.factorize(codes[~wrong])[0]).upper(limits.confidence)
    passed = upper <= limits.max_fpr and lower >= limits.min_tpr and not point.missing
    truly, negatives = found.solution.logits(truth.features) > point.threshold, truth.labels == 0
    return {"passed": passed, "fpr": truly[negatives].mean(), "tpr": truly[~negatives].mean()}


def table(title, rows, limit):
    print(
        f"\n{title}\n| groups for | passed | true TPR, all | of the passed | true FPR of the passed | above the limit |"
    )
    print("|---|---|---|---|---|---|")
    for name, found in rows.items():
        frame = pd.DataFrame(found)
        passed = frame[frame["passed"]]
        over = f"{(passed['fpr'] > limit).sum()} of {len(passed)}"
        tprs = f"{frame['tpr'].mean():.1%} | {passed['tpr'].mean():.1%}"
        print(f"| {name} | {frame['passed'].mean():.0%} | {tprs} | {passed['fpr'].mean():.2%} | {over} |")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_shares_of_the_splits(tmp_path, sizes):
    """Prints tables; asserts that a passed model is above its limit in one case of twenty at most."""
    draws, worlds, apart = sizes(full=(120, ((700, 0.05), (2000, 0.02)), 20_000), smoke=(2, ((80, 0.3),), 200))
    over = passed = 0
    known = described(screenshots(tmp_path, sample=0), tmp_path) if "TILEGATE_BENCH_DATA" in os.environ else None
    for count, limit in (*worlds, *(((0, 0.12),) if known else ())):
        limits = Limits(max_fpr=limit, min_tpr=0.3 if count else 0.2)
        rows = {name: [] for name in SHARES}
        for seed in range(draws if count else draws // 2):
            if count:
                given, truth = drawn(count, seed), drawn(apart, 10_000 + seed)
            else:
                names = np.random.default_rng(1000 + seed).permutation(pd.unique(known.groups))
                kept = np.isin(known.groups, names[: len(names) // 4])
                given, truth = known.take(np.flatnonzero(~kept)), known.take(np.flatnonzero(kept))
            for name, shares in SHARES.items():
                rows[name].append(measure(given, truth, shares, limits, seed))
        table(f"{f'{count:,} drawn' if count else 'real'} groups, limit {limit:.0%}", rows, limit)
        found = [row for each in rows.values() for row in each if row["passed"]]
        passed, over = passed + len(found), over + sum(row["fpr"] > limit for row in found)
    assert over <= 0.05 * passed + 2
