"""`tilegate device`: a bundle, and the app that runs it, held against the golden screenshots."""

import sys
from pathlib import Path

import click

from pipelines.cli.command import group
from pipelines.cli.options import FILE
from steps.core.common.program import EXIT_REJECTED, RejectedError

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@group()
def device() -> None:
    """Check what runs on the phone."""


@device.command()
@click.argument("bundle", type=_FOLDER)
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
