"""The contents of the release manager's page. Only the verdict and the scores behind it have to be there.

Every text in it may be a stranger's: the page cleans, shortens and escapes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from steps.core.gate.verdict import Verdict

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a screenshot, such as a square, in percent of its sides, and its score, 0 to 1 or NaN."""

    left: float
    top: float
    width: float
    height: float
    score: float


@dataclass(frozen=True, slots=True)
class Shot:
    """A screenshot to look at.

    picture: the JPEG of its overview tile, which the page stretches back to width x height; b"" if there is none.
    whole: the overview's own score, NaN if unknown. cams: heat maps over the whole screenshot as PNGs, by the name of
    what was looked at ("overview", "squares"). wrong: its decision is not its label.
    """

    id: str
    label: int
    group: str
    width: int
    height: int
    score: float
    wrong: bool
    picture: bytes = b""
    whole: float = float("nan")
    boxes: Sequence[Box] = ()
    cams: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gallery:
    """Screenshots worst first, at most as many as the page has room for; of `total`, `wrong` are decided wrongly."""

    shots: Sequence[Shot]
    total: int
    wrong: int


@dataclass(frozen=True, slots=True)
class Origin:
    """The run that made a file: its name and its day (UTC), "" for what is not known.

    environment: "local", or that of a deployment, dev or prod.
    """

    run: str = ""
    environment: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """All of it.

    scores: float64 [n] and labels: 0 or 1 [n], of the test split. classes: the names of the
    negative and of the positive class. false_alarms: negatives by falling score; misses: positives by rising score.
    broken and fixed: what the champion decides rightly and the candidate wrongly, and the other way round. baseline:
    `Evaluation.baseline`. variants: the rows of `variants.json`. data: `validation.json`. subject: the model, and where
    it comes from. synthetic: the screenshots are the sample's. origin: of a file that may ship; the page of a
    trained model has none, and so nothing on it differs from run to run. refused: why no file ships though the gate was
    passed.
    """

    title: str
    verdict: Verdict
    scores: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, str] = ("negative", "positive")
    false_alarms: Gallery | None = None
    misses: Gallery | None = None
    broken: Gallery | None = None
    fixed: Gallery | None = None
    baseline: Mapping[str, int] | None = None
    variants: Sequence[Document] = ()
    data: Document = field(default_factory=dict)
    subject: Document = field(default_factory=dict)
    synthetic: bool = False
    origin: Origin | None = None
    refused: str = ""

    @property
    def passed(self) -> bool:
        return self.verdict.passed and not self.refused
