"""Golden screenshots: what any runtime must make of a bundle's model, from the PNG's bytes to the decision.

Drawn by the sample's code, never real data: screens of common phones, of tablets, lying on their side, of odd sides, so
long that there are sixteen squares, and smaller than a tile. `golden/golden.json` says of each what the decoded pixels,
the tile boxes, the evidence, the score and the decision are.

Results are floats, so they are compared with a tolerance: four times what two implementations of the same operators
(XNNPACK and LiteRT's own) differ by on these screenshots, at least 0.0001 of a score. A model whose file leaves more to
the implementation, as dynamic-range quantisation does, shows by a large tolerance. A decision is compared where the
score is farther from the threshold than that.
"""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from steps.core.common.errors import UserError
from steps.core.common.files import read_json, replacing, sha256_file, write_json
from steps.core.sample.apps import make_app
from steps.core.sample.scenes import draw_scene, plan_scene
from steps.core.tiles.cutting import cut_tiles, encode_tile
from steps.core.tiles.decode import read_image
from steps.core.tiles.resize import Pixels
from steps.core.tiles.spec import PreprocessingSpec
from steps.core.tiles.tiling import plan_tiles
from steps.device.runtime import LiteModel, Values
from steps.network.head import Head

FOLDER, FILE_NAME = "golden", "golden.json"
_VERSION = 2
MODEL_FILE = "model.tflite"
_SEED = 4
_OF_SAMPLE = 20
_SPREADS, _LEAST_SCORE, _LEAST_EVIDENCE = 4, 1e-4, 1e-3

Size = tuple[int, int]
SCREENS: tuple[Size | None, ...] = (
    (1080, 2400), (1080, 2340), (2400, 1080), (1440, 3200), (720, 1600), (719, 1599), (333, 5000), (1000, 1000),
    (160, 120), (97, 31), *([None] * _OF_SAMPLE),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Screenshot:
    """One golden screenshot: a PNG `file` beside golden.json, and what has to come of it.

    `pixels_sha256` is that of the decoded pixels, RGB row by row; `tiles` are [left, top, width, height]; `decision` is
    None where the score is too near to the threshold to tell.
    """

    name: str
    file: str
    sha256: str
    pixels_sha256: str
    width: int
    height: int
    tiles: list[list[int]]
    evidence: list[float]
    score: float
    decision: bool | None


@dataclass(frozen=True, slots=True)
class Stored:
    """How far scores of tiles that went through the tile store's JPEG are from those of raw pixels."""

    largest: float
    mean: float
    other_decisions: int


@dataclass(frozen=True, slots=True)
class Golden:
    """The golden screenshots of a bundle, and the tolerances of scores and of evidence."""

    model_sha256: str
    threshold: float
    score_tolerance: float
    evidence_tolerance: float
    kernel_spread: float
    stored_as_jpeg: Stored
    screenshots: tuple[Screenshot, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"version": _VERSION, **asdict(self)}

    @classmethod
    def read(cls, bundle: Path) -> Self:
        """Read `golden/golden.json` of a bundle; raises UserError if it is not one that this version wrote."""
        path = bundle / FOLDER / FILE_NAME
        value = read_json(path)
        try:
            if value.pop("version") != _VERSION:
                raise UserError(
                    f"{path} is of another version than {_VERSION}: check it with the version that wrote it"
                )
            screenshots = tuple(Screenshot(**one) for one in value.pop("screenshots"))
            return cls(**{**value, "stored_as_jpeg": Stored(**value["stored_as_jpeg"]), "screenshots": screenshots})
        except (AttributeError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not what write_golden writes ({error}): convert the model again") from None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a runtime made of a golden screenshot; `evidence` is None if it does not tell."""

    score: float
    pixels_sha256: str
    tiles: list[list[int]]
    evidence: Values | None = None


def write_golden(bundle: Path, threshold: float, screens: Sequence[Size | None] = SCREENS) -> Golden:
    """Draw the golden screenshots into `bundle / golden` and write what its `model.tflite` makes of them.

    `screens` are (width, height) in pixels, or None for a device of the sample. The bundle holds the model's head
    and its preprocessing spec. Raises UserError if the scores depend on the implementation as much as on the picture.
    """
    model, other = (LiteModel(bundle / MODEL_FILE, 1, accelerated=accelerated) for accelerated in (True, False))
    spec, head = PreprocessingSpec.read(bundle), Head.read(bundle)
    drawn = [_draw(bundle / FOLDER, number, size) for number, size in enumerate(screens)]
    results = [model.screenshot(pixels) for _, pixels in drawn]
    others = [other.screenshot(pixels) for _, pixels in drawn]
    spread = max(abs(a - b) for (a, _), (b, _) in zip(results, others, strict=True))
    evidence_spread = max(float(np.abs(a - b).max()) for (_, a), (_, b) in zip(results, others, strict=True))
    tolerance = max(_LEAST_SCORE, _SPREADS * spread)
    if not (np.isfinite(evidence_spread) and tolerance < 1):
        raise UserError(f"two implementations of the operators score the same screenshot up to {spread:.3g} apart")
    golden = Golden(
        model_sha256=sha256_file(bundle / MODEL_FILE),
        threshold=threshold,
        score_tolerance=tolerance,
        evidence_tolerance=max(_LEAST_EVIDENCE, _SPREADS * evidence_spread),
        kernel_spread=spread,
        stored_as_jpeg=stored_as_jpeg(model, head, spec, [pixels for _, pixels in drawn], threshold),
        screenshots=tuple(
            Screenshot(
                name=path.stem,
                file=path.name,
                sha256=sha256_file(path),
                pixels_sha256=pixels_sha256(pixels),
                width=pixels.shape[1],
                height=pixels.shape[0],
                tiles=boxes(pixels),
                evidence=evidence.tolist(),
                score=score,
                decision=score > threshold if abs(score - threshold) > tolerance else None,
            )
            for (path, pixels), (score, evidence) in zip(drawn, results, strict=True)
        ),
    )
    write_json(bundle / FOLDER / FILE_NAME, golden.to_dict())
    return golden


def _draw(folder: Path, number: int, size: Size | None) -> tuple[Path, Pixels]:
    image = draw_scene(plan_scene(_SEED, make_app(_SEED, number), number, size))
    path = folder / f"{number:02d}-{image.width}x{image.height}.png"
    data = BytesIO()
    image.save(data, "PNG", compress_type=zlib.Z_RLE)
    with replacing(path) as beside:
        beside.write_bytes(data.getvalue())
    return path, read_image(path)[0]


def pixels_sha256(pixels: Pixels) -> str:
    """Hash decoded pixels, uint8 RGB [height, width, 3], row by row."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def boxes(pixels: Pixels) -> list[list[int]]:
    """Return the tile plan of decoded pixels as [left, top, width, height], overview first."""
    height, width = pixels.shape[:2]
    return [[tile.left, tile.top, tile.width, tile.height] for tile in plan_tiles(width, height)]


def answer(model: LiteModel, path: Path) -> Answer:
    """Let a model answer for a golden PNG."""
    pixels = read_image(path)[0]
    score, evidence = model.screenshot(pixels)
    return Answer(score, pixels_sha256(pixels), boxes(pixels), evidence)


def stored_as_jpeg(
    model: LiteModel, head: Head, spec: PreprocessingSpec, screenshots: Sequence[Pixels], threshold: float
) -> Stored:
    """Measure what training and the gate see against what the phone sees: tiles stored as JPEG against raw pixels."""
    shifts, flipped = [], 0
    for pixels in screenshots:
        tiles = cut_tiles(pixels, spec)
        decoded = [np.asarray(Image.open(BytesIO(encode_tile(tile))).convert("RGB")) for tile in tiles]
        raw, stored = (_score(model, head, kind) for kind in (tiles, decoded))
        shifts.append(abs(raw - stored))
        flipped += (raw > threshold) != (stored > threshold)
    return Stored(float(np.max(shifts)), float(np.mean(shifts)), int(flipped))


def _score(model: LiteModel, head: Head, tiles: Sequence[Pixels]) -> float:
    features = np.stack([model.tile(tile) for tile in tiles])
    index = np.arange(len(tiles))
    return float(head.scores(features, index, np.zeros_like(index))[0])


def differences(golden: Golden, answers: Mapping[str, Answer]) -> list[str]:
    """Say what differs from the golden screenshots, a sentence each; nothing means that the runtime does as it must."""
    unknown = sorted(set(answers) - {one.name for one in golden.screenshots})
    found = [f"{name}: there is no such golden screenshot" for name in unknown]
    for one in golden.screenshots:
        given = answers.get(one.name)
        if given is None:
            found.append(f"{one.name}: no answer")
            continue
        found += [f"{one.name}: {what}" for what in _different(golden, one, given)]
    return found


def _different(golden: Golden, one: Screenshot, given: Answer) -> list[str]:
    found = []
    if given.pixels_sha256 != one.pixels_sha256:
        found.append(
            f"decoded to other pixels, sha256 {given.pixels_sha256[:12]} instead of {one.pixels_sha256[:12]}: decode "
            "without colour management, scaling and premultiplied alpha"
        )
    if given.tiles != one.tiles:
        found.append(f"tile boxes {given.tiles} instead of {one.tiles}")
    if not abs(given.score - one.score) <= golden.score_tolerance:
        found.append(f"score {given.score:.6f} instead of {one.score:.6f} (tolerance {golden.score_tolerance:.2g})")
    if given.evidence is not None:
        expected = np.asarray(one.evidence)
        if given.evidence.shape != expected.shape:
            found.append(f"evidence of shape {given.evidence.shape} instead of {expected.shape}")
        elif not (apart := np.abs(given.evidence - expected).max()) <= golden.evidence_tolerance:
            found.append(f"evidence up to {apart:.2g} away (tolerance {golden.evidence_tolerance:.2g})")
    decision = given.score > golden.threshold
    if one.decision is not None and decision != one.decision:
        found.append(f"decided {'positive' if decision else 'negative'}, which is wrong")
    return found
