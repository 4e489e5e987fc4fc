"""Foreign texts made fit to be shown in a message."""


def printable(text: str, characters: int = 500) -> str:
    """Return the beginning of a foreign text, fit to be shown: what cannot be printed is a question mark."""
    text = text[:characters]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
