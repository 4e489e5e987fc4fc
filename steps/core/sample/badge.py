"""The positive concept: a many-pointed starburst with a percent sign in it."""

import math

from steps.core.sample.apps import Colour
from steps.core.sample.canvas import Canvas, Point
from steps.core.sample.dice import Dice

_FEWEST_POINTS, _MOST_POINTS = 11, 13


def draw_badge(
    canvas: Canvas, centre: Point, radius: float, colours: tuple[Colour, Colour, Colour], dice: Dice
) -> None:
    """Draw a sale badge; `colours` are the fill, the sign on it and the edge around it."""
    fill, ink, edge = colours
    points = dice.whole(_FEWEST_POINTS, _MOST_POINTS)
    depth = dice.between(0.6, 0.67)
    turn = dice.between(0, 1)
    canvas.polygon(_starburst(centre, radius, points, depth, turn), edge)
    canvas.polygon(_starburst(centre, radius * 0.88, points, depth, turn), fill)
    draw_percent(canvas, centre, radius * dice.between(0.36, 0.41), ink, dice.between(-0.25, 0.25))


def draw_percent(canvas: Canvas, centre: Point, size: float, ink: Colour, tilt: float) -> None:
    """Draw a bold percent sign within a circle of radius `size` dp, turned by `tilt` radians."""

    def at(x: float, y: float) -> Point:
        sine, cosine = math.sin(tilt), math.cos(tilt)
        return centre[0] + size * (x * cosine - y * sine), centre[1] + size * (x * sine + y * cosine)

    canvas.polygon([at(0.4, -0.85), at(0.68, -0.85), at(-0.4, 0.85), at(-0.68, 0.85)], ink)
    for x, y in ((-0.56, -0.42), (0.56, 0.42)):
        canvas.arc(at(x, y), size * 0.43, (0, 360), ink, size * 0.22)


def _starburst(centre: Point, radius: float, points: int, depth: float, turn: float) -> list[Point]:
    x, y = centre
    corners = []
    for corner in range(2 * points):
        angle = math.pi * (corner + 2 * turn) / points
        length = radius * (depth if corner % 2 else 1)
        corners.append((x + length * math.cos(angle), y + length * math.sin(angle)))
    return corners
