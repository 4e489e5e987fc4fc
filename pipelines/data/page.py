"""A page about one screenshot: the picture, the squares of its tile plan, and every row that labels it."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.data.catalogue import Sighting
from steps.core.common.files import write_text
from steps.core.html import environment
from steps.core.html.album import data_uri
from steps.core.tiles.resize import Pixels
from steps.core.tiles.tiling import plan_squares

_QUALITY = 90
_COLOURS = ("#ff2d55", "#0a84ff", "#34c759", "#ff9f0a")


def write_screenshot_page(path: Path, screenshot: str, pixels: Pixels, sightings: Sequence[Sighting]) -> None:
    """Write one self-contained HTML file; `pixels` are uint8 RGB [height, width, 3].

    The picture is made of the decoded pixels: the file's own bytes, which come from anywhere, are not handed on.
    """
    height, width = pixels.shape[:2]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
    page = environment("pipelines.data").get_template("screenshot.html.j2")
    text = page.render(
        screenshot=screenshot,
        width=width,
        height=height,
        picture=data_uri(buffer.getvalue(), "image/jpeg"),
        tiles=[(tile, _COLOURS[index % len(_COLOURS)]) for index, tile in enumerate(plan_squares(width, height))],
        rows=[row for seen in sightings for row in _shown(seen)],
    )
    write_text(path, text)


def _shown(seen: Sighting) -> list[dict[Any, Any]]:
    """Return what the page shows of a batch's rows; a reviewer's row may have no label."""
    rows = seen.rows[["row", "label", "source_ref"]].astype(object)
    rows = rows.where(rows.notna(), None).assign(batch=seen.batch.name, kind=seen.batch.kind)
    return rows.to_dict("records")
