"""The preprocess step: new screenshots cut into tiles."""
