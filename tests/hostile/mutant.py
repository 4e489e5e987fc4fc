"""A hostile image and what is expected of it; the seeded noise and the damage that every format can suffer."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

Verdict = Literal["read", "refused", "either"]
WIDTH, HEIGHT = 48, 96


@dataclass(frozen=True, slots=True)
class Mutant:
    """A file's name, its bytes, and the verdict on it.

    "either": the verdict is the decoder's, and what is read must have the pixels that Pillow sees. `twin` is a
    harmless file of the same pixels, where Pillow refuses or cannot be asked about this one.
    """

    name: str
    data: bytes
    expected: Verdict
    twin: bytes | None = None


def noise(size: int, seed: object) -> bytes:
    return random.Random(str(seed)).randbytes(size)


def screenshot(width: int = WIDTH, height: int = HEIGHT, channels: int = 3) -> np.ndarray:
    """A drawn screen, uint8 [height, width, channels]: a bar, lines of text, a picture of noise; alpha last."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.full((height, width, 4), 245, np.uint8)
    pixels[: height // 8] = (40, 90, 200, 255)
    text = (y % 7 < 3) & ((x * 5 + y * 3) % 11 < 6) & (y >= height // 8)
    pixels[text] = (20, 20, 30, 200)
    middle = slice(height // 2, height * 3 // 4)
    picture = pixels[middle]
    picture[:] = np.frombuffer(noise(picture.size, "picture"), np.uint8).reshape(picture.shape)
    return np.ascontiguousarray(pixels[..., :channels])


def cuts(name: str, data: bytes, count: int, expected: Verdict) -> Iterator[Mutant]:
    """The file cut off at `count` places, spread evenly from its first byte on."""
    for number in range(count):
        at = 1 + number * (len(data) - 2) // count
        yield Mutant(f"{name} cut at {at}", data[:at], expected)


def flips(name: str, data: bytes, count: int, expected: Verdict, within: slice = slice(None)) -> Iterator[Mutant]:
    """The file with one bit flipped, at `count` seeded places."""
    places = range(len(data))[within]
    chosen = random.Random(name)
    for number in range(count):
        at, bit = chosen.choice(places), chosen.randrange(8)
        flipped = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        yield Mutant(f"{name} flip {number} at {at}.{bit}", flipped, expected)


def swapped(data: bytes, at: int, new: bytes) -> bytes:
    """The file with `new` written over the bytes from `at` on."""
    return data[:at] + new + data[at + len(new) :]


def named(suffix: str, mutants: Iterable[Mutant]) -> Iterator[Mutant]:
    for mutant in mutants:
        yield Mutant(f"{mutant.name}{suffix}", mutant.data, mutant.expected, mutant.twin)
