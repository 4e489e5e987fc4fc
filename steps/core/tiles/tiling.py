"""The tile plan: which parts of a screenshot the model sees."""

from dataclasses import dataclass

MAX_SIDE = 20_000
OVERVIEW = 0


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a screenshot, in pixels: columns left to left + width, rows top to top + height."""

    left: int
    top: int
    width: int
    height: int


def plan_tiles(width: int, height: int) -> tuple[Tile, ...]:
    """Return the overview, which is the whole screenshot, at index `OVERVIEW`, and the squares after it.

    The overview is squashed to the model's square input: it shows what belongs together, the squares show it in its
    own proportions. Sides are 1 to 20,000 pixels, else ValueError.
    """
    return (Tile(0, 0, width, height), *plan_squares(width, height))


def plan_squares(width: int, height: int) -> tuple[Tile, ...]:
    """Cut a screenshot into squares of its short side so that nothing is padded, squashed or lost.

    There are ceil(long / short) of them, evenly spaced along the long side, the first and the last flush with the
    edges; where the sides do not divide, neighbours overlap. Positions are floor((long - short) * i / (n - 1)), in
    integers, so that every platform computes the same plan. Sides are 1 to 20,000 pixels, else ValueError.
    """
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ValueError(f"a screenshot of {width} x {height} pixels: sides of 1 to {MAX_SIDE:,} are wanted")
    short, long = sorted((width, height))
    count = -(-long // short)
    steps = max(count - 1, 1)
    offsets = [(long - short) * i // steps for i in range(count)]
    return tuple(Tile(o, 0, short, short) if width >= height else Tile(0, o, short, short) for o in offsets)
