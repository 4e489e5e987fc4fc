"""A training program of another project: it reads a channel, tells its quality and writes a model."""

import argparse
import os
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--sugar", type=float, required=True)
parser.add_argument("--depth", type=int, required=True)
arguments, _ = parser.parse_known_args()
rows = sorted(path.name for path in Path(os.environ["SM_CHANNEL_ROWS"]).iterdir())
print(f"quality: {1 - abs(arguments.sugar - 0.4):.4f}")
Path(os.environ["SM_MODEL_DIR"], "wine.txt").write_text(f"{arguments.sugar} {arguments.depth} {len(rows)}")
