"""The bounds that held-out data can prove of a model without a single error, known as soon as the splits are."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import pandas as pd

from steps.core.dataset.splits import SHARES, Split
from steps.core.gate.clustered_errors import Errors, Needed, Sizes, needed
from steps.core.gate.limits import Limits
from steps.core.gate.statistics import percent

_LISTED_LIMITS = (0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True, slots=True)
class Provable:
    """The groups of the screenshots that the gate counts: negatives of calibration and test, positives of test."""

    calibration: Sizes
    test: Sizes
    positives: Sizes

    @classmethod
    def of(cls, dataset: pd.DataFrame) -> Self:
        """Measure accepted screenshots: columns label, group, split."""

        def sizes(split: Split, label: int) -> Sizes:
            chosen = dataset.loc[(dataset["split"] == str(split)) & (dataset["label"] == label), "group"]
            return Sizes.of(pd.factorize(chosen)[0])

        return cls(sizes(Split.CALIBRATION, 0), sizes(Split.TEST, 0), sizes(Split.TEST, 1))

    @property
    def max_fpr(self) -> float:
        """The least limit of the false-positive rate that a model without a false alarm keeps."""
        return max(_bound(self.calibration), _bound(self.test))

    @property
    def min_tpr(self) -> float:
        """The highest floor of the true-positive rate that a model which finds every positive keeps."""
        return 1 - _bound(self.positives)

    def missing(self, max_fpr: float) -> dict[str, Needed]:
        """Return how many more negatives each split needs to prove a limit, where it cannot."""
        splits = {"calibration": self.calibration, "test": self.test}
        found = {name: needed(Errors.none(sizes), max_fpr, Limits().confidence) for name, sizes in splits.items()}
        return {name: more for name, more in found.items() if more.screenshots}

    def shortage(self, limits: Limits) -> str:
        """Name what is missing for limits that nothing could prove on these data, "" if a good model can keep them."""
        said = []
        if self.max_fpr > limits.max_fpr:
            said.append(
                f"Without a single false alarm these data prove a false-positive rate of {percent(self.max_fpr)}, not "
                f"of {percent(limits.max_fpr)}. Missing are {_more(self.missing(limits.max_fpr))}."
            )
        if self.min_tpr < limits.min_tpr:
            said.append(
                f"With every positive found, the {self.positives.screenshots:,} of {self.positives.groups:,} groups in "
                f"the test split prove a true-positive rate of {percent(self.min_tpr)}, not of "
                f"{percent(limits.min_tpr)}."
            )
        return " ".join(said)

    def __str__(self) -> str:
        return (
            f"Without a single error they prove a false-positive rate of {percent(self.max_fpr)} and a true-positive "
            f"rate of {percent(self.min_tpr)}."
        )

    def as_json(self) -> dict[str, Any]:
        """Return what `read` reads, with the bounds and a sentence for whoever cannot work them out."""
        limits = [limit for limit in _LISTED_LIMITS if limit < self.max_fpr] or [self.max_fpr / 2]
        listed = "; ".join(f"for {percent(limit)}, {_more(self.missing(limit))}" for limit in limits)
        message = (
            f"These data cannot prove what the gate will ask. {self} Missing are {listed}. "
            "Add labelled data of new apps, ask less (--max-fpr, --min-tpr), or train all the same with --train-anyway."
        )
        return {**asdict(self), "max_fpr": self.max_fpr, "min_tpr": self.min_tpr, "message": message}

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Self:
        return cls(*(Sizes(**value[name]) for name in ("calibration", "test", "positives")))


def _bound(sizes: Sizes) -> float:
    return Errors.none(sizes).upper(Limits().confidence) if sizes.groups else 1.0


def _more(missing: Mapping[str, Needed]) -> str:
    each = " and ".join(
        f"{more.screenshots:,} {split} negatives ({more.groups:,} new groups)" for split, more in missing.items()
    )
    # A group's name decides its split.
    in_all = max((more.groups / SHARES[Split(split)] for split, more in missing.items()), default=0)
    return f"{each}: some {in_all:,.0f} new groups in all"
