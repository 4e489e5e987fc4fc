"""Facts about an image, measured once from its pixels and kept for ever beside the part it came with.

`facts/<INSPECTOR>/<part>/facts.parquet` has a row for each image, readable or not; `thumbnails.parquet` its small
picture for people. Neither knows labels, so that relabelling opens no image again.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import simplejpeg

from steps.core.common.errors import UserError
from steps.core.common.files import replacing
from steps.core.dataset.plan import FACTS_FILE, THUMBNAILS_FILE
from steps.core.tiles.decode import ImageFacts, ImageRefusedError, decode_image, read_bytes
from steps.core.tiles.resize import halve
from steps.validate.appearance import APPEARANCE_COLUMNS, Appearance, appearance_of
from steps.validate.perceptual_hash import THUMBNAIL_SIDE, perceptual_hash, thumbnail

_LONG_SIDE = 240
_PICTURE_QUALITY = 80
_UNKNOWN = ImageFacts(width=0, height=0, format="")
_IMAGE_FACTS = tuple(field.name for field in fields(ImageFacts))
_COLUMNS = ("id", "problem", "refusal", *_IMAGE_FACTS, "bytes", "phash", "thumb", *APPEARANCE_COLUMNS)


@dataclass(frozen=True, slots=True)
class Inspection:
    """One image: `problem` is "" for a readable one, else "image", and `refusal` says why.

    `phash` is its 64-bit perceptual hash, `thumb` 32 x 32 bytes of luma, `picture` a small JPEG.
    """

    id: str
    problem: str
    refusal: str
    facts: ImageFacts = _UNKNOWN
    size: int = 0
    phash: int = 0
    thumb: bytes = b""
    appearance: Appearance | None = None
    picture: bytes = b""


def inspect(file: tuple[Path, str]) -> Inspection:
    """Open an image, given as (path, the sha256 that its listing states): hash, decode and measure it.

    Raises UserError if the file is not there, or not the one that was added: the store is at fault, not the image.
    """
    path, listed = file
    # What is true of the store tonight is no fact about the image: facts are for ever.
    if not path.is_file() or not os.access(path, os.R_OK):
        raise UserError(f"{path.name} of the batch {path.parent.name} is missing in the store, or cannot be read")
    try:
        data = read_bytes(path)
        checksum = hashlib.sha256(data).hexdigest()
        if checksum != listed:
            raise UserError(
                f"{path} is damaged in the store: its sha256 is {checksum}, the batch was added with {listed}; "
                "put the file that was added back in its place"
            )
        pixels, facts = decode_image(data)
    except ImageRefusedError as error:
        return Inspection(listed, "image", str(error))
    thumb = thumbnail(pixels)
    return Inspection(
        id=listed,
        problem="",
        refusal="",
        facts=facts,
        size=len(data),
        phash=perceptual_hash(thumb),
        thumb=thumb.tobytes(),
        appearance=appearance_of(pixels),
        picture=picture_of(pixels),
    )


def picture_of(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a JPEG of at most 240 pixels a side for people to look at; uint8 RGB [height, width, 3]."""
    height, width = pixels.shape[:2]
    scale = min(1.0, _LONG_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # An area average by any ratio costs as much as decoding; by exactly two it costs next to nothing.
    while min(pixels.shape[:2]) > 1 and max(pixels.shape[:2]) >= 2 * _LONG_SIDE:
        pixels = halve(pixels)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(small), quality=_PICTURE_QUALITY))


def write_facts(folder: Path, inspections: Sequence[Inspection]) -> None:
    """Write both tables of a part, sorted by id."""
    ordered = sorted(inspections, key=lambda inspection: inspection.id)
    nothing = dict.fromkeys(APPEARANCE_COLUMNS, np.nan)
    frame = pd.DataFrame(
        [
            {
                "id": seen.id,
                "problem": seen.problem,
                "refusal": seen.refusal,
                **asdict(seen.facts),
                "bytes": seen.size,
                "phash": seen.phash,
                "thumb": seen.thumb,
                **(asdict(seen.appearance) if seen.appearance else nothing),
            }
            for seen in ordered
        ]
    )
    frame = frame.astype({"phash": "uint64", **dict.fromkeys(APPEARANCE_COLUMNS, "float32")})
    pictures = pd.DataFrame({"id": [s.id for s in ordered], "picture": [s.picture for s in ordered]})
    for name, table in ((THUMBNAILS_FILE, pictures), (FACTS_FILE, frame)):
        with replacing(folder / name) as beside:
            table.to_parquet(beside, index=False)


def read_facts(folders: Iterable[Path], *, thumbs: bool = True) -> pd.DataFrame:
    """Read the facts of several parts, indexed by id, without the thumbnails if these are not needed.

    Raises UserError that names the part.
    """
    wanted = _COLUMNS if thumbs else tuple(name for name in _COLUMNS if name != "thumb")
    tables = [_read(folder / FACTS_FILE, wanted) for folder in folders]
    if not tables:
        raise UserError("the snapshot holds no image: add a batch with screenshots first")
    return pd.concat(tables, ignore_index=True).set_index("id")


def read_pictures(folders: Iterable[Path], wanted: Iterable[str]) -> dict[str, bytes]:
    """Return the small JPEGs of the `wanted` ids, as far as the parts in `folders` hold them."""
    ids = sorted(set(wanted))
    found: dict[str, bytes] = {}
    for folder in folders if ids else ():
        table = _read(folder / THUMBNAILS_FILE, ("id", "picture"), filters=[("id", "in", ids)])
        found |= {i: picture for i, picture in zip(table["id"], table["picture"], strict=True) if picture}
    return found


def thumbs_of(facts: pd.DataFrame) -> npt.NDArray[np.uint8]:
    """Return the luma thumbnails as uint8 [n, 32, 32]; every row must be of a readable image."""
    data = np.frombuffer(b"".join(facts["thumb"]), np.uint8)
    return data.reshape(len(facts), THUMBNAIL_SIDE, THUMBNAIL_SIDE)


def _read(path: Path, columns: Sequence[str], **options: Any) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, columns=list(columns), **options)
    except (OSError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UserError(f"{path}: what is known of a part cannot be read ({reason}); plan the run again") from None
