"""The index step: tiles of all hosts merged and indexed for training."""
