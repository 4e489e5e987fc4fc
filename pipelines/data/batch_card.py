"""The card of a batch: what it is, where it came from and what came in. A batch without a card does not exist."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath
from typing import Self

from steps.core.common.errors import UserError
from steps.core.dataset.snapshot import KINDS, Batch

VERSION = 1


@dataclass(frozen=True, slots=True)
class Card:
    """`source` is the last part of the path that was added, `by` and `note` are what a person said of it.

    `rows` counts all labelled rows (of a reference, its pictures), `refused` those that could not be used then, `bytes`
    what all of its files hold, the labels file included. The other fields are those of `Batch`; cards of before have
    neither `classes` nor `attribute`.
    """

    name: str
    labels: str
    sha256: str
    kind: str
    added: str
    source: str
    note: str
    by: str
    rows: int
    refused: int
    bytes: int
    classes: str = ""
    attribute: str = ""

    @property
    def batch(self) -> Batch:
        return Batch(**{field.name: getattr(self, field.name) for field in fields(Batch)})

    def to_json(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def parse(cls, text: str, place: str) -> Self:
        """Read the card that lies at `place`, a URI; raises UserError that names it."""
        try:
            value = json.loads(text)
        except ValueError as error:
            raise UserError(f"{place} is no JSON ({error}): restore it, or add the batch again") from None
        try:
            card = cls(**{key: value[key] for key in value if key != "version"})
            problem = card._problem(value.get("version"), PurePosixPath(place).stem)
        except (AttributeError, TypeError) as error:
            problem = str(error)
        if problem:
            raise UserError(f"{place} is no card of a batch ({problem}): restore it, or add the batch again")
        return card

    def _problem(self, version: object, name: str) -> str:
        if version != VERSION:
            return f"version {version!r}, this program reads {VERSION}"
        if wrong := [f.name for f in fields(self) if type(getattr(self, f.name)) is not f.type]:
            return f"{', '.join(wrong)} of the wrong type"
        if self.kind not in KINDS or self.name != name:
            return f"kind {self.kind!r}, name {self.name!r}"
        return ""
