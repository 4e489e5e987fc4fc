"""The variants that a model was converted to: what was measured of each, and which of them ships.

The rule, in this order:
1. A variant may ship if its own bytes pass the gate at their own threshold, and at most `max_flipped` of the held-out
   screenshots are decided otherwise than by the trained model.
2. The smallest file ships, compressed as in an app's package; of equally small ones the faster, then the one whose name
   comes first. All compute with the same floats, so none is slow.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from steps.core.common.files import write_json

FILE_NAME = "variants.json"
MAX_FLIPPED = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A row of the table; None is what was not measured.

    reason: why it has no verdict, "" if it has. bytes, deflated: of the file, raw and as an APK stores it
    (deflate, the hardest level). latency_ms: median milliseconds for a phone's screenshot on one core. flipped: share
    of the held-out screenshots, 0 to 1, decided otherwise than by the trained model, each at its own threshold.
    passed, message, threshold, fpr, tpr and their bounds are the gate's, on the very bytes. may_ship, chosen: what the
    rule says of it, see `mark`.
    """

    name: str
    reason: str = ""
    sha256: str | None = None
    bytes: int | None = None
    deflated: int | None = None
    latency_ms: float | None = None
    min_runtime_version: str | None = None
    passed: bool = False
    message: str = ""
    threshold: float | None = None
    fpr: float | None = None
    fpr_upper: float | None = None
    tpr: float | None = None
    tpr_lower: float | None = None
    flipped: float | None = None
    may_ship: bool = False
    chosen: bool = False

    def qualifies(self, max_flipped: float) -> bool:
        measured = not self.reason and self.passed and self.deflated is not None
        return measured and self.flipped is not None and self.flipped <= max_flipped

    def refusal(self, max_flipped: float) -> str:
        """Return a sentence that says why it may not ship, "" if it may."""
        if self.reason:
            return f"{self.name}: {self.reason}"
        if not self.passed:
            return f"{self.name} does not pass the gate. {self.message}"
        if not self.qualifies(max_flipped):
            flipped = "an unknown share" if self.flipped is None else f"{self.flipped:.2%}"
            return (
                f"{self.name} decides otherwise than the trained model on {flipped} of the held-out screenshots; "
                f"{max_flipped:.2%} is the most"
            )
        return ""


def choose(variants: Sequence[Variant], *, max_flipped: float = MAX_FLIPPED) -> str | None:
    """Return the name of the variant that ships by the rule above, None if none may; their order does not matter."""
    able = [variant for variant in variants if variant.qualifies(max_flipped)]
    if not able:
        return None
    return min(able, key=lambda v: (v.deflated, float("inf") if v.latency_ms is None else v.latency_ms, v.name)).name


def mark(variants: Iterable[Variant], chosen: str | None, max_flipped: float) -> tuple[Variant, ...]:
    """Return the variants with `may_ship` and `chosen` filled in."""
    return tuple(replace(v, may_ship=v.qualifies(max_flipped), chosen=v.name == chosen) for v in variants)


def refusal(variants: Sequence[Variant], max_flipped: float) -> str:
    """Return why none may ship, by the one that came nearest: over the flips, then over the gate, then not converted.

    Among equals it is the first, which is the least altered one where the order is that of VARIANTS.
    """

    def distance(variant: Variant) -> int:
        return 2 if variant.reason else 0 if variant.passed else 1

    nearest = min(variants, key=distance).refusal(max_flipped)
    others = len(variants) - 1
    return f"{nearest} (and {others} more variants may not ship either)" if others else nearest


def write_variants(folder: Path, variants: Sequence[Variant], *, max_flipped: float) -> None:
    """Write `variants.json`: the table, and by what the choice was made."""
    document = {"version": 1, "max_flipped": max_flipped, "variants": [asdict(v) for v in variants]}
    write_json(folder / FILE_NAME, document)


def table(variants: Sequence[Variant]) -> str:
    """Return the variants as lines of text for a log."""
    columns = ["name", "bytes", "deflated", "latency_ms", "flipped", "fpr", "tpr", "passed", "chosen", "reason"]
    return pd.DataFrame([asdict(variant) for variant in variants])[columns].to_string(index=False, max_colwidth=80)
