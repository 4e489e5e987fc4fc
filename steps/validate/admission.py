"""The admission of labelled screenshots: every row of every batch ends as accepted or as quarantined.

Nothing here opens a file: rows come from `steps.core.dataset.rows`, what is known of their images from
`steps.validate.image_facts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.core.common.text import printable
from steps.core.dataset.label_resolution import Labelling, settle_labels
from steps.core.dataset.snapshot import REVIEW, Batch
from steps.core.dataset.splits import Grouping, crossings, group_screenshots
from steps.core.dataset.tables import DATASET_COLUMNS, SLICE_PREFIX, Quarantined
from steps.validate.image_facts import thumbs_of
from steps.validate.label_agreement import LABELLER_COLUMNS, labeller_agreement
from steps.validate.near_duplicates import Positions, clusters, complete, edges_of, near_duplicates

# What near-duplicates are to each other, the worst first.
RELATIONS = ("labels contradict", "across splits", "same label")
_SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Validation:
    """Every row, on one side or the other.

    accepted: a row each, as `dataset.parquet` has it, with what is known of its image.
    pairs: near-duplicates: ids `a` and `b`, `distance` in bits, `what` they are to each other (one of RELATIONS).
    decisions: rows of reviewers that settled a label that another row brings.
    crossing: how many groups, and how many pairs of near-duplicates, lie in two splits; looked for among the accepted.
    """

    accepted: pd.DataFrame
    quarantined: Sequence[Quarantined]
    pairs: pd.DataFrame
    decisions: int = 0
    crossing: tuple[int, int] = (0, 0)

    @property
    def rows(self) -> int:
        return len(self.accepted) + len(self.quarantined) + self.decisions


def validate(
    batches: Sequence[Batch], rows: pd.DataFrame, refused: Sequence[Quarantined], facts: pd.DataFrame
) -> Validation:
    """Sort the rows of a snapshot.

    rows: those of all batches in the order of adding, as `read_rows` gives them, with the `kind` of their batch;
    `refused` are the ones it refused.
    facts: indexed by id, one row for each image of the snapshot.
    """
    sorter = _Sorter(batches, rows.reset_index(drop=True), refused)
    place = facts.index.get_indexer(pd.Index(sorter.rows["id"]))
    # A decision may name a screenshot by its checksum alone, one that no batch holds.
    sorter.out(np.flatnonzero(place < 0).tolist(), "unknown-id", "no batch brings this screenshot: add it as well")
    problems = (facts["problem"] != "").to_numpy(bool)
    for at in np.flatnonzero(problems[place] & (place >= 0)).tolist():
        seen = facts.iloc[place[at]]
        sorter.out([at], seen["problem"], seen["refusal"])
    _check_stated_checksums(sorter)
    labelling = settle_labels(sorter.left())
    for index, (reason, detail) in labelling.refused.items():
        sorter.out([index], reason, detail)
    # Contested screenshots have no label, and yet what is nearly the same as them must not move when they are settled.
    kept = pd.concat([labelling.rows, labelling.contested]).sort_index()
    known_of = facts.loc[kept["id"]].reset_index(drop=True)
    given = [group if isinstance(group, str) and group else None for group in kept["group"].tolist()]
    contested = kept["id"].isin(labelling.contested["id"]).to_numpy(bool)
    near, grouping = _grouped(known_of, kept, contested, given)
    pairs = edges_of(near)
    labels, ids = kept["label"].to_numpy(np.int64), kept["id"].to_numpy()
    excluded: dict[int, tuple[str, str]] = {}
    certain = ~np.any(contested[pairs], axis=1)
    _contradicting_pictures(pairs[certain], kept, labelling, excluded)
    _contradicting_labellers(sorter, kept, labelling, excluded)
    for at, earlier in grouping.leaks.items():
        detail = (
            f"nearly the same picture as {_place(kept, earlier)}, which belongs to the {grouping.splits[earlier]} "
            f"split and to the group {printable(grouping.groups[earlier], 80)!r}: this one's is in another split"
        )
        excluded.setdefault(at, ("split-leak", detail))
    for at, (reason, detail) in excluded.items():
        sorter.out([kept.index[at]], reason, detail)
    gone = [*excluded, *np.flatnonzero(contested).tolist()]
    cluster = ids[clusters(len(kept), pairs)] if len(kept) else ids
    accepted = pd.concat(
        [
            kept.reset_index(drop=True).drop(columns=["group"]),
            known_of.drop(columns=["problem", "refusal", "thumb"]),
            pd.DataFrame({"group": grouping.groups, "split": [str(s) for s in grouping.splits], "cluster": cluster}),
        ],
        axis="columns",
    )
    accepted["uri"] = accepted["batch"] + "/" + accepted["path"]
    accepted = accepted.drop(index=sorted(set(gone))).reset_index(drop=True)
    order = [*DATASET_COLUMNS, *(c for c in accepted.columns if c not in DATASET_COLUMNS)]
    shown = near.assign(what=_relations(pairs, labels, excluded), a=ids[pairs[:, 0]], b=ids[pairs[:, 1]])
    # What reviewers have let in although the labels differ is settled, and no longer news.
    shown = shown[certain & (shown["what"] != _SETTLED)].reset_index(drop=True)
    settled = len(rows) - len(accepted) - sorter.count
    crossing = count_crossings(accepted, facts)
    return Validation(accepted[order], sorter.quarantined(), shown, settled, crossing)


class _Sorter:
    """Rows that are still in, and the quarantine as it fills."""

    def __init__(self, batches: Sequence[Batch], rows: pd.DataFrame, refused: Sequence[Quarantined]) -> None:
        self.rows = rows
        self._labels = {batch.name: batch.labels for batch in batches}
        self._out: dict[int, tuple[str, str]] = {}
        self._refused = refused

    @property
    def count(self) -> int:
        return len(self._out)

    def out(self, index: Sequence[int] | pd.Index, reason: str, detail: str) -> None:
        """Refuse rows; the first reason counts."""
        for at in index:
            self._out.setdefault(int(at), (reason, detail))

    def left(self) -> pd.DataFrame:
        return self.rows.drop(index=list(self._out))

    def quarantined(self) -> list[Quarantined]:
        """Return every refused row; one that a later batch says to replace is told apart."""
        rows = self.rows.loc[list(self._out)]
        columns = zip(rows["batch"], rows["row"], rows["source_ref"], rows["id"], self._out.values(), strict=True)
        out = [
            Quarantined(batch, self._labels[batch], int(row), str(ref or ""), str(screenshot or ""), reason, detail)
            for batch, row, ref, screenshot, (reason, detail) in columns
        ]
        name = f"{SLICE_PREFIX}replaces"
        # Only a reviewer's row mends another one, and only if it is used itself.
        review = self.rows[self.rows["kind"] == REVIEW].drop(index=list(self._out), errors="ignore")
        mended = set(review[name].dropna()) if name in review else set()
        return [
            Quarantined(q.batch, q.labels, q.row, q.source_ref, q.sha256, "replaced", f"was: {q.reason}, {q.detail}")
            if f"{q.batch}:{q.row}" in mended
            else q
            for q in [*self._refused, *out]
        ]


def _check_stated_checksums(sorter: _Sorter) -> None:
    column = f"{SLICE_PREFIX}sha256"
    if column in sorter.rows:
        stated = sorter.rows[column].str.lower()
        for index in sorter.rows.index[stated.notna() & (stated != sorter.rows["id"])]:
            row = sorter.rows.loc[index]
            sorter.out([index], "checksum", f"the file's sha256 is {row['id']}, the row says {row[column][:64]}")


def _place(kept: pd.DataFrame, at: int) -> str:
    row = kept.iloc[at]
    return f"row {row['row']} of batch {row['batch']}"


def _grouped(
    known: pd.DataFrame, kept: pd.DataFrame, contested: npt.NDArray[np.bool_], given: Sequence[str | None]
) -> tuple[pd.DataFrame, Grouping]:
    """Find the near-duplicates and settle the groups.

    At first only as many pairs are known as connect what hangs together. Wherever that has both labels, or is still in
    two splits, all pairs are looked for and the groups settled again.
    """
    hashes, thumbs, ids = known["phash"].to_numpy(np.uint64), thumbs_of(known), kept["id"].tolist()
    near = near_duplicates(hashes, thumbs)
    cluster = clusters(len(known), edges_of(near))
    labels = kept["label"].mask(contested)
    done = np.zeros(len(known), np.bool_)
    while True:
        grouping = group_screenshots(ids, given, edges_of(near))
        splits = pd.Series([str(split) for split in grouping.splits]).mask(
            pd.Series(range(len(ids))).isin(grouping.leaks)
        )
        sides = pd.DataFrame({"label": labels.to_numpy(), "split": splits.to_numpy()})
        # Only who has company can be in a mixed cluster, and most have none.
        members = np.flatnonzero(np.bincount(cluster, minlength=len(known))[cluster] > 1)
        mixed = np.zeros(len(known), np.bool_)
        mixed[members] = sides.iloc[members].groupby(cluster[members]).transform("nunique").max(axis=1).to_numpy() > 1
        if not (mixed & ~done).any():
            return near, grouping
        done |= mixed
        near = complete(near, done, hashes, thumbs)


def count_crossings(accepted: pd.DataFrame, facts: pd.DataFrame) -> tuple[int, int]:
    """Count groups and near-duplicates in two splits, from the accepted screenshots alone."""
    known = facts.loc[accepted["id"]]
    hashes, thumbs = known["phash"].to_numpy(np.uint64), thumbs_of(known)
    near = near_duplicates(hashes, thumbs)
    cluster = clusters(len(known), edges_of(near))
    apart = accepted.groupby(cluster)["split"].transform("nunique").to_numpy() > 1
    pairs = complete(near, apart, hashes, thumbs) if apart.any() else near
    edges = edges_of(pairs)
    return crossings(accepted["group"].tolist(), accepted["split"].tolist(), edges)


def _contradicting_pictures(
    pairs: Positions, kept: pd.DataFrame, labelling: Labelling, excluded: dict[int, tuple[str, str]]
) -> None:
    """Take near-duplicates with contradicting labels out, but for those that a reviewer has looked at."""
    labels, ids = kept["label"].to_numpy(np.int64), kept["id"].to_list()
    for first, second in pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]].tolist():
        for at, other in ((first, second), (second, first)):
            if at in excluded or ids[at] in labelling.reviewed or "near-conflict" in labelling.waived.get(ids[at], ()):
                continue
            detail = f"nearly the same picture as {_place(kept, other)}, with the other label: a reviewer decides"
            excluded[at] = ("near-conflict", detail)


def _contradicting_labellers(
    sorter: _Sorter, kept: pd.DataFrame, labelling: Labelling, excluded: dict[int, tuple[str, str]]
) -> None:
    """Take the rows of labellers out who contradict the others too often, but for what a reviewer has looked at."""
    columns = [name for name in LABELLER_COLUMNS if name in sorter.rows]
    if not columns:
        return
    # Whichever column names them: a labeller must not escape by another one.
    who = reduce(pd.Series.fillna, (sorter.rows[name] for name in columns))
    labellers = labeller_agreement(sorter.rows.assign(is_review=sorter.rows["kind"] == REVIEW, labeller=who))
    flagged = {labeller.Index: labeller for labeller in labellers[labellers["flagged"]].itertuples()}
    names = who.loc[kept.index]
    for at in np.flatnonzero(names.isin(flagged) & ~kept["id"].isin(labelling.reviewed)).tolist():
        if "labeller" not in labelling.waived.get(kept["id"].iloc[at], ()):
            name = str(names.iloc[at])
            labeller = flagged[name]
            detail = (
                f"{printable(name, 80)} agrees with the others on {labeller.agreed} of {labeller.compared} screenshots "
                f"(at most {labeller.upper:.0%} at 95 %): a reviewer decides which labels are right"
            )
            excluded.setdefault(at, ("labeller", detail))


def _relations(pairs: Positions, labels: npt.NDArray[np.int64], excluded: dict[int, tuple[str, str]]) -> list[str]:
    found = []
    for first, second in pairs.tolist():
        reasons = {excluded[at][0] for at in (first, second) if at in excluded}
        if labels[first] != labels[second]:
            found.append("labels contradict" if reasons else _SETTLED)
        elif "split-leak" in reasons:
            found.append("across splits")
        else:
            found.append("same label")
    return found
