"""A dataset snapshot: the immutable batches of labelled data that a run learns from, named by its content.

`labelled/<batch>/…` holds a batch as it came: its labels file and its images. Its *listing* says which regular files
those are, with their checksums, so that nobody has to look. A snapshot is a folder `datasets/<digest>/` with
`manifest.jsonl`, a line a batch, and `place.json`, which says where the batches lie.

Work on images is done in *parts*: the images that a batch is the first to bring. A part is named by those images and
nothing else, so that what was found out about it, and the tiles cut from it, stay valid when labels change, when files
move between folders, and when later batches bring the same images again.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.core.common.errors import UserError
from steps.core.common.files import read_json, replacing, write_json, write_text

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.jsonl"
PLACE = "place.json"
LISTING_COLUMNS = ("path", "sha256", "bytes")
LABELS, REVIEW, REFERENCE = "labels", "review", "reference"
KINDS = (LABELS, REVIEW, REFERENCE)


@dataclass(frozen=True, slots=True, order=True)
class Batch:
    """One immutable batch: `name` is its folder, `labels` the labels file in it, `sha256` the digest of its content.

    `kind` is "labels"; "review" for a person's decisions, which go before labels; "reference" for unlabelled
    screenshots that show what phones in production see. `added` is an ISO 8601 time in UTC, or "". `classes` and
    `attribute` are how its labels are read, as it was said when it was added: the names of the classes as
    `Classes.parse` reads them, and the manifest's label attribute, "" where nothing was said.
    """

    name: str
    labels: str
    sha256: str
    kind: str = LABELS
    added: str = ""
    classes: str = ""
    attribute: str = ""

    @classmethod
    def of(cls, labels: str, objects: Iterable[tuple[str, str]], kind: str = LABELS) -> "Batch":
        """Name a batch by its objects, (relative path, sha256) each."""
        sha256 = content_digest(labels, objects)
        return cls(f"b-{sha256[:16]}", labels, sha256, kind)


@dataclass(frozen=True, slots=True)
class Part:
    """The images that `batch` is the first to bring: `files` are (path in the batch, sha256), one for each sha256."""

    digest: str
    batch: str
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a snapshot's batches and their listings lie: keys below the bucket. Raises TypeError if one is no text."""

    labelled: str = "labelled"
    catalogue: str = "catalogue"

    def __post_init__(self) -> None:
        if not all(isinstance(key, str) for key in (self.labelled, self.catalogue)):
            raise TypeError("a key is not a text")


# Data that a run was given by name, and that nobody added.
AD_HOC = Place("ad-hoc/batches", "ad-hoc/catalogue")


def content_digest(labels: str, objects: Iterable[tuple[str, str]]) -> str:
    """Return the digest of a batch's content: its objects, (relative path, sha256) each, in any order."""
    digest = hashlib.sha256(labels.encode())
    for path, checksum in sorted(objects):
        digest.update(f"\0{path}\0{checksum}".encode())
    return digest.hexdigest()


def snapshot_digest(batches: Sequence[Batch]) -> str:
    """Return the digest that names a snapshot; the order of the batches does not matter."""
    return hashlib.sha256(_lines(batches).encode()).hexdigest()[:32]


def parts_of(batches: Iterable[Batch], listing: Callable[[Batch], "pd.DataFrame"]) -> list[Part]:
    """Return the parts of a snapshot in the order of its batches (by name); a batch that brings nothing has none.

    A later batch never changes an earlier one's part. The labels file is not in a listing.
    """
    parts: list[Part] = []
    seen: set[str] = set()
    for batch in sorted(batches):
        frame = listing(batch).sort_values(["sha256", "path"]).drop_duplicates("sha256")
        # A look-up for each image, or the whole set would be turned into an array for every batch.
        fresh = frame[[sha256 not in seen for sha256 in frame["sha256"]]]
        if fresh.empty:
            continue
        seen.update(fresh["sha256"])
        digest = hashlib.sha256("\n".join(fresh["sha256"]).encode()).hexdigest()[:32]
        parts.append(Part(digest, batch.name, tuple(zip(fresh["path"], fresh["sha256"], strict=True))))
    return parts


def parts_to_cut(batches: Iterable[Batch], listing: Callable[[Batch], "pd.DataFrame"]) -> list[Part]:
    """Return the parts of the batches that may be learned from: a reference sample is looked at and never cut."""
    return parts_of((batch for batch in batches if batch.kind != REFERENCE), listing)


def write_listing(path: Path, files: "pd.DataFrame") -> None:
    """Write a batch's listing: columns path (posix, relative to the batch), sha256, bytes; sorted by path."""
    frame = files[list(LISTING_COLUMNS)].sort_values("path")
    frame = frame.astype({"path": "str", "sha256": "str", "bytes": "int64"})
    with replacing(path) as beside:
        frame.to_parquet(beside, index=False)


def read_listing(path: Path) -> "pd.DataFrame":
    """Read a batch's listing; raises UserError that names the file."""
    # Most readers of snapshots read no listing.
    import pandas as pd

    try:
        return pd.read_parquet(path, columns=list(LISTING_COLUMNS))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: the listing of a batch cannot be read ({error}); add the batch again") from None


def _lines(batches: Sequence[Batch]) -> str:
    return "".join(json.dumps(_fields(batch), sort_keys=True) + "\n" for batch in sorted(batches))


def _fields(batch: Batch) -> dict[str, str]:
    """Return a batch's fields without what was never said of it: snapshots of such batches keep their digests."""
    return {name: value for name, value in asdict(batch).items() if value or name not in ("classes", "attribute")}


def write_snapshot(folder: Path, batches: Sequence[Batch], place: Place) -> None:
    write_text(folder / MANIFEST, _lines(batches))
    write_json(folder / PLACE, asdict(place))


def read_place(folder: Path) -> Place:
    """Read where a snapshot's batches lie; raises UserError that names the file."""
    value = read_json(folder / PLACE)
    try:
        return Place(**value)
    except TypeError as error:
        raise UserError(f"{folder / PLACE} tells no place of batches ({error}): write the snapshot again") from None


def _batch(fields: Any) -> Batch:
    batch = Batch(**fields)
    if not all(isinstance(value, str) for value in asdict(batch).values()):
        raise TypeError("a field is not a text")
    if batch.kind not in KINDS:
        raise ValueError(f"kind {batch.kind!r} is none of {', '.join(KINDS)}")
    return batch


def read_snapshot(folder: Path) -> list[Batch]:
    """Read the batches of a snapshot, in their order; raises UserError that names the line."""
    path = folder / MANIFEST
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the dataset snapshot cannot be read ({error})") from None
    batches = []
    for row, line in enumerate(lines, start=1):
        try:
            batches.append(_batch(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}, line {row}: not a batch ({error}); write the snapshot again") from None
    if not any(batch.kind == LABELS for batch in batches):
        raise UserError(f"{path} names no batch of labels: add labelled data first")
    return sorted(batches)
