"""Weights in 8 bits: the rounding in Keras, and the file."""
