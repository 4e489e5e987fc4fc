"""The names that a run may choose from, spelled once for the steps, the definition and the command line."""

BACKBONES = ("small", "large", "small-minimalistic", "large-minimalistic")
QUANTIZATIONS = ("float32", "float16", "dynamic")
