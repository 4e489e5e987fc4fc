"""Random choices of one drawing: everything comes from one stream of uniform floats, the same on every machine."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

WORDS = (
    "Account", "Add", "Again", "Album", "All", "Alpine", "Archive", "Autumn", "Balance", "Best", "Bike", "Book",
    "Bread", "Bridge", "Calm", "Camera", "Card", "City", "Class", "Cloud", "Coffee", "Daily", "Deal", "Deep", "Draft",
    "East", "Event", "Family", "Field", "Film", "First", "Flight", "Forest", "Free", "Garden", "Green", "Guide", "Home",
    "Hotel", "Hour", "Inbox", "Lake", "Later", "Lesson", "Letter", "Light", "Lunch", "Market", "Meet", "Mobile",
    "Music", "New", "News", "Night", "North", "Note", "Offer", "Open", "Order", "Party", "Photo", "Plan", "Quiet",
    "River", "Room", "Sale", "Save", "School", "Share", "Shop", "Silver", "Sound", "South", "Spring", "Station",
    "Store", "Story", "Street", "Summer", "Team", "Ticket", "Today", "Tower", "Train", "Travel", "Valley", "Walk",
    "Water", "Week", "West", "Winter", "Work", "Yellow",
)  # fmt: skip

_T = TypeVar("_T")


class Dice:
    """A stream of choices that depends on the numbers of `key` alone (each a whole number from 0)."""

    def __init__(self, *key: int) -> None:
        # Only `random()` is drawn: NumPy's other distributions may change their streams or call the platform's libm.
        self._generator = np.random.Generator(np.random.PCG64(key))

    def between(self, low: float, high: float) -> float:
        """Return a float in [low, high)."""
        return low + (high - low) * float(self._generator.random())

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""
        return low + int(float(self._generator.random()) * (high - low + 1))

    def chance(self, share: float) -> bool:
        return float(self._generator.random()) < share

    def pick(self, options: Sequence[_T]) -> _T:
        return options[self.whole(0, len(options) - 1)]

    def shuffled(self, options: Sequence[_T]) -> list[_T]:
        """Return the options in random order (Fisher-Yates)."""
        items = list(options)
        for last in range(len(items) - 1, 0, -1):
            other = self.whole(0, last)
            items[last], items[other] = items[other], items[last]
        return items

    def phrase(self, words: int) -> str:
        """Return a few words, the first of them capitalised; screens of both classes take theirs from one list."""
        return " ".join(self.pick(WORDS) for _ in range(words)).capitalize()
