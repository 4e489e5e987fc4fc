"""What ships to the phone: a TFLite file that describes a tile, and everything that others check it by."""

TILE = "tile"
"""The name of the file's one signature."""
