"""`tilegate runs` and `tilegate ui`: look at what has run."""

import os
import sys
import textwrap
import time
from pathlib import Path

import click

from pipelines.cli.home import home_option


@click.command()
@home_option
def runs(home: Path) -> None:
    """List the runs of this machine, newest last."""
    from pipelines.local import load_runs

    found = load_runs(home)
    if not found:
        click.echo(f"No runs in {home}; `tilegate run` makes one.")
    for summary in found:
        seconds = f"{summary.seconds:.1f} s"
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(summary.started))
        why = textwrap.shorten(f"{summary.failed_step}: {summary.reason}", 100) if summary.failed_step else ""
        click.echo(f"{summary.id}  {started}  {summary.status:<11} {seconds:>9}  {why}".rstrip())


@click.command()
@home_option
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port on 127.0.0.1.")
def ui(home: Path, port: int) -> None:
    """Open MLflow on this machine's runs, on 127.0.0.1; ends with Ctrl-C."""
    import subprocess

    from pipelines.tracking import ui_command, ui_environment

    click.echo(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)")
    try:
        done = subprocess.run(ui_command(home, port=port), env={**os.environ, **ui_environment()}, check=False)
    except KeyboardInterrupt:
        return
    sys.exit(done.returncode)
