"""Labelled data and pretrained weights on their way into the store: as immutable, content-named folders."""

from pathlib import Path

from pipelines.data.add import storing
from pipelines.data.publish import put_listing
from pipelines.data.snapshots import Snapshot, publish_snapshot
from pipelines.data.source_files import take_in
from pipelines.data.withdrawals import erased_images
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from pipelines.planning.seed import upload_weights, weights_folder
from pipelines.storage.folder import FolderObjects
from pipelines.storage.protocol import ObjectStore
from steps.core.common.errors import UserError
from steps.core.common.text import printable
from steps.core.dataset.classes import Classes
from steps.core.dataset.snapshot import AD_HOC, LABELS, Batch
from steps.network.weights import WEIGHTS_SUFFIX


def snapshot_of(
    source: Path,
    store: LocalStore,
    settings: Settings,
    classes: Classes,
    *,
    labels: str | None = None,
    attribute: str | None = None,
) -> Snapshot:
    """Bring the labelled data at `source` (a folder, or a labels file in one) into the store, as one batch for itself.

    It does not become one of the catalogue's batches: those are added on purpose, and stay. A row that points out of
    the folder stays a row, and ValidateData puts it into quarantine. Data that the store already holds are read, but
    not copied again. Raises UserError if there are none.
    """
    data = data_here(store, settings)
    intake = take_in(
        source,
        kind=LABELS,
        classes=classes,
        labels=labels,
        attribute=attribute,
        store=store.root,
        erased=erased_images(data),
    )
    if intake.listing.empty:
        first = f"; the first row: {intake.left_out[0].detail}" if intake.left_out else ""
        raise UserError(f"{intake.folder / intake.labels} names no readable file inside {intake.folder}{first}")
    if intake.left_out:
        row = intake.left_out[0]
        print(f"Left out: {len(intake.left_out):,} rows; row {row.row}, {printable(row.source_ref, 80)}: {row.detail}")
    batch = Batch.of(intake.labels, intake.objects)
    listing = f"{AD_HOC.catalogue}/{batch.name}.parquet"
    if data.info(listing) is None:
        put = storing(data, intake)
        for path, _ in intake.objects:
            put(path, f"{AD_HOC.labelled}/{batch.name}/{path}")
        # Last, because a batch without a listing is not there.
        put_listing(data, listing, intake.listing)
    return publish_snapshot(data, [batch], AD_HOC)


def data_here(store: LocalStore, settings: Settings) -> FolderObjects:
    """Return the data on this machine, as objects."""
    return FolderObjects(store.path(settings.uri()), settings.bucket)


def weights_of(source: Path, backbone: str, artifacts: ObjectStore) -> str:
    """Bring pretrained weights among the artefacts and return their URI.

    `source` is a Keras `*.weights.h5` or a folder in which exactly one is named after the backbone.
    """
    path = _weights_file(source, backbone)
    upload_weights(path, artifacts)
    return artifacts.uri(f"weights/{weights_folder(path)}")


def _weights_file(source: Path, backbone: str) -> Path:
    if source.is_file():
        return source
    wanted, minimalistic = backbone.replace("-", "_"), backbone.endswith("minimalistic")
    found = [p for p in sorted(source.glob(f"*{WEIGHTS_SUFFIX}")) if wanted in p.name]
    found = [p for p in found if minimalistic or "minimalistic" not in p.name]
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise UserError(f"{source} holds {names} for the backbone {backbone!r}: name one *{WEIGHTS_SUFFIX} file")
    return found[0]
