"""Matplotlib figures as inline SVG that takes its colours from the page, so that dark mode needs no second one.

Only numbers and our own words may be drawn: names and values of strangers stand in HTML, which wraps, escapes and
knows every script.
"""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from markupsafe import Markup

_NAMES = ("ink", "soft", "base", "new", "good", "bad", "odd", "line")
# Matplotlib wants colours; these stand for the page's variables and are never seen.
PAGE: Mapping[str, str] = {name: f"#01020{number}" for number, name in enumerate(_NAMES, start=1)}
# The page's own colours by day, for a picture that stands alone.
PAPER: Mapping[str, str] = {
    "ink": "#1b1f24",
    "soft": "#5f6b7a",
    "base": "#8a96a3",
    "new": "#2a6fbb",
    "good": "#1a7f45",
    "bad": "#b3261e",
    "odd": "#8a5200",
    "line": "#d9dde3",
}


@contextmanager
def style(colours: Mapping[str, str], name: str) -> Iterator[None]:
    """Draw in these colours within the block; `name` only keeps an SVG's ids apart from those of others."""
    import matplotlib as mpl

    soft = colours["soft"]
    wanted: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": f"tilegate {name!a}",
        "font.size": 8,
        "axes.edgecolor": soft,
        "axes.labelcolor": soft,
        "axes.linewidth": 0.6,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "grid.color": colours["line"],
        "grid.linewidth": 0.5,
        "text.color": soft,
        "text.parse_math": False,
        "xtick.color": soft,
        "ytick.color": soft,
    }
    with mpl.rc_context(wanted):
        yield


def svg(figure: Any) -> Markup:
    """Return a figure drawn in the colours of `PAGE` as an SVG element without a background."""
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    text = re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])  # a page may hold an id only once
    for name, colour in PAGE.items():
        text = text.replace(colour, f"var(--{name})")
    return Markup(text)  # noqa: S704 - drawn from numbers alone
