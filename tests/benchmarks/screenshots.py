"""The screenshots that benchmarks measure: real ones if there are any, else a cut of the sample.

TILEGATE_BENCH_DATA is a folder with labels.csv (path, label, group, capture, sha256, width, height) and the images
that it names, TILEGATE_BENCH_WEIGHTS a `*.weights.h5` of MobileNetV3Small without its top. On the sample the figures
of training are chance; its times are what `figures.toml` holds, because everybody has it.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipelines.runs.sample_data import write_sample
from steps.core.common.files import sha256_file
from steps.core.tiles.headers import read_header


@dataclass(frozen=True, slots=True)
class Screenshots:
    """A table of screenshots, the weights to begin from (None: random ones), and whether the data are real."""

    labels: Path
    weights: Path | None
    real: bool

    def pictures(self) -> list[Path]:
        return [self.labels.parent / path for path in pd.read_csv(self.labels)["path"]]

    def some(self, folder: Path, count: int) -> Path:
        """Write the table of `count` screenshots, spread over the whole table, and return it."""
        table = pd.read_csv(self.labels)
        table["path"] = [str(self.labels.parent.absolute() / path) for path in table["path"]]
        table.iloc[:: max(1, len(table) // count)][:count].to_csv(folder / "some.csv", index=False)
        return folder / "some.csv"


def screenshots(folder: Path, *, sample: int) -> Screenshots:
    """Return the real screenshots, else write a sample of that many to `folder`; its `capture` is the theme."""
    if data := os.environ.get("TILEGATE_BENCH_DATA"):
        weights = os.environ.get("TILEGATE_BENCH_WEIGHTS")
        return Screenshots(Path(data) / "labels.csv", Path(weights) if weights else None, real=True)
    batch = write_sample(folder / "sample", screenshots=sample, workers=1)
    rows = []
    for line in map(json.loads, (batch / "output.manifest").read_text().splitlines()):
        path = batch / line["source-ref"]
        header = read_header(path.read_bytes())
        rows.append((line["source-ref"], line["promotion"], line["group"], line["theme"], header.width, header.height))
    table = pd.DataFrame(rows, columns=["path", "label", "group", "capture", "width", "height"])
    table["sha256"] = [sha256_file(batch / path) for path in table["path"]]
    table.to_csv(batch / "labels.csv", index=False)
    return Screenshots(batch / "labels.csv", None, real=False)
