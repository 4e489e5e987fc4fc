"""Golden screenshots: the results that any app must have of a bundle's model, from the PNG's bytes to the decision.

Drawn by the sample's code, never real data: screens of common phones, of tablets, lying on their side, of odd sides, so
long that there are sixteen squares, and smaller than a tile. `golden/golden.json` says of each what the decoded pixels,
the tile boxes, the tiles' own pixels, the evidence, the score and the decision are.

Pixels are exact. Results are floats, so they are compared with a tolerance: four times what two implementations of the
same operators (XNNPACK and LiteRT's own) differ by on these screenshots, at least 0.0001 of a score. A model whose file
leaves more to the implementation shows by a large tolerance. A decision is
compared where the score is farther from the threshold than that.
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
from steps.core.tiles.tiling import plan_tiles
from steps.device.contract import TFLITE_FILE
from steps.device.runtime import LiteModel

FOLDER, FILE_NAME = "golden", "golden.json"
_VERSION = 3
_SEED = 4
_OF_SAMPLE = 20
_SPREADS, _LEAST_SCORE, _LEAST_EVIDENCE = 4, 1e-4, 1e-3

Size = tuple[int, int]
SCREENS: tuple[Size | None, ...] = (
    (1080, 2400), (1080, 2340), (2400, 1080), (1440, 3200), (720, 1600), (719, 1599), (333, 5000), (1000, 1000),
    (160, 120), (97, 31), *([None] * _OF_SAMPLE),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an app makes of a screenshot; `evidence` is empty if it does not tell.

    `pixels_sha256` is that of the decoded pixels, RGB row by row, `tiles_sha256` those of the tiles, cut and resized;
    `tiles` are [left, top, width, height].
    """

    score: float
    pixels_sha256: str
    tiles: list[list[int]]
    tiles_sha256: list[str]
    evidence: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Screenshot(Answer):
    """One golden screenshot: a PNG `file` beside golden.json, and what an app has to make of it.

    `decision` is None where the score is too near to the threshold to tell.
    """

    name: str
    file: str
    sha256: str
    width: int
    height: int
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


def write_golden(bundle: Path, threshold: float, screens: Sequence[Size | None] = SCREENS) -> Golden:
    """Draw the golden screenshots into `bundle / golden` and write what its `model.tflite` makes of them.

    `screens` are (width, height) in pixels, or None for a device of the sample. Raises UserError if the scores depend
    on the implementation as much as on the picture.
    """
    model, other = (LiteModel(bundle / TFLITE_FILE, 1, accelerated=accelerated) for accelerated in (True, False))
    drawn = [_draw(bundle / FOLDER, number, size) for number, size in enumerate(screens)]
    results = [answer(model, pixels) for _, pixels in drawn]
    both = list(zip(results, (answer(other, pixels) for _, pixels in drawn), strict=True))
    spread = max(abs(a.score - b.score) for a, b in both)
    evidence_spread = max(_apart(a.evidence, b.evidence) for a, b in both)
    tolerance = max(_LEAST_SCORE, _SPREADS * spread)
    if not (np.isfinite(evidence_spread) and tolerance < 1):
        raise UserError(f"two implementations of the operators score the same screenshot up to {spread:.3g} apart")
    golden = Golden(
        model_sha256=sha256_file(bundle / TFLITE_FILE),
        threshold=threshold,
        score_tolerance=tolerance,
        evidence_tolerance=max(_LEAST_EVIDENCE, _SPREADS * evidence_spread),
        kernel_spread=spread,
        stored_as_jpeg=stored_as_jpeg(model, [pixels for _, pixels in drawn], threshold),
        screenshots=tuple(
            Screenshot(
                name=path.stem,
                file=path.name,
                sha256=sha256_file(path),
                width=pixels.shape[1],
                height=pixels.shape[0],
                decision=made.score > threshold if abs(made.score - threshold) > tolerance else None,
                **asdict(made),
            )
            for (path, pixels), made in zip(drawn, results, strict=True)
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


def answer(model: LiteModel, pixels: Pixels) -> Answer:
    """Let a model answer for a decoded screenshot, uint8 RGB [height, width, 3]."""
    tiles = cut_tiles(pixels, model.spec)
    score, evidence = model.score(tiles)
    height, width = pixels.shape[:2]
    boxes = [[tile.left, tile.top, tile.width, tile.height] for tile in plan_tiles(width, height)]
    return Answer(
        score=score,
        pixels_sha256=_sha256(pixels),
        tiles=boxes,
        tiles_sha256=[_sha256(tile) for tile in tiles],
        evidence=evidence.tolist(),
    )


def _sha256(pixels: Pixels) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def _apart(these: Sequence[float], those: Sequence[float]) -> float:
    return float(np.abs(np.subtract(these, those)).max())


def stored_as_jpeg(model: LiteModel, screenshots: Sequence[Pixels], threshold: float) -> Stored:
    """Measure what training and the gate see against what the phone sees: tiles stored as JPEG against raw pixels."""
    shifts, flipped = [], 0
    for pixels in screenshots:
        tiles = cut_tiles(pixels, model.spec)
        decoded = [np.asarray(Image.open(BytesIO(encode_tile(tile))).convert("RGB")) for tile in tiles]
        raw, stored = (model.score(kind)[0] for kind in (tiles, decoded))
        shifts.append(abs(raw - stored))
        flipped += (raw > threshold) != (stored > threshold)
    return Stored(float(np.max(shifts)), float(np.mean(shifts)), int(flipped))


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
    elif given.tiles_sha256 != one.tiles_sha256:
        pairs = zip(given.tiles_sha256, one.tiles_sha256, strict=False)
        others = [number for number, (seen, wanted) in enumerate(pairs) if seen != wanted]
        found.append(f"other pixels in the tiles {others} of {len(one.tiles)}, {len(given.tiles_sha256)} were given")
    if not abs(given.score - one.score) <= golden.score_tolerance:
        found.append(f"score {given.score:.6f} instead of {one.score:.6f} (tolerance {golden.score_tolerance:.2g})")
    if given.evidence and len(given.evidence) != len(one.evidence):
        found.append(f"evidence of {len(given.evidence)} tiles instead of {len(one.evidence)}")
    elif given.evidence and not (apart := _apart(given.evidence, one.evidence)) <= golden.evidence_tolerance:
        found.append(f"evidence up to {apart:.2g} away (tolerance {golden.evidence_tolerance:.2g})")
    decision = given.score > golden.threshold
    if one.decision is not None and decision != one.decision:
        found.append(f"decided {'positive' if decision else 'negative'}, which is wrong")
    return found
