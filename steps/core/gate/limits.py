"""The limits that a model has to keep, and the fleet that it is for."""

import math
from dataclasses import asdict, dataclass
from enum import StrEnum

from steps.core.common.choices import HALF_OF_LIMIT
from steps.core.common.errors import UserError


class ChampionRule(StrEnum):
    """What a candidate owes to the champion.

    NON_INFERIOR: it must prove that its rates are worse by no more than the margins; too little data is a failure.
    NOT_PROVEN_WORSE: it fails only where it is proven to be worse at all; too little data is none. For small data:
    a worse candidate then often passes, so people have to look at what it newly breaks.
    """

    NON_INFERIOR = "non-inferior"
    NOT_PROVEN_WORSE = "not-proven-worse"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model has to prove: rates between 0 and 1, and the one-sided confidence of every bound.

    `max_fpr_increase` and `max_tpr_decrease` are the margins to the champion, absolute rates; HALF_OF_LIMIT lets the
    FPR rise by half of `max_fpr`.
    """

    max_fpr: float = 0.01
    min_tpr: float = 0.3
    confidence: float = 0.95
    max_fpr_increase: float = HALF_OF_LIMIT
    max_tpr_decrease: float = 0.05
    champion_rule: str = ChampionRule.NON_INFERIOR

    def __post_init__(self) -> None:
        if not 0 < self.max_fpr < 1:
            raise UserError(f"max-fpr {self.max_fpr}: a rate above 0 and below 1 is wanted, such as 0.01 for 1 %")
        # A floor of 0 would pass a model that never flags anything.
        if not 0 < self.min_tpr < 1:
            raise UserError(f"min-tpr {self.min_tpr}: a rate above 0 and below 1 is wanted, such as 0.3 for 30 %")
        half = 0.5
        if not half < self.confidence < 1:
            raise UserError(f"confidence {self.confidence}: a number between 0.5 and 1 is wanted, such as 0.95")
        for name, margin in (("fpr-increase", self.fpr_margin), ("tpr-decrease", self.max_tpr_decrease)):
            if not 0 <= margin < 1:
                raise UserError(f"max-{name} {margin}: a rate from 0 to below 1 is wanted, such as 0.005")
        if self.champion_rule not in list(ChampionRule):
            raise UserError(f"champion-rule {self.champion_rule!r}: one of {', '.join(ChampionRule)} is wanted")

    @property
    def alpha(self) -> float:
        """The chance of error that every single claim may have."""
        return 1 - self.confidence

    @property
    def fpr_margin(self) -> float:
        return self.max_fpr / 2 if self.max_fpr_increase == HALF_OF_LIMIT else self.max_fpr_increase

    def to_dict(self) -> dict[str, float | str]:
        """Return strict JSON with every margin spelled out: equal limits, equal dictionaries."""
        margin, rule = self.fpr_margin, str(self.champion_rule)
        # A look in the ledger is named by its limits, and slices have always had the limit itself.
        return asdict(self) | {"max_fpr_increase": margin, "champion_rule": rule, "slice_tolerance": 1.0}


@dataclass(frozen=True, slots=True)
class Fleet:
    """The phones and the people behind them. `positive_share` of all screenshots are positive.

    On a real phone nearly every screenshot is negative, so negatives dominate: at a share of 1 %, an FPR of 1 % and a
    TPR of 50 %, two of three flagged screenshots are false alarms. Nothing here changes a verdict.
    """

    phones: int = 300
    screenshots_per_day: float = 200.0
    positive_share: float = 0.01
    seconds_per_review: float = 10.0

    def __post_init__(self) -> None:
        if self.phones < 1:
            raise UserError(f"phones {self.phones}: at least 1 is wanted")
        for name in ("screenshots_per_day", "seconds_per_review"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise UserError(f"{name.replace('_', '-')} {value}: a number above 0 is wanted")
        if not 0 <= self.positive_share < 1:
            raise UserError(f"positive-share {self.positive_share}: a share from 0 to below 1 is wanted")
