"""The names of the files that a bundle is made of, as the phone reads them, and of the model's one signature."""

BUNDLE, TFLITE_FILE, CONTRACT_FILE = "bundle", "model.tflite", "model.json"
TILE = "tile"
