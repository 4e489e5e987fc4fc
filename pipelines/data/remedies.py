"""What mends a refused row, by the reason for which it was refused."""

import enum
import shlex
from collections.abc import Mapping
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
            return f"tilegate data decide {sha256[:12]} {shlex.quote('|'.join(classes))} {WHO}"
        if self.how is How.READMIT:
            return " ".join(filter(None, ["tilegate data readmit", place, self.options, WHO]))
        return ""


_ANEW = "Write the row anew, with its place in a column `replaces`, and `tilegate data add --kind review` it."
_FILE = "Give the right file."
_REMEDIES: Mapping[str, Remedy] = {
    "manifest-line": Remedy(How.ADD, _ANEW),
    "formula": Remedy(How.ADD, _ANEW),
    "label": Remedy(How.READMIT, "Give the right label.", "--label LABEL"),
    "schema": Remedy(How.READMIT, "Take it without the columns that cannot be right."),
    "path": Remedy(How.READMIT, _FILE, "--file FILE"),
    "missing-file": Remedy(How.READMIT, _FILE, "--file FILE"),
    "image": Remedy(How.READMIT, "Give a file that opens.", "--file FILE"),
    "checksum": Remedy(
        How.READMIT, "Give the right file, or without --file take the one that is there.", "--file FILE"
    ),
    "duplicate": Remedy(How.NOTHING, "Nothing is lost: another row brings the same bytes with the same label."),
    "superseded": Remedy(How.NOTHING, "Nothing is lost: a reviewer has decided otherwise."),
    "label-conflict": Remedy(How.DECIDE, "Decide on the label."),
    "near-conflict": Remedy(How.DECIDE, "Decide on the label, or type --waive near-conflict instead of one."),
    "split-leak": Remedy(How.NOTHING, "It stays out, so that no split sees what is in another."),
    "labeller": Remedy(How.DECIDE, "Decide on the label, or type --waive labeller instead of one."),
    "unknown-id": Remedy(How.ADD, "`tilegate data add` the batch that holds the screenshot."),
    "replaced": Remedy(How.NOTHING, "Mended already: a later batch replaces the row."),
}


def remedy_of(reason: str) -> Remedy:
    return _REMEDIES[reason]
