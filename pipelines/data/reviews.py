"""A person's decisions, written as a batch of review: by checksum, or with the file that a refused row should have."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.data.add import Added
from pipelines.data.catalogue import Catalogue
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes
from steps.core.dataset.label_resolution import WAIVABLE
from steps.core.dataset.snapshot import REFERENCE, REVIEW

LEAST_DIGITS = 6
_ROWS_FILE = "decisions.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a batch of review: `values` by column; with a `file`, under the name `path` in the batch."""

    values: Mapping[str, Any]
    path: str = ""
    file: Path | None = field(default=None)


def screenshots_of(
    catalogue: Catalogue, prefixes: Sequence[str], classes: Classes, attribute: str | None = None
) -> list[str]:
    """Return the sha256 of the labelled screenshots that begin with each of `prefixes`, in their order.

    Raises UserError for a beginning that is too short, unknown or of several, and for a screenshot that no usable row
    brings, as a decision about it would be about nothing.
    """
    batches = [batch for batch in catalogue.batches() if batch.kind != REFERENCE]
    held = {batch.name: set(catalogue.listing(batch.name)["sha256"]) for batch in batches}
    ids = sorted(set[str]().union(*held.values()))
    found = [_whole(ids, prefix) for prefix in prefixes]
    nameless = set(found)
    for batch in batches:
        if nameless & held[batch.name]:
            rows, _ = catalogue.rows(batch, classes, attribute)
            nameless -= set(rows.loc[rows["path"].notna(), "id"])
    if nameless:
        raise UserError(
            f"no usable row names the screenshot {min(nameless)[:12]}, so that nothing is known of it but its file: "
            "`tilegate data readmit` its refused row"
        )
    return list(dict.fromkeys(found))


def check_waived(names: str) -> str:
    """Return the names of rules, commas between, without spaces; raises UserError for one that cannot be waived."""
    rules = [name.strip() for name in names.split(",")]
    for name in rules:
        if name not in WAIVABLE:
            raise UserError(f"the rule {name!r} cannot be waived: one of {', '.join(WAIVABLE)} is wanted")
    return ",".join(dict.fromkeys(rules))


def decisions(screenshots: Sequence[str], *, label: int | None, waive: str, by: str, reason: str) -> list[Entry]:
    """Return a row for each screenshot, which gives it a label, or waives rules for it.

    The time makes each a decision of its own: one that goes back to an earlier one is not that earlier one again.
    """
    said = {"label": label, "waive": waive or None, "by": by, "reason": reason}
    when = _now()
    given = {name: value for name, value in said.items() if value is not None}
    return [Entry({"sha256": screenshot, **given, "decided-at": when}) for screenshot in screenshots]


def add_review(
    catalogue: Catalogue, entries: Sequence[Entry], *, by: str, note: str, classes: Classes, source: str
) -> Added:
    """Add one batch of review; raises UserError, and adds nothing, if one of its rows would be refused.

    `source` is what the batch's card says of where it came from.
    """
    with catalogue.store.scratch() as scratch:
        folder = scratch / source
        folder.mkdir()
        for entry in entries:
            if entry.file is not None:
                _place(entry.file, folder / entry.path)
        lines = [json.dumps({**_path_of(entry), **entry.values}, ensure_ascii=False) + "\n" for entry in entries]
        (folder / _ROWS_FILE).write_text("".join(lines), encoding="utf-8")
        # An immutable batch is no place to find out that a row is refused.
        return catalogue.add(folder, classes=classes, kind=REVIEW, labels=_ROWS_FILE, by=by, note=note, whole=True)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _whole(ids: Sequence[str], prefix: str) -> str:
    if len(prefix) < LEAST_DIGITS:
        raise UserError(f"{prefix!r}: at least {LEAST_DIGITS} digits of a screenshot's sha256 are wanted")
    found = [screenshot for screenshot in ids if screenshot.startswith(prefix.lower())]
    if not found:
        raise UserError(
            f"no labelled screenshot in the catalogue begins with {prefix!r}; `tilegate data quarantine` tells the "
            "digits, and data that were only named with --data have to be added first"
        )
    if len(found) > 1:
        raise UserError(f"{len(found):,} screenshots begin with {prefix!r}, {found[0]} among them: give more digits")
    return found[0]


def _path_of(entry: Entry) -> dict[str, str]:
    return {"path": entry.path} if entry.path else {}


def _place(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file.resolve(), target)
    except OSError:
        shutil.copyfile(file, target)
