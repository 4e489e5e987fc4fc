"""Histograms of two samples as inline SVG."""

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from steps.core.html.drawing import PAGE, style, svg

_BINS = 30


def histogram(name: str, base: npt.NDArray[np.float64], new: npt.NDArray[np.float64]) -> Markup:
    """Return both samples as shares of their screenshots over common bins; `name` only keeps the SVG's ids apart.

    Values beyond the 0.5th and the 99.5th percentile of all are counted in the outermost bins.
    """
    import matplotlib.figure
    import matplotlib.ticker

    samples = [sample[np.isfinite(sample)] for sample in (base, new)]
    bins = _bins(np.concatenate(samples))
    with style(PAGE, name):
        figure = matplotlib.figure.Figure(figsize=(3.4, 1.7), layout="constrained")
        axes = figure.subplots()
        shares = [_shares(sample, bins) for sample in samples]
        axes.stairs(shares[0], bins, fill=True, color=PAGE["base"], alpha=0.45)
        axes.stairs(shares[1], bins, color=PAGE["new"], linewidth=1.4)
        axes.set(xlim=(bins[0], bins[-1]), ylim=(0, None))
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
        axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
        return svg(figure)


def _bins(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if not len(values):
        return np.linspace(0, 1, 2)
    low, high = np.percentile(values, [0.5, 99.5])
    reach = max(abs(low), 1) / 2 if low == high else 0
    return np.linspace(low - reach, high + reach, _BINS + 1)


def _shares(sample: npt.NDArray[np.float64], bins: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    counts, _ = np.histogram(np.clip(sample, bins[0], bins[-1]), bins)
    return counts / max(len(sample), 1)
