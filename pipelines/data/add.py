"""Labelled screenshots from this machine into a bucket's catalogue, hashed here and checked there."""

import tempfile
from pathlib import Path

from pipelines.data.inbox import utc_now
from pipelines.data.new_images import Parts
from pipelines.data.publish import Clock, Contents, publish_batch
from pipelines.data.snapshots import catalogue_batches
from pipelines.data.source import Added, read_source
from pipelines.data.source_files import Progress, silent
from pipelines.storage.mirror import Mirror
from pipelines.storage.protocol import ObjectStore
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes
from steps.core.dataset.plan import Source
from steps.core.dataset.snapshot import LABELS, Batch, write_listing


def add_source(
    data: ObjectStore,
    source: Path,
    *,
    classes: Classes,
    kind: str = LABELS,
    labels: str | None = None,
    attribute: str | None = None,
    note: str = "",
    by: str = "",
    progress: Progress = silent,
    clock: Clock = utc_now,
) -> Added:
    """Make a batch in a bucket of what lies at `source`; the counterpart of `Catalogue.add`, with the same errors."""
    reading = read_source(source, kind=kind, classes=classes, labels=labels, attribute=attribute, progress=progress)
    intake, expected = reading.intake, dict(reading.intake.objects)

    def put(path: str, key: str) -> None:
        if data.upload(intake.folder / path, key) != expected[path]:
            data.delete(key)
            raise UserError(f"{intake.folder / path} changed while it was read: start again when nothing writes to it")

    with tempfile.TemporaryDirectory(prefix="tilegate-add-") as scratch:
        listing = Path(scratch) / "listing.parquet"
        write_listing(listing, intake.listing)
        contents = Contents(reading.card(note, by), listing, put)
        batch, already = publish_batch(data, contents, clock, lambda n: progress("Uploaded", n, len(expected)))
        new = None if already else _new_screenshots(data, batch, Path(scratch))
    return reading.added(batch, classes, new)


def _new_screenshots(data: ObjectStore, batch: Batch, scratch: Path) -> int:
    """Count the screenshots that no batch before this one has."""
    # What a night keeps for the next one is not an operator's to write.
    parts = Parts(data, Mirror(data, scratch / "bucket"), keep=False)
    ledger = parts.ledger(Source(""), catalogue_batches(data))
    return sum(part.images for part in ledger.parts if part.batch == batch)
