"""Labelled batches under construction: real PNG files, their manifests, and the validation of all of it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from steps.core.common.files import sha256_file
from steps.core.dataset.classes import Classes
from steps.core.dataset.rows import no_rows, read_rows
from steps.core.dataset.snapshot import Batch
from steps.validate.admission import validate
from steps.validate.drift import compare_screenshots
from steps.validate.image_facts import inspect, read_facts, write_facts
from steps.validate.rules import RULES, examine
from steps.validate.subject import Circumstances

CLASSES = Classes("other", "game")
SIZE = (48, 96)


def picture(seed, size=SIZE):
    """Return blocks of random colours, uint8 [height, width, 3]: no two seeds are anywhere near duplicates."""
    width, height = size
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST))


class Drawn:
    """One batch: pictures by name and labelled rows; `sha256` of a picture is its id."""

    def __init__(self, root, name="b-1", kind="labels", labels="m.manifest"):
        self.batch = Batch(name, labels, "0" * 64, kind)
        self.folder = Path(root) / name
        self.folder.mkdir(parents=True)
        self.lines = []

    def draw(self, name, seed, size=SIZE):
        return self.save(name, picture(seed, size))

    def save(self, name, pixels, **options):
        path = self.folder / name
        Image.fromarray(pixels).save(path, **options)
        return sha256_file(path)

    def label(self, name, label, **more):
        self.lines.append(json.dumps({"source-ref": name, "k": label, "k-metadata": {}} | more))

    def decide(self, sha256, label, **more):
        self.lines.append(json.dumps({"sha256": sha256, "label": label, "by": "Ada", "reason": "looked"} | more))

    def rows(self):
        (self.folder / self.batch.labels).write_text("\n".join(self.lines))
        frame, refused = read_rows(self.batch, self.folder, self.listing(), CLASSES, None)
        return frame.assign(kind=self.batch.kind), refused

    def listing(self):
        files = [p for p in sorted(self.folder.rglob("*")) if p.is_file() and not p.is_symlink()]
        files = [(p.relative_to(self.folder).as_posix(), p) for p in files if p.name != self.batch.labels]
        facts = [(name, sha256_file(p), p.stat().st_size) for name, p in files]
        return pd.DataFrame(facts, columns=["path", "sha256", "bytes"])


def validated(*batches, scratch):
    """Validate batches in their order; every picture is really opened."""
    read = [drawn.rows() for drawn in batches]
    frames = [frame for frame, _ in read if len(frame)]
    rows = pd.concat(frames, ignore_index=True) if frames else no_rows().assign(kind="labels")
    files = {sha: drawn.folder / path for drawn in batches for path, sha, _ in drawn.listing().itertuples(index=False)}
    write_facts(scratch, [inspect((path, sha)) for sha, path in files.items()])
    refused = [row for _, out in read for row in out]
    return validate([drawn.batch for drawn in batches], rows, refused, read_facts([scratch]))


def compared(rule, *samples):
    return compare_screenshots(rule, *samples, limit=RULES[rule].limit)


def examined(validation, **circumstances):
    return examine(validation, CLASSES, Circumstances(**circumstances))


def reasons(validation):
    return {(row.batch, row.row): row.reason for row in validation.quarantined}
