"""One screenshot across all batches: who brought it, and every row that labels it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from pipelines.data.catalogue import Catalogue
from steps.core.dataset.classes import Classes
from steps.core.dataset.snapshot import REVIEW, Batch


@dataclass(frozen=True, slots=True)
class Sighting:
    """A batch that holds a screenshot, or says something of it.

    `path` is where it lies in the batch, None in a review that names it by its sha256 alone; `rows` are the labelled
    rows that name it, with the columns of `steps.core.dataset.rows`: none in a reference, or if its rows were refused.
    """

    batch: Batch
    path: str | None
    rows: pd.DataFrame


def matching_screenshots(catalogue: Catalogue, prefix: str) -> list[str]:
    """Return the sha256 of every screenshot that begins with `prefix`, sorted."""
    found: set[str] = set()
    for batch in catalogue.batches():
        ids = catalogue.listing(batch.name)["sha256"]
        found.update(ids[ids.str.startswith(prefix.lower())])
    return sorted(found)


def sightings(
    catalogue: Catalogue, screenshot: str, classes: Classes, attribute: str | None = None
) -> Iterator[Sighting]:
    """Yield the batches that know a screenshot, given by its whole sha256, in the order in which they were added."""
    for batch in catalogue.batches():
        listing = catalogue.listing(batch.name)
        paths = listing.loc[listing["sha256"] == screenshot, "path"]
        if paths.empty and batch.kind != REVIEW:
            continue
        rows, _ = catalogue.rows(batch, classes, attribute)
        rows = rows[rows["id"] == screenshot]
        if not (paths.empty and rows.empty):
            yield Sighting(batch, None if paths.empty else str(paths.iloc[0]), rows)
