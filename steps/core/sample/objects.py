"""The main objects of screens: the sale badge, its decoys, and plain things as large and as colourful.

The badge, the positive concept, is a many-pointed starburst with a percent sign in it. A decoy is round, toothed,
starry or with a percent sign, but never a starburst with one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from steps.core.sample.apps import Colour, mix
from steps.core.sample.canvas import Box, Canvas, Point, polar, star
from steps.core.sample.dice import Dice


@dataclass(frozen=True, slots=True)
class Spot:
    """A place for an object on a canvas, lengths in dp; `ink` stands out from the fill, `edge` goes around it."""

    canvas: Canvas
    centre: Point
    radius: float
    fill: Colour
    ink: Colour
    edge: Colour
    dice: Dice

    def box(self, wide: float, high: float) -> Box:
        """Return the box that reaches so many radii from the centre."""
        return Box.around(self.centre, self.radius * wide, self.radius * high)

    def text(self, text: str, size: float) -> None:
        """Write a line into the middle; `size` in radii."""
        self.canvas.text(self.centre, text, self.radius * size, self.ink, "mm")


Drawing = Callable[[Spot], None]


def draw_badge(spot: Spot) -> None:
    points = spot.dice.whole(11, 13)
    depth, turn = spot.dice.between(0.6, 0.67), spot.dice.between(0, 1)
    for radius, paint in ((spot.radius, spot.edge), (spot.radius * 0.88, spot.fill)):
        spot.canvas.polygon(star(spot.centre, points, radius, radius * depth, 2 * turn), paint)
    _percent_sign(spot, spot.dice.between(0.36, 0.41))


def _percent_sign(spot: Spot, size: float) -> None:
    """Draw a bold percent sign, a little turned, within a circle of `size` radii."""
    length, tilt = spot.radius * size, spot.dice.between(-0.25, 0.25)
    sine, cosine = math.sin(tilt), math.cos(tilt)

    def at(x: float, y: float) -> Point:
        return spot.centre[0] + length * (x * cosine - y * sine), spot.centre[1] + length * (x * sine + y * cosine)

    spot.canvas.polygon([at(0.4, -0.85), at(0.68, -0.85), at(-0.4, 0.85), at(-0.68, 0.85)], spot.ink)
    for x, y in ((-0.56, -0.42), (0.56, 0.42)):
        spot.canvas.arc(at(x, y), length * 0.43, (0, 360), spot.ink, length * 0.22)


def _disc(spot: Spot) -> None:
    spot.canvas.disc(spot.centre, spot.radius, spot.edge)
    spot.canvas.disc(spot.centre, spot.radius * 0.93, spot.fill)


def _avatar(spot: Spot) -> None:
    _disc(spot)
    spot.text(spot.dice.pick("ABCDEHJKLMNRST") + spot.dice.pick("ABCDEHJKLMNRST"), 0.8)


def _percent_disc(spot: Spot) -> None:
    _disc(spot)
    _percent_sign(spot, spot.dice.between(0.4, 0.5))


def _progress(spot: Spot) -> None:
    share, reach, width = spot.dice.whole(8, 96), spot.radius * 0.9, spot.radius * 0.16
    spot.canvas.disc(spot.centre, spot.radius, spot.fill)
    spot.canvas.arc(spot.centre, reach, (0, 360), spot.edge, width)
    spot.canvas.arc(spot.centre, reach, (-90, -90 + 3.6 * share), spot.ink, width)
    spot.text(f"{share}%", 0.55)


def _percent_text(spot: Spot) -> None:
    outer = spot.box(1, 0.55)
    spot.canvas.rectangle(outer, spot.edge, spot.radius * 0.2)
    spot.canvas.rectangle(outer.inset(spot.radius * 0.05), spot.fill, spot.radius * 0.17)
    spot.text(f"{spot.dice.whole(5, 99)}%", 0.8)


def _gear(spot: Spot) -> None:
    teeth, turn = spot.dice.whole(6, 8), spot.dice.between(0, 1)
    corners = [
        polar(spot.centre, spot.radius * length, 2 * math.pi * (tooth + turn + shift) / teeth)
        for tooth in range(teeth)
        for length, shift in ((0.74, -0.3), (1.0, -0.2), (1.0, 0.2), (0.74, 0.3))
    ]
    spot.canvas.polygon(corners, spot.fill)
    spot.canvas.disc(spot.centre, spot.radius * 0.78, spot.fill)
    spot.canvas.disc(spot.centre, spot.radius * spot.dice.between(0.3, 0.42), spot.edge)


def _sun(spot: Spot) -> None:
    rays, turn = spot.dice.whole(8, 12), spot.dice.between(0, 1)
    for ray in range(rays):
        ends = [polar(spot.centre, spot.radius * reach, 2 * math.pi * (ray + turn) / rays) for reach in (0.74, 0.98)]
        spot.canvas.line(ends, spot.fill, spot.radius * 0.1)
    spot.canvas.disc(spot.centre, spot.radius * 0.6, spot.fill)


def _star(spot: Spot) -> None:
    turn = 5 * (spot.dice.between(-0.1, 0.1) / math.pi - 0.5)
    for radius, paint in ((spot.radius, spot.edge), (spot.radius * 0.88, spot.fill)):
        spot.canvas.polygon(star(spot.centre, 5, radius, radius * 0.45, turn), paint)


def _flower(spot: Spot) -> None:
    petals, turn = spot.dice.whole(5, 8), spot.dice.between(0, 1)
    for petal in range(petals):
        middle = polar(spot.centre, spot.radius * 0.64, 2 * math.pi * (petal + turn) / petals)
        spot.canvas.disc(middle, spot.radius * 0.35, spot.fill)
    spot.canvas.disc(spot.centre, spot.radius * 0.5, spot.fill)
    spot.canvas.disc(spot.centre, spot.radius * 0.3, spot.ink)


def _button(spot: Spot) -> None:
    outer = spot.box(spot.dice.between(0.9, 1), spot.dice.between(0.6, 0.95))
    corner = spot.radius * spot.dice.between(0, 0.5)
    spot.canvas.rectangle(outer, spot.edge, corner)
    spot.canvas.rectangle(outer.inset(spot.radius * 0.06), spot.fill, corner)
    spot.text(spot.dice.phrase(1), 0.4)


def _bars(spot: Spot) -> None:
    (x, y), radius, count = spot.centre, spot.radius, spot.dice.whole(4, 7)
    ground = Box(x - radius, y - radius, x + radius, y + radius * 0.9)
    spot.canvas.rectangle(ground, mix(spot.fill, spot.edge, 0.5), radius * 0.12)
    step, bottom = 1.8 * radius / count, y + radius * 0.8
    for bar in range(count):
        left, height = x - 0.9 * radius + bar * step, radius * spot.dice.between(0.3, 1.6)
        spot.canvas.rectangle(Box(left, bottom - height, left + step * 0.7, bottom), spot.fill)
    spot.canvas.line([(x - radius * 0.9, bottom), (x + radius * 0.9, bottom)], spot.ink, 1.5)


def _picture(spot: Spot) -> None:
    (x, y), half = spot.centre, spot.radius * 0.9
    spot.canvas.gradient(spot.box(0.9, 0.9), mix(spot.fill, spot.ink, 0.3), spot.fill)
    for peak in (-0.4, 0.45):
        top = y + half * spot.dice.between(-0.5, 0.2)
        left, right = x + half * (peak - 0.5), x + half * (peak + 0.5)
        corners = [(left, y + half), (x + half * peak, top), (right, y + half)]
        spot.canvas.polygon(corners, mix(spot.fill, spot.edge, 0.6))


def _stripes(spot: Spot) -> None:
    (x, y), radius, rows = spot.centre, spot.radius, spot.dice.whole(2, 4)
    step, left = 1.8 * radius / rows, x - radius
    for row in range(rows):
        top = y - 0.9 * radius + row * step
        length = radius * spot.dice.between(1.2, 2)
        spot.canvas.rectangle(Box(left, top, x + radius, top + step * 0.8), spot.edge, step * 0.2)
        spot.canvas.rectangle(Box(left, top, left + length, top + step * 0.8), spot.fill, step * 0.2)
        place = (x - radius * 0.9, top + step * 0.4)
        spot.canvas.text(place, spot.dice.phrase(1), step * 0.35, spot.ink, "lm")


def _bubble(spot: Spot) -> None:
    (x, y), radius, high = spot.centre, spot.radius, spot.radius * 0.75
    bubble = spot.box(1, 0.75)
    spot.canvas.rectangle(bubble, spot.fill, radius * 0.25)
    tail = [(x - radius * 0.7, y + high), (x - radius * 0.3, y + high), (x - radius * 0.7, y + radius)]
    spot.canvas.polygon(tail, spot.fill)
    spot.canvas.paragraph(bubble.inset(radius * 0.16), spot.dice.phrase(6), 13, spot.ink)


DECOYS: dict[str, Drawing] = {
    "avatar": _avatar, "percent-disc": _percent_disc, "progress": _progress, "percent-text": _percent_text,
    "gear": _gear, "sun": _sun, "star": _star, "flower": _flower,
}  # fmt: skip
# What most negatives show.
PLAIN: dict[str, Drawing] = {
    "button": _button, "bars": _bars, "picture": _picture, "stripes": _stripes, "bubble": _bubble,
}  # fmt: skip
