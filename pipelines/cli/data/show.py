"""`tilegate data show`: one batch, or one screenshot wherever it occurs."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.command import command
from pipelines.cli.data.catalogue import LabelledData, labelled_data_options, megabytes
from pipelines.cli.options import NEW_FILE, json_option
from pipelines.cli.output import print_json
from steps.core.common.errors import UserError
from steps.core.common.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.data.catalogue import Catalogue
    from steps.core.tiles.tiling import Tile

_ROWS_SHOWN = 10
_PREFIX = re.compile(r"[0-9a-fA-F]{4,64}")


@command()
@click.argument("what", metavar="BATCH|SHA256")
@click.option("--html", type=NEW_FILE, help="Write a page with the screenshot and its tiles to this file.")
@labelled_data_options
@json_option
def show(what: str, html: Path | None, data: LabelledData, *, as_json: bool) -> None:
    """Show a batch, or a screenshot by the first four or more digits of its sha256: every row that labels it."""
    if what in {batch.name for batch in data.catalogue.added()}:
        if html is not None:
            raise UserError("--html is for a screenshot: name one by its sha256")
        _show_batch(data, what, as_json=as_json)
    else:
        _show_screenshot(data, _resolve(data.catalogue, what), html, as_json=as_json)


def _resolve(catalogue: "Catalogue", what: str) -> str:
    found = catalogue.screenshots(what) if _PREFIX.fullmatch(what) else []
    if not found:
        raise UserError(
            f"{what!r} is neither a batch nor the beginning (4 digits at least) of the sha256 of a screenshot here; "
            "`tilegate data status` lists the batches"
        )
    if len(found) > 1:
        raise UserError(
            f"{len(found):,} screenshots begin with {what!r}, {found[0]} and {found[1]} among them: give more digits"
        )
    return found[0]


def _show_batch(data: LabelledData, name: str, *, as_json: bool) -> None:
    from pipelines.data.withdrawals import last_withdrawal, withdrawn_batches

    catalogue = data.catalogue
    card = catalogue.card(name)
    rows, refused = catalogue.rows(card.batch, data.classes, data.attribute)
    fields = ("name", "kind", "added", "by", "source", "note", "labels", "sha256", "bytes")
    document = {field: getattr(card, field) for field in fields}
    document["screenshots"] = int(catalogue.listing(name)["sha256"].nunique())
    document["place"] = str(catalogue.folder(card.batch))
    is_withdrawn = name in withdrawn_batches(catalogue.data)
    document["withdrawn"] = str(last_withdrawal(catalogue.data, name)) if is_withdrawn else ""
    if as_json:
        document["rows"] = [_document(row) for row in rows.to_dict("records")]
        document["refused"] = [{"row": each.row, "reason": each.reason, "detail": each.detail} for each in refused]
        print_json(document)
        return
    by = f" by {card.by}" if card.by else ""
    facts = document | {
        "added": f"{card.added}{by}, from {card.source}",
        "by": "",
        "source": "",
        "bytes": megabytes(card.bytes),
        "rows": f"{card.rows:,}, {card.refused:,} refused when it was added",
    }
    for key, value in facts.items():
        if value:
            click.echo(f"{key:<11}  {printable(str(value), 1000)}")
    for row in rows.head(_ROWS_SHOWN).to_dict("records"):
        name = printable(row["source_ref"], 80)
        click.echo(f"row {row['row']:>6}   {_label(row)}  {row['id'][:12]}  {name}{_decision(row)}")
    for refusal in refused[:_ROWS_SHOWN]:
        click.echo(f"row {refusal.row:>6}   refused, {refusal.reason}: {printable(refusal.detail)}")
    if more := max(len(rows) - _ROWS_SHOWN, 0) + max(len(refused) - _ROWS_SHOWN, 0):
        click.echo(f"and {more:,} more rows")


def _show_screenshot(data: LabelledData, screenshot: str, html: Path | None, *, as_json: bool) -> None:
    from steps.core.tiles.decode import ImageRefusedError, read_image
    from steps.core.tiles.tiling import plan_tiles

    seen = list(data.catalogue.sightings(screenshot, data.classes, data.attribute))
    files = [data.catalogue.folder(s.batch) / s.path for s in seen if s.path is not None]
    tiles: Sequence[Tile] = ()
    try:
        pixels, facts = read_image(files[0])
        size = f"{facts.width} x {facts.height} pixels, {facts.format}, {files[0].stat().st_size:,} bytes"
        tiles = plan_tiles(facts.width, facts.height)
    except ImageRefusedError as error:
        if html is not None:
            raise UserError(f"{screenshot} is no picture that a page could show: {error}") from None
        size = f"unreadable: {error}"
    labels = [(sighting, row) for sighting in seen for row in sighting.rows.to_dict("records")]
    if as_json:
        rows = [{"batch": s.batch.name, "kind": s.batch.kind, **_document(row)} for s, row in labels]
        boxes = [asdict(tile) for tile in tiles]
        print_json({"sha256": screenshot, "places": [*map(str, files)], "labels": rows, "size": size, "tiles": boxes})
    else:
        click.echo(f"sha256  {screenshot}")
        for file in files:
            click.echo(f"place   {printable(str(file), 1000)}")
        for sighting, row in labels:
            click.echo(
                f"label   {_label(row)} by row {row['row']} of {sighting.batch.name} ({sighting.batch.kind}): "
                f"{printable(row['source_ref'], 80)}{_decision(row)}"
            )
        for sighting in seen:
            if sighting.rows.empty:
                click.echo(f"label   none by {sighting.batch.name} ({sighting.batch.kind})")
        click.echo(f"size    {size}")
        for index, tile in enumerate(tiles):
            click.echo(f"tile {index}  left {tile.left}, top {tile.top}, {tile.width} x {tile.height}")
    if html is not None:
        from pipelines.data.page import write_screenshot_page

        write_screenshot_page(html, screenshot, pixels, seen)
        click.echo(f"page    {html}", err=as_json)


def _document(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row as --json has it."""
    import pandas as pd

    names = ("row", "label", "source_ref", "waive", "by", "reason")
    return {name: None if pd.isna(row[name]) else row[name] for name in names if name in row}


def _label(row: Mapping[Any, Any]) -> str:
    """Write a row's label; a reviewer's row may have none."""
    import pandas as pd

    return "-" if pd.isna(row["label"]) else str(row["label"])


def _decision(row: Mapping[Any, Any]) -> str:
    """Write what only a reviewer's row says."""
    values = ((name, row[name]) for name in ("waive", "by", "reason"))
    return "".join(f", {name} {printable(value, 80)}" for name, value in values if isinstance(value, str))
