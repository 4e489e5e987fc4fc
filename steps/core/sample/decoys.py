"""Decoys of the sale badge: round, toothed, starry or with a percent sign, but never a starburst with one."""

import math
from collections.abc import Callable

from steps.core.sample.apps import Colour
from steps.core.sample.badge import draw_percent
from steps.core.sample.canvas import Box, Canvas, Point
from steps.core.sample.dice import Dice

Colours = tuple[Colour, Colour, Colour]
Drawing = Callable[[Canvas, Point, float, Colours, Dice], None]


def _avatar(canvas: Canvas, centre: Point, radius: float, colours: Colours, dice: Dice) -> None:
    fill, ink, edge = colours
    canvas.disc(centre, radius, edge)
    canvas.disc(centre, radius * 0.93, fill)
    initials = dice.pick("ABCDEHJKLMNRST") + dice.pick("ABCDEHJKLMNRST")
    canvas.text(centre, initials, radius * 0.8, ink, "mm")


def _percent_disc(canvas: Canvas, centre: Point, radius: float, colours: Colours, dice: Dice) -> None:
    fill, ink, edge = colours
    canvas.disc(centre, radius, edge)
    canvas.disc(centre, radius * 0.93, fill)
    draw_percent(canvas, centre, radius * dice.between(0.4, 0.5), ink, dice.between(-0.25, 0.25))


def _progress(canvas: Canvas, centre: Point, radius: float, colours: Colours, dice: Dice) -> None:
    fill, ink, edge = colours
    share = dice.whole(8, 96)
    canvas.disc(centre, radius, fill)
    canvas.arc(centre, radius * 0.9, (0, 360), edge, radius * 0.16)
    canvas.arc(centre, radius * 0.9, (-90, -90 + 3.6 * share), ink, radius * 0.16)
    canvas.text(centre, f"{share}%", radius * 0.55, ink, "mm")


def _percent_text(canvas: Canvas, centre: Point, radius: float, colours: Colours, dice: Dice) -> None:
    fill, ink, edge = colours
    (x, y), half = centre, radius * 0.55
    canvas.rectangle(Box(x - radius, y - half, x + radius, y + half), edge, radius * 0.2)
    canvas.rectangle(Box(x - radius, y - half, x + radius, y + half).inset(radius * 0.05), fill, radius * 0.17)
    canvas.text(centre, f"{dice.whole(5, 99)}%", radius * 0.8, ink, "mm")


def _gear(canvas: Canvas, centre: Point, radius: float, colours: Colours, dice: Dice) -> None:
    fill, _, edge = colours
    teeth, turn = dice.whole(6, 8), dice.between(0, 1)
    canvas.polygon(_toothed(centre, radius, teeth, turn), fill)
    canvas.disc(centre, radius * 0.78, fill)
    canvas.disc(centre, radius * dice.between(0.3, 0.42), edge)


def _sun(canvas: Canvas, centre: Point, radius: float, colours: Colours, dice: Dice) -> None:
    fill, _, _ = colours
    rays, turn = dice.whole(8, 12), dice.between(0, 1)
    for ray in range(rays):
        angle = 2 * math.pi * (ray + turn) / rays
        x, y = math.cos(angle), math.sin(angle)
        inner, outer = radius * 0.74, radius * 0.98
        start = (centre[0] + inner * x, centre[1] + inner * y)
        canvas.line([start, (centre[0] + outer * x, centre[1] + outer * y)], fill, radius * 0.1)
    canvas.disc(centre, radius * 0.6, fill)


def _star(canvas: Canvas, centre: Point, radius: float, colours: Colours, dice: Dice) -> None:
    fill, _, edge = colours
    turn = dice.between(-0.1, 0.1)
    for size, paint in ((1.0, edge), (0.88, fill)):
        corners = []
        for corner in range(10):
            angle = math.pi * (corner / 5 - 0.5) + turn
            length = radius * size * (0.45 if corner % 2 else 1)
            corners.append((centre[0] + length * math.cos(angle), centre[1] + length * math.sin(angle)))
        canvas.polygon(corners, paint)


def _flower(canvas: Canvas, centre: Point, radius: float, colours: Colours, dice: Dice) -> None:
    fill, ink, _ = colours
    petals, turn = dice.whole(5, 8), dice.between(0, 1)
    for petal in range(petals):
        angle = 2 * math.pi * (petal + turn) / petals
        place = (centre[0] + radius * 0.64 * math.cos(angle), centre[1] + radius * 0.64 * math.sin(angle))
        canvas.disc(place, radius * 0.35, fill)
    canvas.disc(centre, radius * 0.5, fill)
    canvas.disc(centre, radius * 0.3, ink)


def _toothed(centre: Point, radius: float, teeth: int, turn: float) -> list[Point]:
    corners = []
    for tooth in range(teeth):
        for length, shift in ((0.74, -0.3), (1.0, -0.2), (1.0, 0.2), (0.74, 0.3)):
            angle = 2 * math.pi * (tooth + turn + shift) / teeth
            corners.append(
                (centre[0] + radius * length * math.cos(angle), centre[1] + radius * length * math.sin(angle))
            )
    return corners


DECOYS: dict[str, Drawing] = {
    "avatar": _avatar,
    "percent-disc": _percent_disc,
    "progress": _progress,
    "percent-text": _percent_text,
    "gear": _gear,
    "sun": _sun,
    "star": _star,
    "flower": _flower,
}
