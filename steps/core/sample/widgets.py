"""The parts that screens share: bars, avatars, icons, photos, switches."""

from PIL import Image

from steps.core.sample.apps import Colour, Look, colour, ink_on, mix
from steps.core.sample.canvas import Box, Canvas, Point, star
from steps.core.sample.dice import Dice

STATUS_BAR = 24
TOP_BAR = 52
_NAVIGATION = {"gesture": 18, "buttons": 40, "tabs": 52}


def status_bar(canvas: Canvas, look: Look, dice: Dice) -> None:
    """Draw the clock, the signal and the battery, whose charge is often written as a percentage."""
    y = STATUS_BAR / 2
    canvas.text((14, y), f"{dice.whole(0, 23)}:{dice.whole(0, 59):02d}", 12, look.ink, "lm")
    right, charge = canvas.width - 14, dice.whole(4, 100)
    canvas.rectangle(Box(right - 20, y - 5, right, y + 5), look.muted, 2)
    canvas.rectangle(Box(right - 20, y - 5, right - 20 + charge / 5, y + 5), look.ink, 2)
    if dice.chance(0.6):
        canvas.text((right - 26, y), f"{charge}%", 11, look.ink, "rm")
    for bar in range(4):
        left = right - 80 + bar * 5
        canvas.rectangle(Box(left, y + 3 - bar * 2.5, left + 3, y + 5), look.ink)


def top_bar(canvas: Canvas, look: Look, dice: Dice) -> float:
    """Draw the app's bar with a title; return where the content starts."""
    bottom = STATUS_BAR + TOP_BAR
    coloured = dice.chance(0.4)
    ground = look.accent if coloured else look.ground
    ink = ink_on(ground) if coloured else look.ink
    canvas.rectangle(Box(0, STATUS_BAR, canvas.width, bottom), ground)
    y = STATUS_BAR + TOP_BAR / 2
    for row in (-6, 0, 6):
        canvas.rectangle(Box(16, y + row - 1, 34, y + row + 1), ink)
    canvas.text((50, y), dice.phrase(dice.whole(1, 2)), 19, ink, "lm")
    icon(canvas, (canvas.width - 26, y), 10, ink, dice)
    return bottom


def navigation_bar(canvas: Canvas, look: Look, kind: str, dice: Dice) -> float:
    """Draw the system's or the app's navigation; return where the content ends."""
    height = _NAVIGATION[kind]
    top, middle = canvas.height - height, canvas.width / 2
    canvas.rectangle(Box(0, top, canvas.width, canvas.height), look.surface)
    y = top + height / 2
    if kind == "gesture":
        canvas.rectangle(Box(middle - 55, y - 2, middle + 55, y + 2), look.muted, 2)
    elif kind == "buttons":
        canvas.polygon([(middle - 88, y), (middle - 74, y - 8), (middle - 74, y + 8)], look.muted)
        canvas.arc((middle, y), 8, (0, 360), look.muted, 2)
        canvas.rectangle(Box(middle + 74, y - 7, middle + 88, y + 7), look.muted, 2)
    else:
        chosen = dice.whole(0, 3)
        for tab in range(4):
            ink = look.accent if tab == chosen else look.muted
            icon(canvas, (canvas.width * (tab + 0.5) / 4, y - 6), 9, ink, dice)
            canvas.text((canvas.width * (tab + 0.5) / 4, y + 14), dice.phrase(1), 10, ink, "mm")
    return top


def icon(canvas: Canvas, centre: Point, radius: float, ink: Colour, dice: Dice) -> None:
    """Draw one of a few small flat icons."""
    x, y = centre
    match dice.whole(0, 5):
        case 0:
            canvas.arc(centre, radius * 0.8, (0, 360), ink, radius * 0.25)
            canvas.line([(x + radius * 0.5, y + radius * 0.5), (x + radius, y + radius)], ink, radius * 0.25)
        case 1:
            canvas.polygon([(x - radius, y), (x, y - radius), (x + radius, y)], ink)
            canvas.rectangle(Box(x - radius * 0.7, y, x + radius * 0.7, y + radius), ink)
        case 2:
            for dot in (-0.8, 0, 0.8):
                canvas.disc((x, y + dot * radius), radius * 0.22, ink)
        case 3:
            canvas.disc((x, y - radius * 0.4), radius * 0.45, ink)
            canvas.rectangle(Box(x - radius * 0.8, y + radius * 0.2, x + radius * 0.8, y + radius), ink, radius * 0.5)
        case 4:
            canvas.line([(x - radius, y), (x - radius * 0.2, y + radius * 0.7), (x + radius, y - radius * 0.7)], ink, 2)
        case _:
            canvas.rectangle(Box(x - radius, y - radius * 0.7, x + radius, y + radius * 0.7), ink, radius * 0.3)


def avatar(canvas: Canvas, centre: Point, radius: float, look: Look, dice: Dice) -> None:
    fill = dice.pick((look.accent, look.second, colour(dice.between(0, 1), 0.5, 0.8)))
    canvas.disc(centre, radius, fill)
    canvas.text(centre, dice.phrase(1)[0], radius, ink_on(fill), "mm")


def switch(canvas: Canvas, right: float, y: float, look: Look, dice: Dice) -> None:
    on = dice.chance(0.5)
    canvas.rectangle(Box(right - 38, y - 10, right, y + 10), look.accent if on else look.line, 10)
    canvas.disc((right - 10 if on else right - 28, y), 7.5, (250, 250, 250))


def stars(canvas: Canvas, left: float, y: float, ink: Colour, dice: Dice) -> None:
    """Draw a rating of five small five-pointed stars, some of them given."""
    given = dice.whole(2, 5)
    for number in range(5):
        corners = star((left + 7 + number * 14, y), 5, 6, 2.6, -2.5)
        canvas.polygon(corners, ink if number < given else mix(ink, (128, 128, 128), 0.7))


def photo(canvas: Canvas, box: Box, look: Look, dice: Dice) -> None:
    """Draw a picture: a landscape, a disc before a gradient, or coarse noise."""
    hue = dice.between(0, 1)
    sky = colour(hue, dice.between(0.2, 0.8), dice.between(0.45, 1))
    low = dice.pick((look.accent, look.second, colour(hue + 0.4, dice.between(0.2, 0.8), dice.between(0.3, 0.9))))
    match dice.whole(0, 7):
        case 0:
            _noise(canvas, box, sky, low, dice)
        case 1 | 2:
            canvas.gradient(box, sky, low)
            size = min(box.width, box.height) * dice.between(0.1, 0.3)
            canvas.disc(box.middle, size, mix(sky, (255, 255, 255), 0.6))
        case _:
            canvas.gradient(box, sky, mix(sky, (255, 255, 255), 0.5))
            for ridge in range(2):
                _ridge(canvas, box, mix(low, (20, 20, 30), 0.35 * ridge), 0.35 + 0.25 * ridge, dice)


def _ridge(canvas: Canvas, box: Box, fill: Colour, depth: float, dice: Dice) -> None:
    steps = dice.whole(2, 5)
    points = [(box.left, box.bottom)]
    for step in range(steps + 1):
        y = box.top + box.height * min(0.95, depth + dice.between(-0.2, 0.25))
        points.append((box.left + box.width * step / steps, y))
    canvas.polygon([*points, (box.right, box.bottom)], fill)


def _noise(canvas: Canvas, box: Box, first: Colour, second: Colour, dice: Dice) -> None:
    side = 14
    cells = [mix(first, second, row / side * 0.7 + dice.between(0, 0.3)) for row in range(side) for _ in range(side)]
    picture = Image.new("RGB", (side, side))
    picture.putdata(cells)
    canvas.paste(picture, box)
