"""The texts of the sample: every screen, of either class, takes its words from the same list."""

from steps.core.sample.dice import Dice

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


def phrase(dice: Dice, words: int) -> str:
    """Return a few words, the first of them capitalised."""
    return " ".join(dice.pick(WORDS) for _ in range(words)).capitalize()
