"""One screen of the sample: what is on it, where, and the drawing of it."""

import math
from dataclasses import dataclass

from PIL import Image

from steps.core.sample.apps import DEVICES, App, Colour, Look, colour, ink_on, mix
from steps.core.sample.canvas import SHORT_SIDE_DP, Box, Canvas, Point
from steps.core.sample.dice import Dice
from steps.core.sample.layouts import LAYOUTS
from steps.core.sample.objects import DECOYS, PLAIN, Spot, draw_badge
from steps.core.sample.widgets import navigation_bar, photo, status_bar, top_bar
from steps.core.tiles.tiling import plan_squares

BADGE = "badge"
# Two positives in every five screens of an app: 40 %, and both classes from five screens on.
BLOCK, POSITIVES_A_BLOCK = 5, 2
_DECOYS_AMONG_NEGATIVES = 0.25
# Diameter over the short side: below the least, the points are lost in a tile of 96 pixels.
_SMALLEST, _LARGEST = 0.32, 0.44
_ON_A_CARD = 0.7
_MARGIN = 4
_TRIES = 50
# Sum of the differences in red, green and blue.
_LEAST_CONTRAST = 170
_NARROWEST_TEXT = 48


@dataclass(frozen=True, slots=True)
class Scene:
    """A screen before it is drawn; `centres` and `radius` place its main object, in dp.

    A screen shows its object once or more, so that every tile shows one whole: the labels of tiles are then as true as
    those of screens.
    """

    seed: int
    app: App
    screen: int
    width: int
    height: int
    device: str
    theme: str
    family: str
    main: str
    centres: tuple[Point, ...]
    radius: float

    @property
    def promotion(self) -> int:
        return int(self.main == BADGE)


def plan_scene(seed: int, app: App, screen: int, size: tuple[int, int] | None = None) -> Scene:
    """Decide a screen of an app; nothing else has a say in it, so screens can be drawn in any order.

    `size`, (width, height) in pixels, takes the place of the device's that the dice would pick.
    """
    block = Dice(seed, app.number, screen // BLOCK, 1)
    positive = screen % BLOCK in block.shuffled(range(BLOCK))[:POSITIVES_A_BLOCK]
    dice = Dice(seed, app.number, screen, 2)
    (width, height), device = dice.pick(DEVICES)
    if size:
        (width, height), device = size, f"{size[0]}x{size[1]}"
    decoy = dice.pick(list(DECOYS)) if dice.chance(_DECOYS_AMONG_NEGATIVES) else dice.pick(list(PLAIN))
    radius = SHORT_SIDE_DP * dice.between(_SMALLEST, _LARGEST) / 2
    return Scene(
        seed=seed,
        app=app,
        screen=screen,
        width=width,
        height=height,
        device=device,
        theme=app.theme(dice),
        family=app.screen_family(dice),
        main=BADGE if positive else decoy,
        centres=_centres(width, height, radius, dice),
        radius=radius,
    )


def _centres(width: int, height: int, radius: float, dice: Dice) -> tuple[Point, ...]:
    """Place an object anywhere inside each tile that does not yet show one whole; objects do not overlap."""
    low, high = radius + _MARGIN, SHORT_SIDE_DP - radius - _MARGIN
    centres: list[Point] = []
    for tile in plan_squares(width, height):
        left, top = (side * SHORT_SIDE_DP / tile.width for side in (tile.left, tile.top))
        if any(left + low <= x <= left + high and top + low <= y <= top + high for x, y in centres):
            continue
        for _ in range(_TRIES):
            centre = (left + dice.between(low, high), top + dice.between(low, high))
            if all(math.dist(centre, other) > 2 * (radius + _MARGIN) for other in centres):
                centres.append(centre)
                break
    return tuple(centres)


def draw_scene(scene: Scene) -> Image.Image:
    """Draw a screen in RGB at the device's size."""
    dice = Dice(scene.seed, scene.app.number, scene.screen, 3)
    look = scene.app.dark if scene.theme == "dark" else scene.app.light
    canvas = Canvas(scene.width, scene.height, look.ground)
    bottom = navigation_bar(canvas, look, scene.app.navigation, dice)
    top = top_bar(canvas, look, dice)
    LAYOUTS[scene.family](canvas, Box(0, top, canvas.width, bottom), look, dice)
    status_bar(canvas, look, dice)
    draw = draw_badge if scene.promotion else {**DECOYS, **PLAIN}[scene.main]
    # All cards first: a later one must not hide an earlier object.
    grounds = [
        _card(canvas, centre, scene.radius, look, dice) if dice.chance(_ON_A_CARD) else look.ground
        for centre in scene.centres
    ]
    for centre, behind in zip(scene.centres, grounds, strict=True):
        draw(Spot(canvas, centre, scene.radius, *_colours(behind, look, dice), dice))
    return canvas.finish()


def _card(canvas: Canvas, centre: Point, radius: float, look: Look, dice: Dice) -> Colour:
    """Draw the card that holds the main object, with text beside it; return the colour behind the object."""
    x, y = centre
    reach = radius + dice.between(6, 16)
    left = max(0.0, x - reach - dice.between(0, 160))
    right = min(canvas.width, x + reach + dice.between(0, 160))
    card = Box(left, y - reach, right, y + reach)
    canvas.rectangle(card, look.line, look.radius)
    inside = card.inset(1.5)
    ground = dice.pick((look.surface, look.surface, look.accent, look.second, mix(look.surface, look.accent, 0.25)))
    if dice.chance(0.25):
        photo(canvas, inside, look, dice)
        return ground
    canvas.rectangle(inside, ground, look.radius)
    for text in (
        Box(x + reach, card.top + 14, right - 10, card.bottom - 10),
        Box(left + 12, card.top + 14, x - reach, card.bottom - 10),
    ):
        if text.width > _NARROWEST_TEXT:
            below = canvas.paragraph(text, dice.phrase(2), 16, ink_on(ground))
            canvas.paragraph(Box(text.left, below + 4, text.right, text.bottom), dice.phrase(8), 11, ink_on(ground))
    return ground


def _colours(behind: Colour, look: Look, dice: Dice) -> tuple[Colour, Colour, Colour]:
    """Return a fill that stands out from what is behind it, the ink on it, and an edge between the two."""
    fill = dice.pick((look.accent, look.second))
    for _ in range(8):
        if sum(abs(a - b) for a, b in zip(fill, behind, strict=True)) >= _LEAST_CONTRAST:
            break
        fill = colour(dice.between(0, 1), dice.between(0.5, 0.95), dice.between(0.5, 1))
    return fill, ink_on(fill), mix(fill, ink_on(fill), dice.between(0.75, 1))
