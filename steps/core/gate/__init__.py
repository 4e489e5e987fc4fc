"""The gate: may this model flag screenshots? Everything is counted per screenshot, and what is not known fails.

1. The threshold comes from the calibration split's negatives alone, by an order statistic with a guarantee
   (`threshold`).
2. The disjoint test split then has to prove it: the upper confidence bound of the FPR within its limit, the lower
   bound of the TPR above its floor (`rates`), overall and in every slice with enough data (`slices`).
3. Screenshots of one group are not independent: all are counted in effective groups (`clusters`).
4. The candidate is not worse than the champion on the same screenshots (`champion`).
5. Looks at the test split are counted, and worn-out evidence is warned of (`steps.core.ledger`).
"""

from steps.core.gate.champion import Champion, ChampionUnreadable, Comparison, Difference
from steps.core.gate.clusters import Sizes
from steps.core.gate.held_out import HeldOut, Labels
from steps.core.gate.judging import judge
from steps.core.gate.limits import ChampionRule, Fleet, Limits
from steps.core.gate.people import PER_NEGATIVES
from steps.core.gate.rates import Rate
from steps.core.gate.slices import MIN_EFFECTIVE, Slice, Status
from steps.core.gate.threshold import OperatingPoint, choose_threshold
from steps.core.gate.verdict import Verdict

__all__ = [
    "MIN_EFFECTIVE",
    "PER_NEGATIVES",
    "Champion",
    "ChampionRule",
    "ChampionUnreadable",
    "Comparison",
    "Difference",
    "Fleet",
    "HeldOut",
    "Labels",
    "Limits",
    "OperatingPoint",
    "Rate",
    "Sizes",
    "Slice",
    "Status",
    "Verdict",
    "choose_threshold",
    "judge",
]
