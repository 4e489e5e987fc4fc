"""Histograms of two samples as inline SVG that takes its colours from the page, so that dark mode needs no second one.

Only numbers are drawn here: names and values of strangers stand in HTML, which wraps, escapes and knows every script.
"""

import io
import re
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

_BINS = 30
_WIDE_RANGE = 100
# Matplotlib wants colours; these stand for the page's and are never seen.
_INK, _BASE, _NEW = "#010203", "#010204", "#010205"
_VARIABLES = {_INK: "var(--soft)", _BASE: "var(--base)", _NEW: "var(--new)"}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 8,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def histogram(name: str, base: npt.NDArray[np.float64], new: npt.NDArray[np.float64]) -> Markup:
    """Return both samples as shares of their screenshots over common bins; `name` only keeps the SVG's ids apart.

    Values beyond the 0.5th and the 99.5th percentile of all are counted in the outermost bins.
    """
    import matplotlib as mpl
    import matplotlib.figure
    import matplotlib.ticker

    samples = [sample[np.isfinite(sample)] for sample in (base, new)]
    bins, scale = _bins(np.concatenate(samples))
    with mpl.rc_context(_STYLE | {"svg.hashsalt": f"tilegate {name!a}"}):
        figure = matplotlib.figure.Figure(figsize=(3.4, 1.7), layout="constrained")
        axes = figure.subplots()
        axes.set_xscale(scale)
        shares = [_shares(sample, bins) for sample in samples]
        axes.stairs(shares[0], bins, fill=True, color=_BASE, alpha=0.45)
        axes.stairs(shares[1], bins, color=_NEW, linewidth=1.4)
        axes.set(xlim=(bins[0], bins[-1]), ylim=(0, None))
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
        axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
        if scale == "linear":
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
        return _svg(figure, axes)


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


def _svg(figure: Any, axes: Any) -> Markup:
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    text = re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])  # a page may hold an id only once
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return Markup(text)  # noqa: S704 - drawn from numbers alone
