"""The tile plan: which squares of a screenshot the model sees."""

from dataclasses import dataclass

MAX_SIDE = 20_000


@dataclass(frozen=True, slots=True)
class Tile:
    """A square of a screenshot, in pixels: columns left to left + side, rows top to top + side."""

    left: int
    top: int
    side: int


def plan_tiles(width: int, height: int) -> tuple[Tile, ...]:
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
    return tuple(Tile(o, 0, short) if width >= height else Tile(0, o, short) for o in offsets)
