"""The bundle for the phone: a TFLite file that describes a tile, and everything that others check it by."""
