"""What mends a refused row: a decision, a corrected row, one more batch, or nothing."""

import enum
import shlex
from dataclasses import dataclass

WHO = "--by NAME --reason TEXT"


class How(enum.Enum):
    """DECIDE: a person settles the label. READMIT: the row comes back corrected. ADD: a batch is to be added.

    NOTHING: the row is out for a good reason, and nothing is lost.
    """

    DECIDE = "decide"
    READMIT = "readmit"
    ADD = "add"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Remedy:
    """`text` is what to do, in a sentence; `options` are what `readmit` needs for it.

    Data that were named with `--data` lie in no batch of the catalogue: their folder itself is to be mended.
    """

    how: How
    text: str
    options: str = ""

    def command(self, place: str, sha256: str, classes: tuple[str, str]) -> str:
        """Return what to type for the row `place` (batch:row) of a screenshot, "" where nothing is to be typed."""
        if self.how is How.DECIDE and sha256:
            return decision(sha256, "|".join(classes))
        if self.how is How.READMIT:
            return " ".join(filter(None, ["tilegate data readmit", place, self.options, WHO]))
        return ""


def decision(sha256: str, label: str) -> str:
    """Return what to type to settle the label of a screenshot."""
    return f"tilegate data decide {sha256[:12]} {shlex.quote(label)} {WHO}"
