"""Labelled screenshots from this machine into a catalogue, here or in S3: hashed first, and checked as they arrive."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from pipelines.data.clock import Clock, utc_now
from pipelines.data.new_images import Parts
from pipelines.data.publish import Contents, publish_batch, twin_of
from pipelines.data.snapshots import catalogue_batches
from pipelines.data.source import Added, read_source
from pipelines.data.source_files import Intake, Progress, silent
from pipelines.data.withdrawals import erased_images
from pipelines.storage.bulk import Mirror
from pipelines.storage.protocol import NoSuchObject, ObjectStore
from steps.core.common.errors import UserError
from steps.core.common.scratch import scratch
from steps.core.dataset.classes import Classes
from steps.core.dataset.plan import Source
from steps.core.dataset.rows import check_readings
from steps.core.dataset.snapshot import LABELS


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
    again: bool = False,
    store: Path | None = None,
    alone: AbstractContextManager[None] | None = None,
    progress: Progress = silent,
    clock: Clock = utc_now,
) -> Added:
    """Make one batch of what lies at `source`, a folder or a labels file in one; for `store` see `take_in`.

    Content that a batch of this kind holds already is not added again, and a file that the bucket holds is copied
    there. For `alone` and `again` see `publish_batch`. Raises UserError if no row is usable, or if a file changes
    meanwhile.
    """
    reading = read_source(
        source,
        kind=kind,
        classes=classes,
        labels=labels,
        attribute=attribute,
        store=store,
        erased=erased_images(data),
        progress=progress,
    )
    intake, draft = reading.intake, reading.card(note, by)
    batches = catalogue_batches(data)
    check_readings([*batches, draft.batch], Classes(given=False), None)
    if twin := twin_of(data, draft, again=again):
        return reading.added(twin, None)
    wanted = set(intake.listing["sha256"])
    with scratch("add") as folder:
        # What a night keeps for the next one is not an operator's to write.
        parts = Parts(data, Mirror(data, folder), keep=False)
        known = parts.keys_of(wanted, Source(""), batches)
    contents = Contents(draft, intake.listing, storing(data, intake, known))
    batch, already = publish_batch(
        data,
        contents,
        clock,
        lambda n: progress("Stored", n, len(intake.objects)),
        alone=alone or nullcontext(),
        again=again,
    )
    return reading.added(batch, None if already else len(wanted) - len(known))


def storing(data: ObjectStore, intake: Intake, known: Mapping[str, str] | None = None) -> Callable[[str, str], None]:
    """Return what brings a file of an intake, by its path, to a key; `known` are keys of the same bytes by sha256."""
    expected = dict(intake.objects)

    def put(path: str, key: str) -> None:
        if (there := (known or {}).get(expected[path])) and _copied(data, there, key, expected[path]):
            return
        if data.upload(intake.folder / path, key) != expected[path]:
            data.delete(key)
            raise UserError(f"{intake.folder / path} changed while it was read: start again when nothing writes to it")

    return put


def _copied(data: ObjectStore, there: str, key: str, sha256: str) -> bool:
    """Copy an object; False if it has decayed, which must not be handed on: the good bytes are at hand."""
    try:
        data.copy(there, key)
    except NoSuchObject:
        return False
    return data.sha256(key) == sha256
