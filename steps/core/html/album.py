"""Pictures inside the page, as long as there is room for them."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace

import simplejpeg
from markupsafe import Markup

_MISSING, _FULL = "no picture", "left out: the page is full"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to show: its JPEG as a data URI and its size in pixels; or, with `uri` "", the reason for none.

    `screenshot` is the sha256 of what it shows, by which an erasure finds it in the page.
    """

    uri: Markup
    width: int = 0
    height: int = 0
    reason: str = ""
    screenshot: str = ""

    @property
    def wide(self) -> bool:
        return self.width > self.height


class Album:
    """Hands out pictures, in the order in which the page shows them, until `budget` characters are spent.

    A key that is unknown, or whose bytes are no JPEG, has no picture; that is no error, for a page of bad data is
    about pictures that nobody can read.
    """

    def __init__(self, pictures: Mapping[str, bytes], budget: int) -> None:
        self._pictures = pictures
        self._left = budget

    def __call__(self, key: str) -> Picture:
        return replace(self.show(self._pictures.get(key, b"")), screenshot=key)

    def show(self, data: bytes) -> Picture:
        """Return the picture that a JPEG's bytes are."""
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        except ValueError:
            return Picture(Markup(), reason=_MISSING)
        uri = self.embed(data, "image/jpeg")
        return Picture(uri, width, height, "" if uri else _FULL)

    def embed(self, data: bytes, kind: str) -> Markup:
        """Return bytes as a data URI, "" if there is no room for them."""
        uri = data_uri(data, kind)
        if len(uri) > self._left:
            return Markup()
        self._left -= len(uri)
        return uri


def data_uri(data: bytes, kind: str) -> Markup:
    return Markup(f"data:{kind};base64,{base64.b64encode(data).decode()}")  # noqa: S704 - base64
