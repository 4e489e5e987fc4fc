"""Our recipe, the original one, copied labels and a plain logistic regression: same backbone, screenshots and folds.

Run with: pytest tests/benchmarks/test_recipes.py -m benchmark -s
See `tests/benchmarks/screenshots.py` for the data. TILEGATE_BENCH_KEEP is a folder in which the scores of every fold
are kept (`<recipe>-<seed>-<fold>.parquet`): a run that was interrupted goes on from there, and with that variable alone
nothing is trained and the tables of what is there are printed.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest

from steps.network.runtime import start_tensorflow
from tests.benchmarks.screenshots import screenshots

start_tensorflow()

from tests.benchmarks.recipes import FOLDS, RECIPES, figures, folds, intervals, scores_of, tile_source  # noqa: E402

# Of a model that flags nothing, as a smoke's may be, the FPR is 0, and no ratio to it is a number.
pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning"),
]
SEEDS = (0, 1, 2)
SMOKED = ("squashed", "logistic", "ours")
# A capture is a way in which screenshots were made; a table of fewer of either class would tell nothing.
LEAST_OF_A_CLASS = 20
_AT = ("TPR at FPR 1%", "TPR at FPR 5%", "TPR at FPR 10%", "partial AUC", "AUC")

ByRecipe = Mapping[str, list[pd.DataFrame]]


def learned(keep: Path, tmp_path: Path, sample: int, epochs: int | None, recipes: Sequence[str]) -> ByRecipe:
    """Train what `keep` lacks; return the scores of all tested screenshots of each recipe, a frame a seed."""
    data = screenshots(tmp_path, sample=sample)
    source = tile_source(data.labels, tmp_path, 224 if data.real else 64)
    for seed in SEEDS if data.real else SEEDS[:1]:
        for fold in folds(source, seed):
            if fold.number and not data.real:
                break
            for recipe in recipes:
                path = keep / f"{recipe}-{seed}-{fold.number}.parquet"
                if not path.exists():
                    scores = scores_of(recipe, fold, data.weights, epochs)
                    scores.to_parquet(keep / "unfinished")
                    (keep / "unfinished").replace(path)
    return kept(keep, recipes)


def kept(folder: Path, recipes: Sequence[str]) -> ByRecipe:
    """Read the kept scores; of the seeds whose folds are there for every recipe, as many folds as of the first."""
    numbers = [{(s, n) for s in SEEDS for n in range(FOLDS) if (folder / _name(r, s, n)).exists()} for r in recipes]
    whole = set.intersection(*numbers)
    most = max((sum(seed == s for seed, _ in whole) for s in SEEDS), default=0)
    seeds = [s for s in SEEDS if sum(seed == s for seed, _ in whole) == most and most]
    print(f"\n{folder}: seeds {seeds}, {most} folds each")

    def read(recipe: str, seed: int) -> pd.DataFrame:
        found = [pd.read_parquet(folder / _name(recipe, seed, n)) for s, n in sorted(whole) if s == seed]
        return pd.concat(found, ignore_index=True)

    return {recipe: [read(recipe, seed) for seed in seeds] for recipe in recipes}


def _name(recipe: str, seed: int, number: int) -> str:
    return f"{recipe}-{seed}-{number}.parquet"


def print_tables(by_recipe: ByRecipe, draws: int) -> None:
    """Print the table of all screenshots, then one for each capture that has enough of both classes."""
    print_table("all screenshots", by_recipe, draws)
    first = by_recipe["squashed"][0]
    for capture, rows in first.groupby("slice:capture"):
        if rows["label"].value_counts().reindex([0, 1], fill_value=0).min() >= LEAST_OF_A_CLASS:
            of_it = {name: [s[s["slice:capture"] == capture] for s in ss] for name, ss in by_recipe.items()}
            print_table(f"captured as {capture}", of_it, draws)


def print_table(title: str, by_recipe: ByRecipe, draws: int) -> None:
    first = by_recipe["squashed"][0]
    positives, groups = int(first["label"].sum()), first["group"].nunique()
    print(f"\n{title}: {positives} positive, {len(first) - positives} negative, {groups} groups")
    heads = ("recipe", "FPR at the squashed TPR (95 %)", "of the squashed FPR (95 %)", *_AT, "CPU s a fold")
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    found = intervals(dict(by_recipe), draws=draws)
    for recipe, of_it in found.items():
        (fpr, *fpr_bounds), (ratio, *bounds) = of_it["FPR"], of_it["FPR ratio"]
        cells = [
            f"{fpr:.3f} ({fpr_bounds[0]:.3f} to {fpr_bounds[1]:.3f})",
            f"{ratio:.2f} ({bounds[0]:.2f} to {bounds[1]:.2f})",
            *(f"{of_it[name][0]:.3f}" for name in _AT),
            f"{pd.concat([s.drop_duplicates('fold')['seconds'] for s in by_recipe[recipe]]).mean():.0f}",
        ]
        print(f"| {recipe} | " + " | ".join(cells) + " |")


def print_table_of_folds(by_recipe: ByRecipe) -> None:
    """Print means over the folds' own curves: pooled scores also measure how alike the folds' models are calibrated."""
    heads = ("recipe", "FPR at the squashed TPR", "of the squashed FPR", *_AT, "folds with a lower FPR, a higher")
    print("\neach fold's model for itself, mean over folds")
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    apart = {name: [fold for s in ss for _, fold in s.groupby("fold")] for name, ss in by_recipe.items()}
    wanted = [float((fold.loc[fold["label"] == 1, "score"] > 0.5).mean()) for fold in apart["squashed"]]
    found = {name: pd.DataFrame(map(figures, each, wanted)) for name, each in apart.items()}
    base = found["squashed"]["FPR"]
    for name, each in found.items():
        mean, fpr = each.mean(), each["FPR"]
        cells = [f"{mean[figure]:.3f}" for figure in ("FPR", *_AT)]
        cells.insert(1, f"{mean['FPR'] / base.mean():.2f}")
        print(f"| {name} | " + " | ".join(cells) + f" | {(fpr < base).sum()}, {(fpr > base).sum()} |")


def test_our_recipe_against_the_original(tmp_path, sizes, network):
    """Prints tables; asserts that every recipe scored the same screenshots."""
    sample, epochs, draws, recipes = sizes(
        full=(90, None, 1000, RECIPES), smoke=(60, 1, 20, (RECIPES[0], *RECIPES[2:]))
    )
    given = os.environ.get("TILEGATE_BENCH_KEEP")
    keep = Path(given) if given else tmp_path / "kept"
    keep.mkdir(parents=True, exist_ok=True)
    only_print = given and not os.environ.get("TILEGATE_BENCH_DATA")
    by_recipe = kept(keep, recipes) if only_print else learned(keep, tmp_path, sample, epochs, recipes)
    print_tables(by_recipe, draws)
    print_table_of_folds(by_recipe)
    ids = [set(scores["id"]) for frames in by_recipe.values() for scores in frames]
    assert all(each == ids[0] for each in ids)
