"""The apps of the sample: how each one looks, on which devices, in which theme."""

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass

from steps.core.sample.dice import Dice

Colour = tuple[int, int, int]

FAMILIES = ("list", "feed", "chat", "settings", "map", "calendar", "dashboard", "reader", "media", "weather")
BRANDS = (
    "amber", "birch", "cobalt", "delta", "ember", "fjord", "grove", "harbor", "indigo", "juniper", "kite", "lumen",
    "maple", "nimbus", "onyx", "pine", "quartz", "raven", "sierra", "tundra", "umber", "violet", "willow", "zephyr",
)  # fmt: skip
APPS = len(FAMILIES) * len(BRANDS)
# What the labels of the sample's screenshots give as their source.
SOURCE = "sample"

# Width and height in pixels of real devices scaled down, and weights; the last three make 10 % landscape.
_DEVICES = (
    ((270, 480), "phone-16x9-small", 3), ((270, 600), "phone-20x9", 6), ((288, 640), "phone-20x9-large", 6),
    ((360, 640), "phone-16x9", 6), ((384, 512), "tablet-4x3", 2), ((360, 576), "tablet-16x10", 1),
    ((640, 360), "phone-landscape", 1), ((600, 270), "phone-20x9-landscape", 1), ((512, 384), "tablet-landscape", 1),
)  # fmt: skip
DEVICES = tuple((size, name) for size, name, weight in _DEVICES for _ in range(weight))

_SWITCHED_THEME = 0.2
_OTHER_FAMILY = 0.35


@dataclass(frozen=True, slots=True)
class Look:
    """Colours (RGB, 0 to 255) and the corner radius (dp) of an app in one theme."""

    ground: Colour
    surface: Colour
    line: Colour
    ink: Colour
    muted: Colour
    accent: Colour
    second: Colour
    radius: float


@dataclass(frozen=True, slots=True)
class App:
    """One app of the sample; `number` counts from 0 to APPS - 1."""

    number: int
    name: str
    family: str
    light: Look
    dark: Look
    prefers_dark: bool
    navigation: str

    def theme(self, dice: Dice) -> str:
        """Return `light` or `dark`: mostly the app's own, sometimes the other, as users switch."""
        return "dark" if self.prefers_dark != dice.chance(_SWITCHED_THEME) else "light"

    def screen_family(self, dice: Dice) -> str:
        """Return the layout family of a screen: mostly the app's own, as every app also has lists and settings."""
        return dice.pick(FAMILIES) if dice.chance(_OTHER_FAMILY) else self.family


def app_name(number: int) -> str:
    return f"{BRANDS[number // len(FAMILIES)]}-{FAMILIES[number % len(FAMILIES)]}"


def are_drawn(sources: Iterable[object], groups: Iterable[object]) -> bool:
    """Tell by their sources and groups whether screenshots are the sample's, all of them."""
    return set(sources) == {SOURCE} and set(groups) <= set(map(app_name, range(APPS)))


def colour(hue: float, saturation: float, value: float) -> Colour:
    """Return the RGB colour of a hue in turns, a saturation and a value in 0 to 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return `first` with a share (0 to 1) of `second` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def ink_on(value: Colour) -> Colour:
    """Return the colour of a text that can be read on `value`, by its luma (ITU-R BT.601)."""
    luma, middle = 0.299 * value[0] + 0.587 * value[1] + 0.114 * value[2], 150
    return (28, 28, 32) if luma > middle else (255, 255, 255)


def make_app(seed: int, number: int) -> App:
    """Return app `number` of the sample with this seed."""
    dice = Dice(seed, number)
    hue = dice.between(0, 1)
    other = hue + dice.pick((0.08, 0.33, 0.5, 0.62))
    radius = dice.pick((0, 4, 8, 12, 18, 24))
    family = FAMILIES[number % len(FAMILIES)]
    return App(
        number=number,
        name=app_name(number),
        family=family,
        light=_light(dice, hue, other, radius),
        dark=_dark(dice, hue, other, radius),
        prefers_dark=dice.chance(0.35),
        navigation=dice.pick(("gesture", "buttons", "tabs")),
    )


def _light(dice: Dice, hue: float, other: float, radius: float) -> Look:
    return Look(
        ground=colour(hue, dice.between(0, 0.08), dice.between(0.93, 1)),
        surface=colour(hue, dice.between(0, 0.05), dice.between(0.97, 1)),
        line=colour(hue, 0.06, dice.between(0.8, 0.88)),
        ink=colour(hue, 0.3, dice.between(0.08, 0.2)),
        muted=colour(hue, 0.12, dice.between(0.45, 0.6)),
        accent=colour(hue, dice.between(0.55, 0.95), dice.between(0.55, 0.95)),
        second=colour(other, dice.between(0.5, 0.9), dice.between(0.6, 0.95)),
        radius=radius,
    )


def _dark(dice: Dice, hue: float, other: float, radius: float) -> Look:
    return Look(
        ground=colour(hue, dice.between(0, 0.35), dice.between(0.04, 0.13)),
        surface=colour(hue, dice.between(0, 0.3), dice.between(0.14, 0.2)),
        line=colour(hue, 0.2, dice.between(0.24, 0.3)),
        ink=colour(hue, 0.04, dice.between(0.88, 0.97)),
        muted=colour(hue, 0.1, dice.between(0.55, 0.66)),
        accent=colour(hue, dice.between(0.45, 0.8), dice.between(0.7, 0.98)),
        second=colour(other, dice.between(0.4, 0.8), dice.between(0.65, 0.95)),
        radius=radius,
    )
