"""Making the tile model small: what training does for it, and what is done to it afterwards."""
