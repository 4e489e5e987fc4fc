"""`tilegate predict` and `tilegate device`: models as phones run them, by the exact bytes that they get."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pipelines.cli.command import command, group
from pipelines.cli.options import FILE, NEW_FILE, Place, json_option, place_options
from pipelines.cli.output import Columns, print_json, print_table
from steps.core.common.errors import UserError
from steps.core.common.program import EXIT_REJECTED, RejectedError
from steps.core.common.text import printable


@command()
@click.argument("model", metavar="MODEL|VERSION")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--html", type=NEW_FILE, help="Write a page with each tile's share to this file.")
@json_option
@place_options
def predict(model: str, images: tuple[Path, ...], html: Path | None, place: Place, *, as_json: bool) -> None:
    """Score screenshots as a phone does: score, decision, and what each tile adds to it.

    MODEL is the folder of a bundle, its model.tflite, or a model.tar.gz; VERSION a number of the registry, whose bytes
    are verified. IMAGE is a file, or a folder of them. Exit code 1 if one cannot be read.
    """
    from steps.core.tiles.decode import ImageRefusedError
    from steps.device.prediction import Predictor, write_page

    refused, rows, shown = dict[str, str](), [], []
    with _bundle(model, place) as bundle:
        with _without_chatter():
            predictor = Predictor(bundle)
        for image in _files(images):
            name = printable(str(image), 200)
            try:
                prediction, pixels = predictor(image)
            except ImageRefusedError as error:
                refused[name] = str(error)
                continue
            rows.append({"image": str(image), **prediction.document()})
            if html:
                shown.append((printable(image.name, 200), prediction, pixels))
    if html:
        reasons = [f"{name}: {reason}" for name, reason in refused.items()]
        write_page(
            html, f"What {'version ' if model.isdecimal() else ''}{model} says", predictor.threshold, shown, reasons
        )
    if as_json:
        broken = [{"image": name, "error": reason} for name, reason in refused.items()]
        about = {"model": model, "sha256": predictor.sha256, "threshold": predictor.threshold}
        print_json({**about, "predictions": rows, "refused": broken})
    else:
        print_table(rows, _COLUMNS)
        click.echo(f"Threshold {predictor.threshold:.6f}; model {predictor.sha256[:12]}")
    for name, reason in refused.items():
        click.echo(f"error: {name}: {reason}", err=True)
    if html:
        click.echo(f"Page {html}", err=as_json)
    if refused:
        sys.exit(1)


def _strongest(tiles: list[dict[str, float]]) -> str:
    tile = max(tiles, key=lambda tile: tile["evidence"])
    return f"{tile['evidence']:+.2f} by {tile['width']}x{tile['height']} at {tile['left']},{tile['top']}"


_COLUMNS: Columns = {
    "score": lambda row: f"{row['score']:.6f}",
    "decision": lambda row: "positive" if row["positive"] else "negative",
    "strongest tile": lambda row: _strongest(row["tiles"]),
    "image": lambda row: printable(row["image"], 200),
}


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep off stderr what LiteRT's C++ says there while it starts; whatever goes wrong is an exception."""
    before = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
            yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _files(images: tuple[Path, ...]) -> Iterator[Path]:
    for path in images:
        yield from sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else (path,)


@contextmanager
def _bundle(model: str, place: Place) -> Iterator[Path]:
    """Yield the folder of the bundle that a person means."""
    from pipelines.registry.artifact import BUNDLE, opened_bundle, stage
    from pipelines.registry.opening import open_registry
    from steps.core.common.scratch import scratch

    path = Path(model)
    if model.isdecimal():
        opened = open_registry(*place)
        with opened_bundle(opened.registry, opened.registry.get(opened.group, int(model))) as bundle:
            yield bundle
    elif path.name.endswith(".tar.gz") and path.is_file():
        with scratch("bundle") as folder:
            stage(path, folder)
            yield folder / BUNDLE
    elif path.exists():
        yield path if path.is_dir() else path.parent
    else:
        raise UserError(f"{model} is neither a version's number, nor a bundle, nor a model.tar.gz")


@group()
def device() -> None:
    """Check what runs on the phone."""


@device.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--scores", type=FILE, help="An app's answers, JSON; without it LiteRT answers here.")
def check(bundle: Path, scores: Path | None) -> None:
    """Hold a runtime against a bundle's golden screenshots, and name what differs.

    BUNDLE is the folder of an unpacked bundle. SCORES has, for the name of each golden screenshot, an object with
    score, pixels_sha256, tiles, tiles_sha256 and, if known, evidence. Exit code 0: nothing differs; 3: something does.
    """
    from steps.device.check import check as check_bundle

    try:
        check_bundle(bundle, scores)
    except RejectedError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_REJECTED)
