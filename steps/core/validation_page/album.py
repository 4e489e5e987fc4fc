"""Pictures inside the page, as long as there is room for them."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import simplejpeg
from markupsafe import Markup

_MISSING, _FULL = "no picture", "left out: the page is full"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to show: its JPEG as a data URI and its size in pixels; or, with `uri` "", the reason for none."""

    uri: Markup
    width: int = 0
    height: int = 0
    reason: str = ""

    @property
    def wide(self) -> bool:
        return self.width > self.height


class Album:
    """Hands out pictures by their key, in the order in which the page shows them, until `budget` characters are spent.

    A key that is unknown, or whose bytes are no JPEG, has no picture; that is no error, for a page of bad data is
    about pictures that nobody can read.
    """

    def __init__(self, pictures: Mapping[str, bytes], budget: int) -> None:
        self._pictures = pictures
        self._left = budget

    def __call__(self, key: str) -> Picture:
        data = self._pictures.get(key, b"")
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        except ValueError:
            return Picture(Markup(), reason=_MISSING)
        encoded = base64.b64encode(data).decode()
        if len(encoded) > self._left:
            return Picture(Markup(), width, height, _FULL)
        self._left -= len(encoded)
        return Picture(Markup(f"data:image/jpeg;base64,{encoded}"), width, height)  # noqa: S704 - base64
