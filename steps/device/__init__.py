"""The phone's graph, from a decoded screenshot to its score, and everything that others check it by."""

TILE, SCREENSHOT = "tile", "screenshot"
