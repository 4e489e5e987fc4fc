"""The champion: the candidate has to be at least as good on the very same screenshots.

Both decide every test screenshot, each at its own frozen threshold. Only those that they decide differently tell them
apart: the difference of their error rates is (worse - better) / screenshots, counted by effective groups as the rates
are (`clusters`), with a melded Clopper-Pearson bound (`statistics.difference_upper`). Without one differing decision
the bound is that of the rate of differing ones: 0 in 299 independent screenshots leave 1 %.

Identical decisions on every test screenshot pass without further evidence: nothing can be worse for the reviewers.
Otherwise `limits.ChampionRule` says what has to be proven, for the FPR and for the TPR.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from steps.core.common.errors import UserError
from steps.core.common.text import printable
from steps.core.gate.clustered_errors import Codes, Needed, Sizes
from steps.core.gate.held_out import HeldOut
from steps.core.gate.limits import ChampionRule, Limits
from steps.core.gate.statistics import difference_upper, fewest, percent


@dataclass(frozen=True, slots=True)
class Champion:
    """The released model: its name, and its decision on every test screenshot at its frozen threshold, by id."""

    name: str
    flagged: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Difference:
    """The candidate's error rate minus the champion's on the same screenshots: above 0 is worse.

    `worse` screenshots are decided wrongly by the candidate alone, `better` by the champion alone. `missing` more
    screenshots in `missing_groups` new groups, all decided alike, would bring the upper bound within the margin.
    """

    worse: int
    better: int
    trials: int
    groups: int
    effective: float
    value: float
    lower: float
    upper: float
    margin: float
    missing: int
    missing_groups: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Candidate against champion: `fpr` is the increase, `tpr` the decrease; None if they could not be compared."""

    champion: str | None
    rule: str
    fpr: Difference | None = None
    tpr: Difference | None = None
    newly_broken: tuple[str, ...] = ()
    newly_fixed: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"passed": not self.reasons}


def unreadable(error: UserError, limits: Limits) -> Comparison:
    """Fail the comparison with a champion that cannot be read: what it decides is not known."""
    reason = f"The champion cannot be read: {printable(str(error))}"
    return Comparison(None, str(limits.champion_rule), reasons=(reason,))


def compare(champion: Champion, test: HeldOut, flagged: npt.NDArray[np.bool_], limits: Limits) -> Comparison:
    """Compare the candidate's [n] decisions on the test split with the champion's."""
    rule = str(limits.champion_rule)
    names, labels, codes = np.array(test.named(), dtype=object), test.labels, test.codes()
    decided = [champion.flagged.get(name) for name in names]
    if lost := sum(not isinstance(decision, (bool, np.bool_)) for decision in decided):
        name = printable(champion.name, 80)
        reason = f"The champion {name} has no decision on {lost} of {len(names)} test screenshots."
        return Comparison(champion.name, rule, reasons=(reason,))
    theirs = np.array(decided, dtype=np.bool_)
    wrong, wrong_before = flagged != (labels == 1), theirs != (labels == 1)
    fpr, tpr = (
        _difference(wrong[labels == label], wrong_before[labels == label], codes[labels == label], margin, limits)
        for label, margin in ((0, limits.fpr_margin), (1, limits.max_tpr_decrease))
    )
    reasons: list[str] = []
    if (wrong != wrong_before).any():
        reasons += _failures("Share of false alarms", "higher", fpr, limits)
        reasons += _failures("Share found", "lower", tpr, limits)
    return Comparison(
        champion.name,
        rule,
        fpr,
        tpr,
        newly_broken=tuple(names[wrong & ~wrong_before]),
        newly_fixed=tuple(names[~wrong & wrong_before]),
        reasons=tuple(reasons),
    )


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Paired decisions: how many differ either way, and the sums of d^2 and d m over the groups' differences d."""

    sizes: Sizes
    worse: int
    better: int
    squares: float
    products: float

    @classmethod
    def of(cls, wrong: npt.NDArray[np.bool_], before: npt.NDArray[np.bool_], codes: Codes) -> Self:
        totals = np.bincount(codes, wrong.astype(np.float64) - before)
        worse, better = int((wrong & ~before).sum()), int((~wrong & before).sum())
        products = float((totals * np.bincount(codes)).sum())
        return cls(Sizes.of(codes), worse, better, float((totals**2).sum()), products)

    @property
    def value(self) -> float:
        return (self.worse - self.better) / self.sizes.screenshots

    @property
    def effect(self) -> float:
        count, mean = self.sizes.screenshots, self.value
        scatter = max(self.squares - 2 * mean * self.products + mean**2 * self.sizes.squares, 0.0)
        independent = self.worse + self.better - count * mean**2
        unseen = (1 - mean) ** 2
        return float(self.sizes.design_effect(scatter, independent, unseen))

    def upper(self, confidence: float) -> float:
        effect = self.effect
        counts = (self.worse / effect, self.better / effect, self.sizes.screenshots / effect)
        return difference_upper(*counts, confidence)

    def reversed(self) -> "_Pairs":
        return _Pairs(self.sizes, self.better, self.worse, self.squares, -self.products)

    def with_equal(self, groups: int, size: int) -> "_Pairs":
        return _Pairs(self.sizes.plus(groups, size), self.worse, self.better, self.squares, self.products)


def _difference(
    wrong: npt.NDArray[np.bool_], before: npt.NDArray[np.bool_], codes: Codes, margin: float, limits: Limits
) -> Difference:
    pairs = _Pairs.of(wrong, before, codes)
    upper = pairs.upper(limits.confidence)
    missing = Needed()
    if upper > margin > 0:
        size = pairs.sizes.typical
        groups = fewest(lambda more: pairs.with_equal(more, size).upper(limits.confidence) <= margin)
        missing = Needed(groups, groups * size)
    return Difference(
        worse=pairs.worse,
        better=pairs.better,
        trials=pairs.sizes.screenshots,
        groups=pairs.sizes.groups,
        effective=pairs.sizes.screenshots / pairs.effect,
        value=pairs.value,
        lower=-pairs.reversed().upper(limits.confidence),
        upper=upper,
        margin=margin,
        missing=missing.screenshots,
        missing_groups=missing.groups,
    )


def _failures(what: str, worse: str, found: Difference, limits: Limits) -> list[str]:
    kind = "negatives" if worse == "higher" else "positives"
    seen = (
        f"{what} against the champion: of {found.trials} {kind}, {found.worse} newly wrong, {found.better} newly right"
    )
    if limits.champion_rule == ChampionRule.NOT_PROVEN_WORSE:
        return [f"{seen}: it is proven to be {worse}."] if found.lower > 0 else []
    if found.upper <= found.margin:
        return []
    text = f"{seen}; it may be {percent(found.upper)} {worse}, and the margin is {percent(found.margin)}"
    if found.lower > 0:
        return [f"{text}: it is proven to be {worse}."]
    if found.missing:
        text += f": {found.missing} more {kind} in {found.missing_groups} new groups, decided alike, would prove it"
    return [f"{text}."]
