"""A batch's digest, held against what lies in the store under its name."""

from pathlib import Path
from typing import TYPE_CHECKING

from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.dataset.label_places import FOLDER_PER_CLASS
from steps.core.dataset.snapshot import Batch, content_digest

if TYPE_CHECKING:
    import pandas as pd


def digest_of(labels: str, folder: Path, listing: "pd.DataFrame") -> str:
    """Return the digest of a batch as it lies there: its labels file is read, its images are believed to be as listed.

    Whoever opens an image holds it against its listed sha256. Raises OSError if the labels file cannot be read.
    """
    objects = list(zip(listing["path"].tolist(), listing["sha256"].tolist(), strict=True))
    if labels != FOLDER_PER_CLASS:
        objects.append((labels, sha256_file(folder / labels)))
    return content_digest(labels, objects)


def check_batch(batch: Batch, folder: Path, listing: "pd.DataFrame") -> None:
    """Raise UserError unless labels file and listing of a batch are those that it was added with."""
    try:
        found = digest_of(batch.labels, folder, listing)
    except OSError as error:
        raise UserError(
            f"the labels file {batch.labels} of batch {batch.name} cannot be read ({error.strerror or error}): put the "
            "file that was added back in its place"
        ) from None
    if found != batch.sha256:
        what = "its listing" if batch.labels == FOLDER_PER_CLASS else f"{batch.labels} or its listing"
        raise UserError(
            f"batch {batch.name} is not what was added, {what} was changed in the store: the digest is {found}, it was "
            f"added with {batch.sha256}; put back what was added, repeat `tilegate data erase` if one was interrupted, "
            f"or `tilegate data withdraw {batch.name}`"
        )
