"""A source of labelled data on this machine: the files that its rows name, their checksums, and its usable rows."""

import os
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.dataset.classes import Classes
from steps.core.dataset.label_places import FOLDER_PER_CLASS, find_labels
from steps.core.dataset.labels import LabelledRow, RefusedRow, read_labels
from steps.core.dataset.paths import MAX_PATH_CHARACTERS, Files, PathRefusedError, locate
from steps.core.dataset.rows import read_rows
from steps.core.dataset.snapshot import KINDS, LISTING_COLUMNS, REFERENCE, REVIEW, Batch, content_digest
from steps.core.dataset.tables import Quarantined

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_S3 = "s3://"

Progress = Callable[[str, int, int], None]
"""Is told what is being done (a verb in the past tense), to how many files so far, and how many there are."""


def silent(_verb: str, _done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What a folder offers: `labels` is the labels file in it, "." if there is none; nothing is copied yet.

    `listing` has the columns path (posix, relative to the folder), sha256 and bytes, the labels file excluded.
    `left_out` are rows whose file is not in it, with the reason: missing, unreadable, outside of the folder. `erased`
    counts the files that were left out because somebody has erased them.
    """

    folder: Path
    labels: str
    objects: tuple[tuple[str, str], ...]
    listing: pd.DataFrame
    bytes: int
    left_out: tuple[RefusedRow, ...]
    erased: int = 0

    @property
    def sha256(self) -> str:
        """The digest of the batch's content: the labels file's name, every path and every checksum."""
        return content_digest(self.labels, self.objects)

    def rows(self, kind: str, classes: Classes, attribute: str | None) -> tuple[pd.DataFrame, list[Quarantined]]:
        """Return the usable rows and the refused ones; the rows of a reference are its pictures."""
        batch = Batch("", self.labels, self.sha256, kind)
        rows, refused = self.listing.assign(label=None), list[Quarantined]()
        if kind != REFERENCE:
            rows, refused = read_rows(batch, self.folder, self.listing, classes, attribute)
        if self.labels == FOLDER_PER_CLASS:
            # These rows are made of the listing, which knows nothing of a file that could not be taken.
            left = (Quarantined("", ".", r.row, r.source_ref, "", r.reason, r.detail) for r in self.left_out)
            return rows, [*refused, *left]
        # Why a file could not be taken is known where it was looked for, and not from the listing.
        why = {row.row: row for row in self.left_out}
        for at, row in enumerate(refused):
            if row.reason == "missing-file" and (known := why.get(row.row)):
                refused[at] = replace(row, reason=known.reason, detail=known.detail)
        return rows, refused


def take_in(
    source: Path,
    *,
    kind: str,
    classes: Classes,
    labels: str | None = None,
    attribute: str | None = None,
    store: Path | None,
    erased: Collection[str] = frozenset(),
    progress: Progress = silent,
) -> Intake:
    """Find and hash the files that `source`, a folder or a labels file in one, brings; no picture is opened.

    Only the labels file and regular files inside its folder are taken, never through a link that leads out; also those
    of rows whose label is refused, so that the content does not depend on what the classes are called. `store` is the
    folder of a store on this machine, which must not lie among the data; files whose sha256 is among the `erased` are
    not taken. Raises UserError if `source` has no labels.
    """
    folder, name = _locate_source(source, kind, classes, labels)
    if name == FOLDER_PER_CLASS and store is not None and _shows(store.resolve(), folder.resolve()):
        raise UserError(f"the home lies in the data ({store} in {folder}): give --home another place")
    # The row that names a file first stands for it; 0 is the labels file itself.
    files: dict[str, tuple[int, str]] = {} if name == FOLDER_PER_CLASS else {name: (0, name)}
    left_out: list[RefusedRow] = []
    there = FolderFiles(folder)
    for number, row in enumerate(_rows(folder, name, kind, classes, attribute), start=1):
        progress("Looked up", number, 0)
        if row.source_ref:
            try:
                files.setdefault(there.locate(row.source_ref), (row.row, row.source_ref))
            except PathRefusedError as error:
                left_out.append(RefusedRow(row.row, row.source_ref, error.reason, str(error)))
    found: list[tuple[str, str, int]] = []
    for done, path in enumerate(sorted(files), start=1):
        try:
            found.append((path, sha256_file(folder / path), (folder / path).stat().st_size))
        except OSError as error:
            number, ref = files[path]
            if not number:
                raise
            detail = f"the file cannot be read: {error.strerror or error}"
            left_out.append(RefusedRow(number, ref, "missing-file", detail))
        progress("Hashed", done, len(files))
    kept = [file for file in found if file[0] == name or file[1] not in erased]
    return Intake(
        folder=folder,
        labels=name,
        objects=tuple((path, sha256) for path, sha256, _ in kept),
        listing=pd.DataFrame([file for file in kept if file[0] != name], columns=list(LISTING_COLUMNS)),
        bytes=sum(size for _, _, size in kept),
        left_out=tuple(sorted(left_out, key=lambda row: row.row)),
        erased=len(found) - len(kept),
    )


def _locate_source(source: Path, kind: str, classes: Classes, labels: str | None) -> tuple[Path, str]:
    if kind not in KINDS:
        raise UserError(f"kind {kind!r}: one of {', '.join(KINDS)} is wanted")
    if not source.exists():
        raise UserError(f"{source}: there is no such folder or labels file")
    if kind == REFERENCE:
        if labels or not source.is_dir():
            raise UserError(f"{source}: a reference sample is a folder of pictures, without a labels file")
        return source, FOLDER_PER_CLASS
    if source.is_dir():
        folder, name = source, labels or find_labels(source, classes)
    elif labels:
        raise UserError(f"{source} is a file, and so the labels file itself: leave out --labels {labels}")
    else:
        folder, name = source.parent, source.name
    if name == FOLDER_PER_CLASS:
        return folder, name
    try:
        return folder, str(locate(folder, name))
    except PathRefusedError as error:
        raise UserError(f"the labels file {folder / name} cannot be used: {error}") from None


def _shows(inner: Path, outer: Path) -> bool:
    """Tell whether `inner` would be found among the visible files of `outer`."""
    return inner.is_relative_to(outer) and _is_visible(inner.relative_to(outer))


def _is_visible(path: Path) -> bool:
    return not any(part.startswith(".") for part in path.parts)


def _rows(
    folder: Path, labels: str, kind: str, classes: Classes, attribute: str | None
) -> Iterator[LabelledRow | RefusedRow]:
    """Yield the rows that may name a file: a decision may name its screenshot by the sha256 alone."""
    if kind == REFERENCE:
        files = (
            p.relative_to(folder) for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and not p.is_dir()
        )
        for number, path in enumerate(sorted(filter(_is_visible, files)), start=1):
            yield LabelledRow(number, path.as_posix(), 0)  # the label means nothing
    else:
        rows = read_labels(folder, labels, classes, attribute, review=kind == REVIEW)
        yield from (row for row in rows if isinstance(row, RefusedRow) or row.sha256 is None)


class FolderFiles:
    """Answers as `steps.core.dataset.paths.locate` does, at a tenth of its time: each folder is resolved once.

    A labels file may name millions of files, or millions that lack. What is unusual, `locate` is asked for. For folders
    to which nobody writes meanwhile.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._plain = {"": True}

    def locate(self, ref: str) -> str:
        """Return the path below the folder of the file that `ref` names; raises PathRefusedError."""
        paths = _paths(ref)
        for path in paths:
            try:
                if not self._is_plain(path.rpartition("/")[0]):
                    break
                mode = os.lstat(f"{self._root}/{path}").st_mode
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                break
            if stat.S_ISREG(mode):
                return path
            if not stat.S_ISDIR(mode):
                break
        else:
            if paths:
                return Files({}, 0).locate(ref)  # which raises what `locate` says of a file that is missing
        return str(locate(self._root, ref))

    def _is_plain(self, folder: str) -> bool:
        """Tell whether no link is on the way to a folder, whether or not it is there."""
        if folder not in self._plain:
            above = folder.rpartition("/")[0]
            self._plain[folder] = self._is_plain(above) and not (self._root / folder).is_symlink()
        return self._plain[folder]


def _paths(ref: str) -> list[str]:
    """Return the relative paths that a usual ref may mean, the longest first; none of one that is unusual."""
    is_s3 = ref.startswith(_S3)
    key = ref.removeprefix(_S3).partition("/")[2] if is_s3 else ref
    parts = [part for part in key.split("/") if part not in ("", ".")]
    usual = ref.isascii() and ref.isprintable() and len(ref) <= MAX_PATH_CHARACTERS and "\\" not in ref
    leads_out = ".." in parts or (not is_s3 and (ref.startswith("/") or ":" in ref))
    if leads_out or not usual:
        return []
    return ["/".join(parts[start:]) for start in range(len(parts) if is_s3 else 1)]
