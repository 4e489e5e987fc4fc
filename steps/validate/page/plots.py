"""Histograms of two samples as inline SVG."""

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from steps.core.html.drawing import PAGE, style, svg

_BINS = 30
_WIDE_RANGE = 100


def histogram(name: str, base: npt.NDArray[np.float64], new: npt.NDArray[np.float64]) -> Markup:
    """Return both samples as shares of their screenshots over common bins; `name` only keeps the SVG's ids apart.

    Values beyond the 0.5th and the 99.5th percentile of all are counted in the outermost bins.
    """
    import matplotlib.figure
    import matplotlib.ticker

    samples = [sample[np.isfinite(sample)] for sample in (base, new)]
    bins, scale = _bins(np.concatenate(samples))
    with style(PAGE, name):
        figure = matplotlib.figure.Figure(figsize=(3.4, 1.7), layout="constrained")
        axes = figure.subplots()
        axes.set_xscale(scale)
        shares = [_shares(sample, bins) for sample in samples]
        axes.stairs(shares[0], bins, fill=True, color=PAGE["base"], alpha=0.45)
        axes.stairs(shares[1], bins, color=PAGE["new"], linewidth=1.4)
        axes.set(xlim=(bins[0], bins[-1]), ylim=(0, None))
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
        axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
        if scale == "linear":
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
        return svg(figure)


def _bins(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], str]:
    """Return the edges of the bins and the name of the axis' scale."""
    if not len(values):
        return np.linspace(0, 1, 2), "linear"
    low, high = np.percentile(values, [0.5, 99.5])
    if low == high:
        reach = max(abs(low), 1) / 2
        return np.linspace(low - reach, high + reach, _BINS), "linear"
    if low > 0 and high / low > _WIDE_RANGE:
        return np.geomspace(low, high, _BINS + 1), "log"
    return np.linspace(low, high, _BINS + 1), "linear"


def _shares(sample: npt.NDArray[np.float64], bins: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    counts, _ = np.histogram(np.clip(sample, bins[0], bins[-1]), bins)
    return counts / max(len(sample), 1)
