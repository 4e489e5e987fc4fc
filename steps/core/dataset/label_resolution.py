"""The label of a screenshot that several rows name: reviewers go first, contradictions go to the reviewers."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from steps.core.common.text import printable
from steps.core.dataset.snapshot import REVIEW

WAIVABLE = ("near-conflict", "labeller")
"""The rules that a reviewer may waive for a screenshot; the others are about what cannot be used at all."""


@dataclass(frozen=True, slots=True)
class Labelling:
    """`rows` is one row for each labelled screenshot, in the order of adding, its `label` settled (int64 0 or 1).

    `contested` is one row for each screenshot whose rows contradict each other, and are refused. `refused` maps the
    index of a row that is not used to (rule, sentence); `waived` maps a screenshot's id to the
    rules that a reviewer waived for it; `reviewed` are the ids whose label a reviewer gave.
    """

    rows: pd.DataFrame
    contested: pd.DataFrame
    refused: Mapping[int, tuple[str, str]]
    waived: Mapping[str, frozenset[str]]
    reviewed: frozenset[str]


def settle_labels(rows: pd.DataFrame) -> Labelling:
    """Settle the labels of rows in the order of adding; columns batch, kind, row, id, label, waive, by and others.

    Of rows that agree the first counts. Of reviewers' decisions on a screenshot the last one counts, and the facts of
    the first ordinary row stay (its app, its device). A contradiction that nobody has reviewed takes all rows out.
    """
    refused: dict[int, tuple[str, str]] = {}
    review = rows["kind"] == REVIEW
    waived = _waived(rows[review])
    decided = rows[review & rows["label"].notna()].drop_duplicates("id", keep="last").set_index("id")
    labelled = rows[rows["label"].notna()]
    ordinary = labelled[labelled["kind"] != REVIEW]
    # Facts come from a row that has its file; a decision that names a checksum only knows nothing else.
    with_file = labelled[labelled["path"].notna()].assign(second=lambda f: f["kind"] == REVIEW)
    kept = with_file.sort_values("second", kind="stable").drop_duplicates("id").sort_index()
    votes, counts = ordinary.groupby("id")["label"].nunique(), ordinary["id"].value_counts()
    conflicts = set(votes[votes > 1].index) - set(decided.index)
    contested, kept = kept[kept["id"].isin(conflicts)], kept[~kept["id"].isin(conflicts)]
    given = kept.set_index("id")["label"]
    kept = kept.assign(label=decided["label"].reindex(kept["id"]).fillna(given).to_numpy())
    who = decided["by"].to_dict()
    spare = labelled.loc[labelled.index.difference(kept.index)]
    # Most screenshots have one row: only those of the others are looked at one by one.
    settled = kept[kept["id"].isin(spare["id"])].set_index("id")[["label", "batch", "row"]].to_dict("index")
    columns = (spare.index, spare["id"], spare["label"], spare["kind"])
    for index, screenshot, label, kind in zip(*(column.tolist() for column in columns), strict=True):
        if screenshot in conflicts:
            detail = f"{counts[screenshot]} rows label these very bytes, and not the same: a reviewer has to decide"
            refused[index] = ("label-conflict", detail)
        elif screenshot not in settled:
            detail = "no batch brings a usable row of this screenshot: add it, or have its row mended"
            refused[index] = ("unknown-id", detail)
        elif kind == REVIEW:
            continue  # a decision about a screenshot that another row brings
        elif label == settled[screenshot]["label"]:
            first = settled[screenshot]
            refused[index] = ("duplicate", f"the same bytes as row {first['row']} of batch {first['batch']}")
        else:
            name = who[screenshot] if isinstance(who[screenshot], str) else "a reviewer"
            refused[index] = ("superseded", f"{printable(name, 80)} decided otherwise")
    kept = kept.assign(label=kept["label"].astype("int64"))
    return Labelling(kept, contested, refused, waived, frozenset(decided.index))


def _waived(review: pd.DataFrame) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for screenshot, names in zip(review["id"], review["waive"], strict=True):
        if isinstance(names, str) and names.strip():
            given = frozenset(name.strip() for name in names.split(","))
            found[screenshot] = found.get(screenshot, frozenset()) | given
    return found
