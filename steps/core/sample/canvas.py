"""A canvas in device-independent pixels: the short side of every screen is 360 dp long, as on most phones."""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from PIL import Image, ImageDraw, ImageFont

from steps.core.sample.apps import Colour

SHORT_SIDE_DP = 360
# Everything is drawn twice as large and averaged, as Pillow's shapes have no antialiasing of their own.
_OVERSAMPLING = 2
_LINE_SPACING = 1.35
_STEPS = [(value + 2) // 5 * 5 for value in range(256)]

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in dp."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, centre: Point, wide: float, high: float) -> Self:
        """Return the box that reaches so far from its middle to each side."""
        return cls(centre[0] - wide, centre[1] - high, centre[0] + wide, centre[1] + high)

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> Point:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def inset(self, margin: float) -> "Box":
        return Box(self.left + margin, self.top + margin, self.right - margin, self.bottom - margin)


def polar(centre: Point, radius: float, angle: float) -> Point:
    """Return the point at an angle in radians, 0 at three o'clock and growing clockwise."""
    return centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)


def star(centre: Point, points: int, outer: float, inner: float, turn: float) -> list[Point]:
    """Return the corners of a star, `turn` by the angle between an outer corner and the next inner one."""
    return [
        polar(centre, inner if corner % 2 else outer, math.pi * (corner + turn) / points)
        for corner in range(2 * points)
    ]


class Canvas:
    """A screen of `width` x `height` pixels to draw on; all coordinates and lengths of its methods are in dp."""

    def __init__(self, width: int, height: int, ground: Colour) -> None:
        short = min(width, height)
        self._scale = _OVERSAMPLING * short / SHORT_SIDE_DP
        self._image = Image.new("RGB", (width * _OVERSAMPLING, height * _OVERSAMPLING), ground)
        self._draw = ImageDraw.Draw(self._image)
        self.width = width * SHORT_SIDE_DP / short
        self.height = height * SHORT_SIDE_DP / short

    def finish(self) -> Image.Image:
        """Return the screen in RGB at its own size, its values in steps of 5 so that it packs well."""
        return self._image.reduce(_OVERSAMPLING).point(_STEPS * len(self._image.getbands()))

    def rectangle(self, box: Box, fill: Colour, radius: float = 0) -> None:
        """Fill a box; an empty one is left out."""
        corners = self._corners(box)
        if corners is None:
            return
        if radius:
            self._draw.rounded_rectangle(corners, self._length(radius), fill)
        else:
            self._draw.rectangle(corners, fill)

    def disc(self, centre: Point, radius: float, fill: Colour) -> None:
        corners = self._corners(Box.around(centre, radius, radius))
        if corners is not None:
            self._draw.ellipse(corners, fill)

    def arc(self, centre: Point, radius: float, degrees: tuple[float, float], fill: Colour, width: float) -> None:
        """Draw an arc clockwise between two angles, 0 at three o'clock; its line lies inside the radius."""
        corners = self._corners(Box.around(centre, radius, radius))
        if corners is not None:
            self._draw.arc(corners, *degrees, fill=fill, width=max(1, self._length(width)))

    def polygon(self, points: Iterable[Point], fill: Colour) -> None:
        self._draw.polygon([(self._length(x), self._length(y)) for x, y in points], fill)

    def line(self, points: Iterable[Point], fill: Colour, width: float) -> None:
        pixels = [(self._length(x), self._length(y)) for x, y in points]
        self._draw.line(pixels, fill, max(1, self._length(width)), joint="curve")

    def gradient(self, box: Box, top: Colour, bottom: Colour) -> None:
        """Fill a box with a vertical gradient in bands of two screen pixels: smooth to the eye, and it packs well."""
        corners = self._corners(box)
        if corners is None:
            return
        left, first, right, last = corners
        band = 2 * _OVERSAMPLING
        for y in range(first, last + 1, band):
            share = (y - first) / max(1, last - first)
            fill = tuple(round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True))
            self._draw.rectangle((left, y, right, min(y + band - 1, last)), fill)

    def paste(self, picture: Image.Image, box: Box) -> None:
        """Fill a box with an enlarged picture."""
        corners = self._corners(box)
        if corners is not None:
            left, top, right, bottom = corners
            size = (right - left + 1, bottom - top + 1)
            self._image.paste(picture.resize(size, Image.Resampling.NEAREST), (left, top))

    def text(self, place: Point, text: str, size: float, fill: Colour, anchor: str = "la") -> None:
        """Write one line of text; `size` is the font's in dp, `anchor` is Pillow's."""
        place_px = (self._length(place[0]), self._length(place[1]))
        self._draw.text(place_px, text, fill, _font(self._length(size)), anchor)

    def paragraph(self, box: Box, text: str, size: float, fill: Colour) -> float:
        """Write text wrapped to a box as far as it fits; return where the next line would start."""
        font = _font(self._length(size))
        limit = box.width * self._scale
        y, line = box.top, ""
        for word in [*text.split(), ""]:
            longer = f"{line} {word}".strip()
            if word and font.getlength(longer) <= limit:
                line = longer
                continue
            if y + size > box.bottom:
                break
            if line:
                self.text((box.left, y), line, size, fill)
                y += size * _LINE_SPACING
            line = word
        return y

    def _length(self, value: float) -> int:
        # Rounded twice: the last bits of a sine differ between platforms and would decide ties.
        return round(round(value * self._scale, 4))

    def _corners(self, box: Box) -> tuple[int, int, int, int] | None:
        left, top = self._length(box.left), self._length(box.top)
        right, bottom = self._length(box.right) - 1, self._length(box.bottom) - 1
        return (left, top, right, bottom) if right >= left and bottom >= top else None


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(max(size, 6))
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType: install a wheel of Pillow from PyPI")
    # The basic layout is in every build; Raqm is not, and places some letters elsewhere.
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)
