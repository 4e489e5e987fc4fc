"""The rates of every threshold on the test split, and the plots of them: for the page in its colours, and on paper."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from steps.core.common.files import replacing
from steps.core.gate.verdict import Verdict
from steps.core.html.drawing import PAGE, PAPER, style, svg

Colours = Mapping[str, str]
Floats = npt.NDArray[np.float64]

_STOPS = 400
_POINTS = 72  # an inch of SVG
_DPI = 160
_TICKS = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 0.999)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Stops by rising threshold, `score > threshold` being flagged: how many of each class lie above each of them.

    frozen: the place of the threshold that the gate tested, None if it had none.
    """

    thresholds: Floats
    false_positives: npt.NDArray[np.int64]
    true_positives: npt.NDArray[np.int64]
    negatives: int
    positives: int
    frozen: int | None

    @property
    def fpr(self) -> Floats:
        return self.false_positives / self.negatives

    @property
    def tpr(self) -> Floats:
        return self.true_positives / self.positives


def curve(
    scores: Floats, labels: npt.NDArray[np.int64], frozen: float | None = None, *, stops: int = _STOPS
) -> Curve | None:
    """Return the curve of screenshots' scores, 0 to 1; None if a class is missing or a score is not a number.

    Of many thresholds those are kept that lie evenly along the DET curve, so that small rates keep their detail; the
    frozen one is always there as it is.
    """
    negatives, positives = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
    if not len(negatives) or not len(positives) or not np.isfinite(scores).all():
        return None
    thresholds = np.unique(np.append(scores, 0.0))
    thresholds = thresholds[_evenly(negatives, positives, thresholds, stops)]
    if frozen is not None:
        thresholds = np.unique(np.append(thresholds, frozen))
    return Curve(
        thresholds,
        _above(negatives, thresholds),
        _above(positives, thresholds),
        len(negatives),
        len(positives),
        None if frozen is None else int(np.searchsorted(thresholds, frozen)),
    )


def deviate(rate: float | Floats, trials: int) -> Floats:
    """Return the normal deviate of rates measured on `trials`; 0 and 1 are taken for half a count, to be finite."""
    from scipy.special import ndtri

    half = 0.5 / trials
    return np.asarray(ndtri(np.clip(rate, half, 1 - half)), dtype=np.float64)


def _above(ordered: Floats, thresholds: Floats) -> npt.NDArray[np.int64]:
    return len(ordered) - np.searchsorted(ordered, thresholds, side="right").astype(np.int64)


def _evenly(negatives: Floats, positives: Floats, thresholds: Floats, stops: int) -> npt.NDArray[np.int64]:
    """Return the places of at most `stops` thresholds about equally far apart on the DET curve, both ends included."""
    if len(thresholds) <= stops:
        return np.arange(len(thresholds))
    sides = [deviate(_above(side, thresholds) / len(side), len(side)) for side in (negatives, positives)]
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(sides)).sum(axis=0))])
    places = np.searchsorted(along, np.linspace(0, along[-1], stops)).clip(0, len(along) - 1)
    # Where the curve does not move towards its end, the end is still one.
    places[-1] = len(along) - 1
    return np.unique(places)


@dataclass(frozen=True, slots=True, eq=False)
class Plot:
    """How to draw something: `draw(axes, colours)`, on a figure of `size` inches.

    The page says in HTML what a file of its own needs a `title` and a legend for. Its slider has `stops`, (x, y) on the
    axes, which it shows by the `marker`.
    """

    name: str
    title: str
    size: tuple[float, float]
    draw: Callable[[Any, Colours], None]
    stops: tuple[Floats, Floats]
    marker: str = '<circle class="marker" r="5.5" cx="0" cy="0" hidden/>'

    def inline(self) -> tuple[Markup, list[list[float]]]:
        """Return the SVG, its marker above everything else, and where the stops lie, in units of its viewBox."""
        with style(PAGE, self.name):
            figure, axes = self._figure(PAGE, _POINTS)
            drawn = svg(figure)
            x, y = axes.transData.transform(np.column_stack(self.stops)).T
        places: list[list[float]] = np.column_stack([x, self.size[1] * _POINTS - y]).round(2).tolist()
        named = str(drawn).replace("<svg ", f'<svg role="img" aria-label="{self.title}" ', 1)
        return Markup(named.replace("</svg>", f"{self.marker}</svg>")), places  # noqa: S704 - our own words

    def save(self, folder: Path) -> None:
        """Write the plot as a PNG named after it."""
        with style(PAPER, self.name), replacing(folder / f"{self.name}.png") as beside:
            figure, axes = self._figure(PAPER, _DPI)
            axes.set_title(self.title, fontsize=9)
            axes.legend(loc="best", frameon=False)
            figure.savefig(beside, format="png", facecolor="white", metadata={"Software": None})

    def _figure(self, colours: Colours, dpi: int) -> tuple[Any, Any]:
        import matplotlib.figure

        figure = matplotlib.figure.Figure(figsize=self.size, dpi=dpi, layout="constrained")
        axes = figure.subplots()
        self.draw(axes, colours)
        return figure, axes


def det(curve: Curve, verdict: Verdict) -> Plot:
    """Return the detection error trade-off: misses against false alarms, on normal-deviate axes."""
    negatives, positives = curve.negatives, curve.positives
    fpr, tpr, limit, wanted = verdict.fpr, verdict.tpr, verdict.limits.max_fpr, verdict.limits.min_tpr
    stops = deviate(curve.fpr, negatives), deviate(1 - curve.tpr, positives)

    def draw(axes: Any, colours: Colours) -> None:
        axes.plot(*stops, color=colours["new"], linewidth=1.5, drawstyle="steps-pre")
        axes.axvline(_deviate(limit), color=colours["bad"], linestyle="--", linewidth=1, label="limit")
        axes.axhline(_deviate(1 - wanted), color=colours["odd"], linestyle=":", linewidth=1.2, label="wanted")
        if fpr and tpr:
            across = [deviate(rate, negatives) for rate in (fpr.value, fpr.lower, fpr.upper)]
            down = [deviate(1 - rate, positives) for rate in (tpr.value, tpr.upper, tpr.lower)]
            _cross(axes, colours, across, down)
        _probits(axes.xaxis, negatives, limit, high=0.6)
        _probits(axes.yaxis, positives, 1 - wanted, high=0.95)
        axes.set(xlabel="share of negatives flagged (false alarms)", ylabel="share of positives missed")
        axes.grid(visible=True)

    return Plot("det", "Detection error trade-off", (5.0, 4.0), draw, stops)


def roc(curve: Curve, verdict: Verdict) -> Plot:
    """Return the receiver operating characteristic; what matters happens at small rates, so they get the room."""
    least = max(1 / curve.negatives, 1e-4)
    fpr, tpr = verdict.fpr, verdict.tpr

    def draw(axes: Any, colours: Colours) -> None:
        axes.plot(curve.fpr, curve.tpr, color=colours["new"], linewidth=1.5, drawstyle="steps-pre")
        axes.set_xscale("symlog", linthresh=least)
        axes.axvline(verdict.limits.max_fpr, color=colours["bad"], linestyle="--", linewidth=1, label="limit")
        axes.axhline(verdict.limits.min_tpr, color=colours["odd"], linestyle=":", linewidth=1.2, label="wanted")
        if fpr and tpr:
            _cross(axes, colours, (fpr.value, fpr.lower, fpr.upper), (tpr.value, tpr.lower, tpr.upper))
        ticks = [0.0, *(tick for tick in (0.0001, 0.001, 0.01, 0.1, 1.0) if tick >= least)]
        axes.set_xticks(ticks, [_percent(tick) for tick in ticks])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda value, _: _percent(value))
        axes.set(
            xlim=(0, 1),
            ylim=(0, 1.02),
            xlabel="share of negatives flagged (false alarms)",
            ylabel="share of positives found",
        )
        axes.grid(visible=True)

    return Plot("roc", "Receiver operating characteristic", (5.0, 4.0), draw, (curve.fpr, curve.tpr))


def scores(curve: Curve, values: Floats, labels: npt.NDArray[np.int64], threshold: float | None) -> Plot:
    """Return how the scores of both classes lie; counts are logarithmic, for the few that matter are among many."""
    bins = np.linspace(0, 1, 51)

    def draw(axes: Any, colours: Colours) -> None:
        counts = [np.histogram(values[labels == label].clip(0, 1), bins)[0] for label in (0, 1)]
        axes.stairs(counts[0], bins, fill=True, color=colours["base"], alpha=0.5, label="negatives")
        axes.stairs(counts[1], bins, color=colours["new"], linewidth=1.4, label="positives")
        axes.set_yscale("symlog", linthresh=1)
        if threshold is not None:
            axes.axvline(threshold, color=colours["ink"], linestyle="--", linewidth=1, label="threshold")
        top = max(int(np.max(counts)), 1)
        ticks = [0, *(10**power for power in range(len(str(top))))]
        axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set(xlim=(0, 1), ylim=(0, 1.3 * top), xlabel="score of a screenshot", ylabel="screenshots")

    stops = curve.thresholds, np.zeros(len(curve.thresholds))
    line = '<line class="marker" x1="0" x2="0" y1="0" y2="100%" hidden/>'
    return Plot("scores", "Scores of the test split", (5.2, 2.5), draw, stops, line)


def _cross(axes: Any, colours: Colours, x: Sequence[Any], y: Sequence[Any]) -> None:
    """Draw a point with its interval in both directions: (measured, one end, the other end)."""
    ink = colours["ink"]
    axes.plot([x[1], x[2]], [y[0], y[0]], color=ink, linewidth=1.2, solid_capstyle="butt", marker="|", markersize=6)
    axes.plot([x[0], x[0]], [y[1], y[2]], color=ink, linewidth=1.2, solid_capstyle="butt", marker="_", markersize=6)
    axes.plot([x[0]], [y[0]], "o", color=ink, markersize=4.5, label="operating point, one-sided bounds")


def _probits(axis: Any, trials: int, wanted: float, high: float) -> None:
    """Give an axis of normal deviates its ends, half a count and `high`, `wanted` within, and ticks in percent."""
    low = 0.4 / trials
    high = min(high, 1 - low)
    low, high = min(low, 0.7 * wanted), (1 + wanted) / 2 if wanted > high else high
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    axis.set_ticks([_deviate(tick) for tick in ticks], labels=[_percent(tick) for tick in ticks])
    (axis.axes.set_xlim if axis.axis_name == "x" else axis.axes.set_ylim)(_deviate(low), _deviate(high))


def _deviate(rate: float) -> float:
    return float(deviate(rate, 10**9))


def _percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"
