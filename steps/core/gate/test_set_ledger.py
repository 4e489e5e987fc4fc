"""The ledger of a test set's uses: with every model that a test split has tested, its evidence wears out a little.

With one model in twenty a 95 % bound is wrong; of twenty models that are tested on one test split, one may well pass by
luck, and people keep the one that passed. The ledger counts the looks and says what the bound would be if all of them
are to hold together (Bonferroni). It warns, and fails nothing: the cure is fresh test data.

A *consultation* is one entry: which screenshots tested which model under which limits. It is immutable and named by
its content without the moment, so that a run that is repeated is no new look. Screenshots are kept as a bottom-k sketch
(the 256 smallest hashes), from which the overlap of two test splits is estimated (Cohen and Kaplan 2007).
"""

import hashlib
import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from steps.core.common.errors import UserError
from steps.core.common.files import json_text, read_json, write_json
from steps.core.common.text import printable

FILE_NAME = "ledger.json"
SKETCH = 256
LOOKS_BUDGET = 20
MAX_ENTRIES = 20_000
_MAX_BYTES = 1 << 29
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_TEXT = 200
_MAX_LIMITS = 50


@dataclass(frozen=True, slots=True)
class Consultation:
    """One look at a test split: sha256 digests in hex, `sketch` the smallest ones of its screenshots, ascending."""

    test: str
    screenshots: int
    negatives: int
    groups: int
    sketch: tuple[str, ...]
    model: str
    limits: Mapping[str, float | str]
    passed: bool
    moment: str

    @classmethod
    def of(
        cls,
        ids: Iterable[str],
        *,
        negatives: int,
        groups: int,
        model: str,
        limits: Mapping[str, float | str],
        passed: bool,
        moment: str,
    ) -> Self:
        """Record that the test screenshots `ids` tested `model` (its file's sha256) at a moment (ISO 8601)."""
        hashes = sorted(_hashes(ids))
        return cls(
            _digest("\n".join(hashes)), len(hashes), negatives, groups, tuple(hashes[:SKETCH]), model,
            dict(limits), passed, moment,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """What makes a look: the same model under the same limits on the same test split is one."""
        return _digest(json.dumps([self.test, self.model, dict(self.limits)], sort_keys=True))

    def to_dict(self) -> dict[str, Any]:
        return {"version": 1, "name": self.name} | asdict(self) | {"sketch": list(self.sketch)}

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Read an entry; raises UserError that says what is wrong with it."""
        if not isinstance(value, dict) or value.get("version") != 1:
            raise UserError("an object of version 1 is wanted")
        fields = cls.__dataclass_fields__
        if set(value) != {*fields, "version", "name"}:
            raise UserError(f"the fields {', '.join(fields)}, version and name are wanted")
        _check(value)
        given = {name: value[name] for name in fields} | {"sketch": tuple(value["sketch"])}
        entry = cls(**given)
        if entry.name != value["name"]:
            raise UserError("its name does not fit its content: it has been changed")
        return entry

    def write(self, folder: Path) -> Path:
        """Write `<name>.json`, and return its path."""
        path = folder / f"{self.name}.json"
        write_json(path, self.to_dict())
        return path

    def overlap(self, hashes: Sequence[str]) -> float:
        """Estimate the share, 0 to 1, of a test split's ascending screenshot hashes that this look has seen."""
        if not hashes or not self.sketch:
            return 0.0
        # Up to its largest hash the sketch is complete, and what lies there of the split is a uniform sample of it.
        whole = self.screenshots <= len(self.sketch)
        sample = hashes if whole else hashes[: bisect_right(hashes, self.sketch[-1])]
        if not sample:
            return min(1.0, self.screenshots / len(hashes))
        return len(frozenset(self.sketch).intersection(sample)) / len(sample)


@dataclass(frozen=True, slots=True)
class Wear:
    """How worn a test split is: so many `looks` at screenshots of it, this one included.

    In their `weight` each look counts by the share of the split that it saw.
    """

    looks: int
    weight: float

    def confidence(self, confidence: float) -> float:
        """Return the confidence that every single bound needs, so that those of all looks hold together."""
        return 1 - (1 - confidence) / self.weight

    def warning(self, adjusted_upper: float, limit: float) -> str | None:
        """Say that the evidence is worn out: too many looks, or a bound that no longer holds for all of them."""
        seen = f"This test split has been looked at {self.looks} times (worth {self.weight:.1f} looks at all of it)"
        if self.weight > LOOKS_BUDGET:
            return f"{seen}, more than the budget of {LOOKS_BUDGET}: its evidence is worn out, add fresh test data."
        if self.looks > 1 and adjusted_upper > limit:
            return (
                f"{seen}: for all of them together the upper bound of the FPR is {adjusted_upper:.3%}, above the "
                f"limit of {limit:.3%}; add fresh test data."
            )
        return None


def consultations(entries: Sequence[Consultation], test_ids: Iterable[str], own: str = "") -> Wear:
    """Count the distinct looks at the screenshots of a test split; the entry named `own` is the present look."""
    hashes = sorted(_hashes(test_ids))
    others = {entry.name: entry for entry in entries}
    others.pop(own, None)
    shares = [share for entry in others.values() if (share := entry.overlap(hashes)) > 0]
    return Wear(1 + len(shares), 1 + math.fsum(shares))


def read_ledger(folder: Path) -> tuple[Consultation, ...]:
    """Read `ledger.json`, a list of entries; raises UserError that names the file, the entry and its fault."""
    path = folder / FILE_NAME
    if path.is_file() and path.stat().st_size > _MAX_BYTES:
        raise UserError(f"{path} is larger than {_MAX_BYTES:,} bytes: it is no ledger")
    try:
        entries = read_json(path)
    except RecursionError:
        raise UserError(f"{path} is nested too deeply: it is no ledger") from None
    if not isinstance(entries, list) or len(entries) > MAX_ENTRIES:
        raise UserError(f"{path} holds no list of at most {MAX_ENTRIES:,} entries: it must be written again")
    read = []
    for number, entry in enumerate(entries):
        try:
            read.append(Consultation.from_dict(entry))
        except UserError as error:
            raise UserError(f"{path}, entry {number}: {error}; it must be restored from its store") from None
    return tuple(read)


def ledger_of(entries: Iterable[Consultation]) -> bytes:
    """Return a `ledger.json`: each look once, by name."""
    by_name = {entry.name: entry for entry in entries}
    return json_text([by_name[name].to_dict() for name in sorted(by_name)]).encode()


def _hashes(ids: Iterable[str]) -> set[str]:
    # Hashed once more: uniform whatever an id is, and an entry that leaves the project names no screenshot.
    return {_digest(name) for name in ids}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _check(value: Mapping[str, Any]) -> None:
    def want(name: str, wanted: str, *, right: bool) -> None:
        if not right:
            raise UserError(f"{name} is {printable(repr(value[name]), 80)}: {wanted} is wanted")

    for name in ("screenshots", "negatives", "groups"):
        right = type(value[name]) is int and 0 <= value[name] <= 10**12
        want(name, "a whole number", right=right)
    want("passed", "true or false", right=type(value["passed"]) is bool)
    for name in ("test", "model"):
        want(name, "a sha256 in hex", right=_is_digest(value[name]))
    want("moment", "a time in ISO 8601", right=isinstance(value["moment"], str) and len(value["moment"]) <= _MAX_TEXT)
    sketch, wanted = value["sketch"], min(value["screenshots"], SKETCH)
    complete = isinstance(sketch, list) and len(sketch) == wanted and all(map(_is_digest, sketch))
    if not complete or any(a >= b for a, b in pairwise(sketch)):
        raise UserError(f"its sketch is not {wanted} ascending sha256 digests")
    limits = value["limits"]
    if not isinstance(limits, dict) or len(limits) > _MAX_LIMITS or not all(map(_is_limit, limits.values())):
        raise UserError("its limits are no short object of numbers and texts")


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _is_limit(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT
    return type(value) in (int, float) and math.isfinite(value)
