"""The effective sample size of screenshots, when those of one group err together.

Screenshots of one app are not independent: a model that errs on one errs on its neighbours. Korn and Graubard (1998)
divide the count by the *design effect*, the variance of the measured rate over what independent screenshots would
give, and take the Clopper-Pearson bound of the effective counts. With the few errors that a gate decides on, the
estimated design effect is far too small (0 errors: no variance at all), and the bound is broken several times more
often than stated (Dean and Pagano 2015, Franco et al. 2019; here: up to 60 % instead of 5 %). So two things are added:

- *One more group*: as Clopper and Pearson's upper bound reckons with one error more than was seen, the design effect
  is estimated as if one more group, all errors, had been seen. Its size is that of the groups which make up most of
  the variance, sum(m^3) / sum(m^2). Errors that are many and spread out make it vanish.
- *Kish's number* (sum m)^2 / sum(m^2) of effective groups, which says that a group is one screenshot, bounds that from
  above. A design effect is never below 1 nor below its plain estimate, and exactly 1 where no group repeats.
- *Few errors*: where at most three groups err, no variance can be estimated and none is needed: a group with a rate r
  errs somewhere with a chance of at least r, so the erring groups of all groups have an exact Clopper-Pearson bound
  (0 in 299 groups prove 1 %). It counts if it is the smaller one, and no errors at all prove the most.

Both assume that groups are independent of each other and that a group's rate does not depend on its size. Simulation of
beta-binomial groups (intraclass correlations 0 to 1, equal, skewed and dominating sizes, rates 1 to 99 %): at 95 %
confidence the bound is broken in 7 % at most, where all of a group errs or nothing and sizes are skewed, and nearly
everywhere in less than 5 % (`tests/steps/core/gate/test_clustered_errors.py`).
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from steps.core.gate.statistics import at_most, clopper_pearson, fewest, trials_needed

# With more erring groups than this their scatter says more than their number.
FEW = 3
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes m of the groups of one kind of screenshots, by their power sums."""

    groups: int
    screenshots: int
    squares: float
    cubes: float

    @classmethod
    def of(cls, codes: Codes) -> Self:
        """Measure [n] group numbers from 0."""
        sizes = np.bincount(codes).astype(np.float64) if len(codes) else np.zeros(0)
        return cls(int((sizes > 0).sum()), len(codes), float((sizes**2).sum()), float((sizes**3).sum()))

    @property
    def worst(self) -> float:
        """Kish's design effect of groups that always err as one; 1 where no group repeats."""
        return self.squares / self.screenshots if self.screenshots else 1.0

    @property
    def effective_groups(self) -> float:
        return self.screenshots / self.worst

    @property
    def large(self) -> float:
        """The size of the groups that make up most of the variance."""
        return self.cubes / self.squares if self.squares else 1.0

    @property
    def typical(self) -> int:
        """The mean size, a whole number."""
        return max(1, round(self.screenshots / self.groups)) if self.groups else 1

    def plus(self, groups: int, size: int) -> "Sizes":
        return Sizes(
            self.groups + groups,
            self.screenshots + groups * size,
            self.squares + groups * size**2,
            self.cubes + groups * size**3,
        )

    def design_effect(self, scatter: Floats | float, independent: Floats | float, unseen: Floats | float) -> Floats:
        """Return the design effect of a mean, vectorised.

        `scatter` is the sum over groups of the squared deviation of a group's total, `independent` the same sum over
        single screenshots, `unseen` how far a screenshot of a group that was not seen may deviate (squared).
        """
        alone = np.asarray(independent, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            plain = np.where(alone > 0, scatter / alone, 1.0)
            careful = (scatter + self.large**2 * unseen) / (alone + self.large * unseen)
        careful = np.where(alone + self.large * unseen > 0, careful, self.worst)
        return np.maximum(np.maximum(1.0, plain), np.minimum(careful, self.worst))

    def expected_design_effect(self, rate: float, correlation: float) -> float:
        """Return the design effect that an error rate and an intraclass correlation, both 0 to 1, let expect."""
        independent = self.screenshots * rate * (1 - rate)
        scatter = independent * (1 + correlation * (self.worst - 1))
        return float(self.design_effect(scatter, independent, (1 - rate) ** 2))

    def correlation(self, design_effect: float) -> float:
        """Return the intraclass correlation of a design effect, 0 to 1; the worst where groups do not repeat."""
        return min((design_effect - 1) / (self.worst - 1), 1.0) if self.worst > 1 else 1.0


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors x of m screenshots in groups: their sum, the groups with any, and the sums of x^2 and of x m."""

    sizes: Sizes
    total: int
    erring: int
    squares: float
    products: float

    @classmethod
    def of(cls, wrong: npt.NDArray[np.bool_], codes: Codes) -> Self:
        """Count [n] errors of screenshots in [n] group numbers from 0."""
        sizes = np.bincount(codes) if len(codes) else np.zeros(0, np.int64)
        errors = np.bincount(codes, wrong, minlength=len(sizes)) if len(codes) else np.zeros(0)
        return cls(
            sizes=Sizes.of(codes),
            total=int(np.sum(wrong)),
            erring=int((errors > 0).sum()),
            squares=float((errors**2).sum()),
            products=float((errors * sizes).sum()),
        )

    @classmethod
    def none(cls, sizes: Sizes) -> Self:
        return cls(sizes, 0, 0, 0.0, 0.0)

    @property
    def design_effect(self) -> float:
        """The design effect for an upper bound, before few errors are counted by group."""
        return float(upper_design_effect(self.sizes, self.total, self.squares, self.products))

    def bound(self, confidence: float) -> tuple[float, float]:
        """Return the one-sided upper bound of the error rate, 1 if there is nothing, and the screenshots it counts."""
        sums = np.array([self.total, self.erring, self.squares, self.products], np.float64)
        counts = [(float(errors), float(trials)) for errors, trials in effective_counts(self.sizes, *sums)]
        bounds = [(clopper_pearson(*count, confidence)[1], count[1]) for count in counts]
        upper, effective = min(bounds, key=lambda bound: bound[0])
        return max(upper, clopper_pearson(0, self.sizes.groups, confidence)[1]), effective

    def upper(self, confidence: float) -> float:
        return self.bound(confidence)[0]

    def with_clean(self, groups: int, size: int) -> "Errors":
        """Return the same errors after so many more groups of a size without any."""
        return replace(self, sizes=self.sizes.plus(groups, size))

    def right(self) -> "Errors":
        """Return what is no error, as if it were one. Its groups are not counted: it is for rates that are large."""
        sizes = self.sizes
        squares = sizes.squares - 2 * self.products + self.squares
        return Errors(sizes, sizes.screenshots - self.total, sizes.groups, squares, sizes.squares - self.products)


def upper_design_effect(
    sizes: Sizes, totals: Floats | float, squares: Floats | float, products: Floats | float
) -> Floats:
    """Return the design effect of error rates for their upper bounds, vectorised over the sums of `Errors`."""
    rate = totals / max(sizes.screenshots, 1)
    scatter = np.maximum(squares - 2 * rate * products + rate**2 * sizes.squares, 0.0)
    return sizes.design_effect(scatter, totals * (1 - rate), (1 - rate) ** 2)


def effective_counts(
    sizes: Sizes, totals: Floats, erring: Floats, squares: Floats, products: Floats
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Return (errors, screenshots) as independent ones by design effect and by group, vectorised over sums of `Errors`.

    The smaller of their two upper bounds counts. Where more than a few groups err, both are by design effect.
    """
    effect = upper_design_effect(sizes, totals, squares, products)
    by_effect = totals / effect, sizes.screenshots / effect
    few = erring <= FEW
    # Never below the measured rate: the groups that err may be the large ones.
    errors = np.maximum(erring, totals / max(sizes.screenshots, 1) * sizes.groups)
    return by_effect, (np.where(few, errors, by_effect[0]), np.where(few, sizes.groups, by_effect[1]))


def violations(sizes: Sizes, sums: tuple[Floats, Floats, Floats, Floats], limit: float) -> Floats:
    """Return the chance of no more errors if their true rate were `limit`; at most alpha where the bound is within."""
    by_effect, by_group = (at_most(errors, trials, limit) for errors, trials in effective_counts(sizes, *sums))
    return np.maximum(np.minimum(by_effect, by_group), at_most(0, sizes.groups, limit))


@dataclass(frozen=True, slots=True)
class Needed:
    """How many more screenshots without an error prove a limit: so many new groups of today's mean size."""

    groups: int = 0
    screenshots: int = 0


def needed(errors: Errors, limit: float, confidence: float) -> Needed:
    """Return the fewest groups of today's mean size, without an error, that lower the bound to `limit` (0 < limit)."""
    size = errors.sizes.typical
    if errors.sizes.worst == 1 and size == 1:
        missing = max(trials_needed(errors.total, limit, confidence) - errors.sizes.screenshots, 0)
        return Needed(missing, missing)

    groups = fewest(lambda more: errors.with_clean(more, size).upper(confidence) <= limit)
    return Needed(groups, groups * size)


@dataclass(frozen=True, slots=True)
class Rate:
    """A measured rate and its one-sided bounds.

    The `trials` screenshots of `groups` groups count as `effective` independent ones, `design_effect` times fewer; of
    the two bounds, each with its own, these are the more careful one's.
    """

    count: int
    trials: int
    value: float
    lower: float
    upper: float
    groups: int
    effective: float
    design_effect: float

    @classmethod
    def grouped(cls, hits: npt.NDArray[np.bool_], codes: Codes, confidence: float) -> Self:
        """Return the rate of [n] hits, n >= 1, among screenshots in [n] group numbers from 0."""
        above, below = Errors.of(hits, codes), Errors.of(~hits, codes)
        (upper, among_hits), (misses, among_misses) = above.bound(confidence), below.bound(confidence)
        effective = min(among_hits, among_misses)
        return cls(
            count=above.total,
            trials=len(hits),
            value=above.total / len(hits),
            lower=1 - misses if above.total else 0.0,
            upper=upper,
            groups=above.sizes.groups,
            effective=effective,
            design_effect=len(hits) / effective,
        )
