"""Plain things where other screens show a badge or its decoy, as large and as colourful: most negatives have them."""

from steps.core.sample.apps import mix
from steps.core.sample.canvas import Box, Canvas, Point
from steps.core.sample.decoys import Colours, Drawing
from steps.core.sample.dice import Dice
from steps.core.sample.words import phrase


def _button(canvas: Canvas, centre: Point, radius: float, colours: Colours, dice: Dice) -> None:
    fill, ink, edge = colours
    (x, y), wide, high = centre, radius * dice.between(0.9, 1), radius * dice.between(0.6, 0.95)
    outer, corner = Box(x - wide, y - high, x + wide, y + high), radius * dice.between(0, 0.5)
    canvas.rectangle(outer, edge, corner)
    canvas.rectangle(outer.inset(radius * 0.06), fill, corner)
    canvas.text(centre, phrase(dice, 1), radius * 0.4, ink, "mm")


def _bars(canvas: Canvas, centre: Point, radius: float, colours: Colours, dice: Dice) -> None:
    fill, ink, edge = colours
    (x, y), count = centre, dice.whole(4, 7)
    canvas.rectangle(Box(x - radius, y - radius, x + radius, y + radius * 0.9), mix(fill, edge, 0.5), radius * 0.12)
    step = 1.8 * radius / count
    for bar in range(count):
        left, height = x - 0.9 * radius + bar * step, radius * dice.between(0.3, 1.6)
        canvas.rectangle(Box(left, y + radius * 0.8 - height, left + step * 0.7, y + radius * 0.8), fill)
    canvas.line([(x - radius * 0.9, y + radius * 0.8), (x + radius * 0.9, y + radius * 0.8)], ink, 1.5)


def _picture(canvas: Canvas, centre: Point, radius: float, colours: Colours, dice: Dice) -> None:
    fill, ink, edge = colours
    (x, y), half = centre, radius * 0.9
    canvas.gradient(Box(x - half, y - half, x + half, y + half), mix(fill, ink, 0.3), fill)
    for peak in (-0.4, 0.45):
        top = y + half * dice.between(-0.5, 0.2)
        left, right = x + half * (peak - 0.5), x + half * (peak + 0.5)
        canvas.polygon([(left, y + half), (x + half * peak, top), (right, y + half)], mix(fill, edge, 0.6))


def _stripes(canvas: Canvas, centre: Point, radius: float, colours: Colours, dice: Dice) -> None:
    fill, ink, edge = colours
    (x, y), rows = centre, dice.whole(2, 4)
    step = 1.8 * radius / rows
    for row in range(rows):
        top = y - 0.9 * radius + row * step
        length = radius * dice.between(1.2, 2)
        canvas.rectangle(Box(x - radius, top, x + radius, top + step * 0.8), edge, step * 0.2)
        canvas.rectangle(Box(x - radius, top, x - radius + length, top + step * 0.8), fill, step * 0.2)
        canvas.text((x - radius * 0.9, top + step * 0.4), phrase(dice, 1), step * 0.35, ink, "lm")


def _bubble(canvas: Canvas, centre: Point, radius: float, colours: Colours, dice: Dice) -> None:
    fill, ink, _ = colours
    (x, y), high = centre, radius * 0.75
    canvas.rectangle(Box(x - radius, y - high, x + radius, y + high), fill, radius * 0.25)
    canvas.polygon([(x - radius * 0.7, y + high), (x - radius * 0.3, y + high), (x - radius * 0.7, y + radius)], fill)
    canvas.paragraph(Box(x - radius, y - high, x + radius, y + high).inset(radius * 0.16), phrase(dice, 6), 13, ink)


PLAIN: dict[str, Drawing] = {
    "button": _button, "bars": _bars, "picture": _picture, "stripes": _stripes, "bubble": _bubble,
}  # fmt: skip
