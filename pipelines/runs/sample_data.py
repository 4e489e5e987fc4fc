"""Writes the sample as a batch of labelled data: images and a SageMaker Ground Truth output manifest."""

import json
import shutil
import tempfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.common.program import Progress, worker_count
from steps.core.common.worker_pool import map_in_processes
from steps.core.sample.apps import APPS, SOURCE, make_app
from steps.core.sample.scenes import BLOCK, Scene, draw_scene, plan_scene

# Goes up with every change of a pixel or of the manifest.
SAMPLE_VERSION = 2

MANIFEST = "output.manifest"
_ABOUT = "sample.json"
_IMAGES = "images"
_VERSION_KEY = "tilegate-sample"
_DIGEST_KEY = "manifest-sha256"

Key = tuple[int, int, int]


def write_sample(folder: Path, *, screenshots: int = 1200, seed: int = 17, workers: int = 0) -> Path:
    """Write the sample to `folder` and return it: `output.manifest`, `images/` and `sample.json`.

    The bytes depend on `screenshots`, `seed` and SAMPLE_VERSION alone. A folder that already holds exactly this sample
    is left as it is, one with another sample is replaced, and anything else in it raises UserError. `workers` is the
    number of processes; by default one for each CPU, fewer for a small sample.
    """
    if screenshots < BLOCK or seed < 0:
        raise UserError(
            f"sample of {screenshots} screenshots, seed {seed}: at least {BLOCK} and a seed from 0 are wanted"
        )
    folder = folder.absolute()
    about = {_VERSION_KEY: SAMPLE_VERSION, "seed": seed, "screenshots": screenshots}
    if _holds(folder, about):
        return folder
    _refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".unfinished.", dir=folder.parent))  # `data gc` knows it by its name
    try:
        batch = staging / "batch"
        (batch / _IMAGES).mkdir(parents=True)
        lines = _write_images(batch, sample_keys(seed, screenshots), workers)
        (batch / MANIFEST).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
        about_text = json.dumps({**about, _DIGEST_KEY: sha256_file(batch / MANIFEST)}, indent=2)
        (batch / _ABOUT).write_text(about_text + "\n", encoding="utf-8", newline="\n")
        if folder.exists():
            folder.rename(staging / "replaced")
        batch.rename(folder)
    finally:
        shutil.rmtree(staging)
    return folder


def sample_keys(seed: int, screenshots: int) -> list[Key]:
    """Return (seed, app, screen) of every screenshot of a sample: as many apps as can have a whole block of screens."""
    apps = min(APPS, screenshots // BLOCK)
    return [(seed, app, screen) for app in range(apps) for screen in range(len(range(app, screenshots, apps)))]


def _about(folder: Path) -> dict[str, Any] | None:
    """Return what `sample.json` says if it is one that this module wrote."""
    try:
        found = json.loads((folder / _ABOUT).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and _VERSION_KEY in found else None


def _holds(folder: Path, about: dict[str, Any]) -> bool:
    manifest = folder / MANIFEST
    if not manifest.is_file() or _about(folder) != {**about, _DIGEST_KEY: sha256_file(manifest)}:
        return False
    images = sum(1 for path in (folder / _IMAGES).glob("*.png") if path.stat().st_size)
    return bool(images == about["screenshots"])


def _refuse_foreign(folder: Path) -> None:
    """Raise UserError if replacing the folder would lose anything that this module did not write."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a new or an empty folder for the sample")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names and (_about(folder) is None or names - {MANIFEST, _ABOUT, _IMAGES}):
        raise UserError(f"{folder} holds something else than tilegate's sample: name a new or an empty folder")


def _write_images(batch: Path, keys: list[Key], workers: int) -> list[str]:
    write, count = partial(_write_image, batch), worker_count(workers, len(keys))
    progress = Progress("Drew", len(keys), "screens of the sample")
    lines = []
    for line in map(write, keys) if count == 1 else map_in_processes(write, keys, count):
        lines.append(line)
        progress.advance()
    return lines


def _write_image(batch: Path, key: Key) -> str:
    """Draw and write a screenshot; return its line of the manifest."""
    seed, number, screen = key
    scene = plan_scene(seed, make_app(seed, number), screen)
    name = f"{_IMAGES}/{scene.app.name}-{screen:03d}.png"
    # Run lengths alone leave the compressor no choice that could differ between zlib and its faster forks.
    draw_scene(scene).save(batch / name, "PNG", compress_type=zlib.Z_RLE)
    return json.dumps(_record(scene, name))


def _record(scene: Scene, name: str) -> dict[str, Any]:
    return {
        "source-ref": name,
        "promotion": scene.promotion,
        "promotion-metadata": {
            "class-name": "promotion" if scene.promotion else "other",
            "confidence": 1.0,
            "type": "groundtruth/image-classification",
            "job-name": "labeling-job/tilegate-sample",
            "human-annotated": "yes",
            "creation-date": "2026-01-01T00:00:00",
        },
        "app": scene.app.name,
        "group": scene.app.name,
        "device": scene.device,
        "theme": scene.theme,
        "source": SOURCE,
    }
