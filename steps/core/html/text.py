"""Texts of strangers made fit to be read: on one line, printable, of bounded length."""

import re
import unicodedata
from typing import Any

from markupsafe import Markup

_LONGEST = 600
_MARKS = "".join(map(chr, (*range(0x300, 0x370), *range(0x483, 0x48A), *range(0x1AB0, 0x1B00), *range(0x1DC0, 0x1E00))))
_TOWER = re.compile(rf"([{_MARKS}]{{3}})[{_MARKS}]+")
_NOTHING = "\N{EN DASH}"
_UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"


def short(text: Any, length: int) -> str:
    """Return at most `length` characters of a text, whitespace collapsed, with what cannot be printed made visible.

    Unprintable are control characters, lone surrogates (no UTF-8 file can hold them) and the marks that turn the
    direction of writing around, with which a file name hides its end. Of combining marks three in a row stay: no
    language needs more, and towers of them cover the lines above.
    """
    whole = str(text)
    cut = whole[: 4 * length]
    line = _TOWER.sub(r"\1", unicodedata.normalize("NFC", " ".join(cut.split())))
    shown = "".join(character if character.isprintable() else _UNPRINTABLE for character in line)
    return shown if len(shown) <= length and len(cut) == len(whole) else shown[: length - 1] + "…"


def clean(value: Any) -> Any:
    """Clean whatever the template prints, so that no place in it can forget to; markup is ours and stays."""
    return short(value, _LONGEST) if isinstance(value, str) and not isinstance(value, Markup) else value


def count(value: int) -> str:
    return f"{value:,}"


def share(part: float, whole: float) -> str:
    """Return a share in percent, a dash of nothing; next to nothing is not shown as 0 %, nor nearly all as 100 %."""
    if not whole:
        return _NOTHING
    percent = 100 * part / whole
    if 0 < percent < 0.1:  # noqa: PLR2004 - what one decimal can show
        return "< 0.1 %"
    if 99 < percent < 100:  # noqa: PLR2004
        return "> 99 %"
    return f"{percent:.0f} %" if percent in (0, 100) or percent >= 10 else f"{percent:.1f} %"  # noqa: PLR2004


def number(value: float) -> str:
    """Return two decimals, a dash for what is not a number."""
    return f"{value:.2f}" if value == value else _NOTHING  # noqa: PLR0124 - only NaN differs from itself


def percent(rate: float | None) -> str:
    """Return a rate in percent with three significant digits, a dash for what is not known."""
    return _NOTHING if rate is None or rate != rate else f"{100 * rate:.3g} %"  # noqa: PLR0124 - NaN again
