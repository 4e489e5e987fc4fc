"""The pure domain: labelled data, splits, tiles, scores and the gate. NumPy, pandas, Pillow and SciPy only."""
