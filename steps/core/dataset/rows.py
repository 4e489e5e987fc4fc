"""The labelled rows of a batch as a table: each joined to the file that it names, or refused with its reason.

The batch's listing says which files there are; no image is looked at, and nothing is asked of the disk for a row.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.common.text import printable
from steps.core.dataset.classes import AUTO, PLAIN, Classes, folded
from steps.core.dataset.label_places import FOLDER_PER_CLASS
from steps.core.dataset.labels import DECISION_KEYS, LabelledRow, RefusedRow, read_labels, rows_of_folders
from steps.core.dataset.paths import Files, PathRefusedError
from steps.core.dataset.row_schema import check_rows
from steps.core.dataset.snapshot import REVIEW, Batch, content_digest
from steps.core.dataset.splits import group_of
from steps.core.dataset.tables import SLICE_PREFIX, Quarantined

ROW_COLUMNS = ("batch", "row", "source_ref", "path", "id", "label", "group", *DECISION_KEYS)
_MAX_SENTENCES = 3
_CHUNK_ROWS = 50_000  # in memory, rows as Python objects are some five times the table


def read_rows(
    batch: Batch, folder: Path, listing: pd.DataFrame, classes: Classes, attribute: str | None
) -> tuple[pd.DataFrame, list[Quarantined]]:
    """Return the usable rows of a batch of labels or of review, and the refused ones; each row is on one side.

    `folder` holds the labels file; `listing` has the columns path (posix, relative to the batch) and sha256 of its
    regular files. `classes` and `attribute`, which names the manifest's label attribute where it has several, are for a
    batch that says nothing of them itself.

    The table has `ROW_COLUMNS` and, in alphabetical order, `slice:<name>` for every other column; text is `str` with
    NaN where there is none, `row` int64 from 1 as an editor counts lines, `label` int8 0 or 1. `id` is the listed
    sha256, `group` what the row states (group, else app, else session). Of review, `label` is Int8, null where a row
    only waives rules; `by`, `reason` and `waive` are set; a row that names a screenshot by its sha256 alone has that
    as `source_ref` and `id`, and no `path`.

    Raises UserError if the labels file as a whole cannot be read.
    """
    files, frames, refused = Files.of(listing), [], list[Quarantined]()
    for frame, bad in row_tables(_rows(batch, folder, files, *reading(batch, classes, attribute)), batch, files):
        frames.append(frame)
        refused += bad
    frame = pd.concat(frames, ignore_index=True)
    extra = sorted(name for name in frame.columns if name not in ROW_COLUMNS)
    checked, bad = check_table(batch, frame[[*ROW_COLUMNS, *extra]])
    return checked, sorted([*refused, *bad], key=lambda q: q.row)


def reading(batch: Batch, classes: Classes, attribute: str | None) -> tuple[Classes, str | None]:
    """Return how a batch's labels are read: as was said when it was added, else as is given."""
    return Classes.parse(batch.classes) if batch.classes else classes, batch.attribute or attribute


def check_readings(batches: Iterable[Batch], classes: Classes, attribute: str | None) -> None:
    """Raise UserError if names or an attribute contradict what a batch says, or batches each other.

    `classes` and `attribute` are a person's; what nobody gave contradicts nothing.
    """
    sides: dict[str, tuple[int, str]] = {}
    for batch in batches:
        own, called = Classes.parse(batch.classes or AUTO), batch.name or "that is to be added"
        if own.given and classes.given and not own.same_as(classes):
            raise UserError(
                f"--classes {classes.text} contradicts the batch {called}, which was added with {own.text}: leave "
                "--classes out, then each batch is read as it was added"
            )
        if attribute is not None and batch.attribute and batch.attribute != attribute:
            raise UserError(
                f"--label-attribute {attribute} contradicts the batch {called}, which was added with "
                f"{batch.attribute}: leave it out, then each batch is read as it was added"
            )
        for side, name in enumerate((own.negative, own.positive) if own.given else ()):
            known, other = sides.setdefault(folded(name), (side, called))
            if known != side:
                raise UserError(
                    f"{name!r} is the {PLAIN[side]} class in the batch {called} and the {PLAIN[known]} one in "
                    f"the batch {other}: one of the two has its classes the wrong way round; what was added so has to "
                    "be withdrawn, and added again"
                )


def common_classes(batches: Iterable[Batch], classes: Classes) -> Classes:
    """Return what people call the classes: as is given, else as all batches that say so agree."""
    if classes.given:
        return classes
    said = [Classes.parse(batch.classes) for batch in batches if batch.classes]
    return said[0] if said and all(said[0].same_as(other) for other in said) else classes


def row_tables(
    rows: Iterable[LabelledRow | RefusedRow], batch: Batch, files: Files
) -> Iterator[tuple[pd.DataFrame, list[Quarantined]]]:
    """Yield tables of rows joined to their files, with the rows that are refused on the way; 50,000 at a time.

    The values are not checked yet, see `check_table`; at least one table is yielded.
    """
    found, paths, ids, refused = list[LabelledRow](), list[str | None](), list[str](), list[Quarantined]()
    for row in rows:
        if isinstance(row, RefusedRow):
            refused.append(_quarantined(batch, row))
            continue
        path, screenshot = None, row.sha256
        if screenshot is None:
            try:
                path = files.locate(row.source_ref)
            except PathRefusedError as error:
                refused.append(_quarantined(batch, RefusedRow(row.row, row.source_ref, error.reason, str(error))))
                continue
            screenshot = files.sha256[path]
        found.append(row)
        paths.append(path)
        ids.append(screenshot)
        if len(found) == _CHUNK_ROWS:
            yield _table(batch, found, paths, ids), refused
            found, paths, ids, refused = [], [], [], []
    yield _table(batch, found, paths, ids), refused


def no_rows() -> pd.DataFrame:
    """Return the table of no row at all."""
    return _table(Batch("", "", ""), [], [], [])


def _rows(
    batch: Batch, folder: Path, files: Files, classes: Classes, attribute: str | None
) -> Iterator[LabelledRow | RefusedRow]:
    if batch.labels == FOLDER_PER_CLASS:
        return rows_of_folders(files.sha256, classes, f"the folders of {batch.name}")
    return read_labels(folder, batch.labels, classes, attribute, review=batch.kind == REVIEW)


def _table(batch: Batch, rows: Sequence[LabelledRow], paths: Sequence[str | None], ids: Sequence[str]) -> pd.DataFrame:
    slices = [row.slices for row in rows]
    names = sorted({name for own in slices for name in own})
    return pd.DataFrame(
        {
            "batch": _text([batch.name] * len(rows)),
            "row": pd.Series([row.row for row in rows], dtype="int64"),
            "source_ref": _text([row.source_ref for row in rows]),
            "path": _text(paths),
            "id": _text(ids),
            "label": pd.Series([row.label for row in rows], dtype="Int8" if batch.kind == REVIEW else "int8"),
            "group": _text([group_of(own) for own in slices]),
            **{key: _text([row.decision.get(key) if row.decision else None for row in rows]) for key in DECISION_KEYS},
            **{SLICE_PREFIX + name: _text([own.get(name) for own in slices]) for name in names},
        }
    )


def _text(values: Sequence[str | None]) -> pd.Series:
    return pd.Series(values, dtype="str")


def check_table(batch: Batch, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Quarantined]]:
    """Return the rows whose values satisfy the schema, and the others, refused."""
    kept, failures = check_rows(frame)
    sentences: dict[int, list[str]] = defaultdict(list)
    for failure in failures:
        name = failure.column.removeprefix(SLICE_PREFIX)
        sentences[failure.index].append(f"{name} is {printable(str(failure.value), 80)!r}, wanted is {failure.wanted}")
    bad = frame.loc[list(sentences)]
    refused = [
        _quarantined(batch, RefusedRow(int(row), str(ref), "schema", "; ".join(said[:_MAX_SENTENCES])))
        for row, ref, said in zip(bad["row"], bad["source_ref"], sentences.values(), strict=True)
    ]
    return kept.reset_index(drop=True), refused


def _quarantined(batch: Batch, row: RefusedRow) -> Quarantined:
    return Quarantined(batch.name, batch.labels, row.row, printable(row.source_ref), "", row.reason, row.detail)


def digest_of(labels: str, folder: Path, listing: pd.DataFrame) -> str:
    """Return the digest of a batch as it lies there: its labels file is read, its images are believed to be as listed.

    Whoever opens an image holds it against its listed sha256. Raises OSError if the labels file cannot be read.
    """
    objects = list(zip(listing["path"].tolist(), listing["sha256"].tolist(), strict=True))
    if labels != FOLDER_PER_CLASS:
        objects.append((labels, sha256_file(folder / labels)))
    return content_digest(labels, objects)


def check_batch(batch: Batch, folder: Path, listing: pd.DataFrame) -> None:
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
