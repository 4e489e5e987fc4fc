"""The agreement of labellers, and changes of labels: two ways in which poisoned labels show.

A labeller is flagged on evidence only, when the upper bound of the rate of agreement is below the limit. Whoever
shares screenshots with a bad labeller looks bad as well: the one who explains most of the contradictions is taken out
first, and the rest is compared again without them.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from steps.core.dataset.tables import SLICE_PREFIX
from steps.core.gate.statistics import clopper_pearson

AGREEMENT_LIMIT = 0.8
# The columns that say who labelled; where a row has several, the first one counts.
LABELLER_COLUMNS = tuple(SLICE_PREFIX + name for name in ("labeller", "worker", "annotator", "by"))
# Two contradictions out of two would be below the limit at 95 %, and among many labellers they are an accident.
MIN_COMPARED = 10
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Changes:
    """Ids, sorted, whose label is another than before, or that lost theirs, of `n_before` screenshots."""

    changed: tuple[str, ...]
    lost: tuple[str, ...]
    n_before: int


def labeller_agreement(rows: pd.DataFrame) -> pd.DataFrame:
    """Compare every labeller with the others; indexed by name, sorted.

    rows: one for each label given, in the order of giving, with columns id, label (0 or 1), `labeller` (the name) and
    `is_review`. A reviewer's rows count as the truth, the last one first; nobody judges reviewers. Elsewhere the truth
    is the majority of the others, and a tie is none. Of several labels by one labeller the last counts; rows without a
    name or a label are left out.

    Columns: compared, the screenshots for which the others, or a reviewer, say one thing; agreed, those of them with
    the same label; upper, the one-sided 95 % Clopper-Pearson bound of the rate of agreement, 1 if nothing could be
    compared; flagged (bool).
    """
    rows = rows[rows["label"].notna()]
    truth = rows[rows["is_review"]].drop_duplicates("id", keep="last").set_index("id")["label"].astype(float)
    given = rows[~rows["is_review"] & rows["labeller"].notna()].drop_duplicates(["id", "labeller"], keep="last")
    votes = pd.DataFrame(
        {"name": given["labeller"].astype(str), "id": given["id"], "label": given["label"].astype("int64")}
    )
    votes["truth"] = votes["id"].map(truth)
    found: list[pd.DataFrame] = []
    while True:
        table = _compare(votes)
        flagged = table[table["flagged"]]
        if flagged.empty:
            return pd.concat([*found, table]).sort_index()
        # Equal ones are two who contradict each other: nothing tells which of them is wrong.
        excess = AGREEMENT_LIMIT * flagged["compared"] - flagged["agreed"]
        worst = flagged[excess == excess.max()]
        found.append(worst)
        votes = votes[~votes["name"].isin(worst.index)]


def _compare(votes: pd.DataFrame) -> pd.DataFrame:
    same = votes.groupby("id")["label"]
    others = same.transform("size") - 1
    balance = 2 * (same.transform("sum") - votes["label"]) - others
    majority = pd.Series(np.sign(balance), votes.index).map({-1: 0.0, 1: 1.0})
    truth = votes["truth"].fillna(majority)
    seen = pd.DataFrame({"name": votes["name"], "compared": truth.notna(), "agreed": truth == votes["label"]})
    table = seen.groupby("name")[["compared", "agreed"]].sum().astype("int64")
    counts = zip(table["agreed"].tolist(), table["compared"].tolist(), strict=True)
    table["upper"] = [clopper_pearson(agreed, compared, _CONFIDENCE)[1] for agreed, compared in counts]
    table["flagged"] = (table["compared"] >= MIN_COMPARED) & (table["upper"] < AGREEMENT_LIMIT)
    return table


def label_changes(
    before: "pd.Series[int]", after: "pd.Series[int]", contested: frozenset[str] = frozenset()
) -> Changes:
    """Compare labels by id (the indices, each without repetition); screenshots that only one side knows are no change.

    Of the `contested` ones, those that had a label before and have none now have lost it.
    """
    if before.index.has_duplicates or after.index.has_duplicates:
        raise ValueError("an id occurs twice: one label for each screenshot is wanted")
    common = before.index.intersection(after.index)
    changed = common[before.loc[common].to_numpy() != after.loc[common].to_numpy()]
    lost = contested.intersection(before.index).difference(after.index)
    return Changes(tuple(sorted(map(str, changed))), tuple(sorted(lost)), len(before))
