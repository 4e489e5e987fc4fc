"""Labelled data: rows, labels, classes, splits, snapshots and plans."""
