"""Drawn phone screens: what the sample and the golden screenshots show, the same pixels on every machine."""
