"""`tilegate models`: the registry's versions and a person's decisions on them, on this machine or in AWS."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.command import group
from pipelines.cli.environment import environment_options
from pipelines.cli.home import home_option

if TYPE_CHECKING:
    from pipelines.registry.opening import OpenedRegistry
    from pipelines.registry.protocol import ModelRegistry, ModelVersion


@dataclass(frozen=True, slots=True)
class _Where:
    """Which registry, and which group in it, a command means."""

    environment: str
    region: str | None
    home: Path
    group: str | None

    def open(self) -> "tuple[ModelRegistry, str]":
        opened = self.open_all()
        return opened.registry, self.group or opened.group

    def open_all(self) -> "OpenedRegistry":
        from pipelines.registry.opening import open_registry

        return open_registry(self.environment, self.region, self.home)


def _registry_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--env`, `--region`, `--home` and `--group`; the command gets them as `where`."""

    @functools.wraps(command)
    def placed(*, environment: str, region: str | None, home: Path, group: str | None, **others: Any) -> None:
        command(where=_Where(environment, region, home, group), **others)

    grouped = click.option("--group", default=None, help="Group of models; the environment's own if not given.")
    return environment_options(home_option(grouped(placed)))


def _decision_options(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--reason", required=True, help="Why; kept with the version.")(command)
    return click.option("--by", required=True, help="Who decides; kept with the version.")(command)


@group()
def models() -> None:
    """Look at registered models, compare them, and approve or reject them."""


@models.command("list")
@_registry_options
def list_models(where: _Where) -> None:
    """List the versions of a group; * marks the champion."""
    registry, group = where.open()
    versions = registry.versions(group)
    if not versions:
        click.echo(f"No versions in {group}; a run that passes the gate registers one.")
    for version in versions:
        mark = "*" if version.is_champion else " "
        click.echo(f"{mark}{version.version:>4}  {version.status:<21} {version.created[:19]}  {_facts(version)}")
        if version.outside:
            click.echo(f"       {_outside(version)}")


@models.command()
@click.argument("version", type=int)
@_registry_options
def show(where: _Where, version: int) -> None:
    """Show one version: status, metadata and every decision."""
    registry, group = where.open()
    found = registry.get(group, version)
    rows = {
        "version": f"{found.group} {found.version}{' (champion)' if found.is_champion else ''}",
        "status": found.status,
        "created": found.created,
        "execution": found.execution_id,
        "sha256": found.sha256,
        "artefact": found.artifact_uri,
        **found.metadata,
    }
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        click.echo(f"{name:<{width}}  {value}")
    for decision in found.decisions:
        note = f" ({decision.note})" if decision.note else ""
        signed_in = f" [{decision.identity}]" if decision.identity else ""
        click.echo(f"{decision.at}  {decision.status} by {decision.by}{signed_in}: {decision.reason}{note}")
    if found.outside:
        click.echo(_outside(found))


@models.command()
@click.argument("first", metavar="A", type=int)
@click.argument("second", metavar="B", type=int)
@click.option("--json", "as_text", is_flag=True, help="Everything as JSON, for scripts.")
@_registry_options
def diff(where: _Where, first: int, second: int, *, as_text: bool) -> None:
    """Compare versions A and B: what the gate measured, the data, the file and how it was trained.

    Both archives are read, and verified, for that.
    """
    import json

    from pipelines.cli.models_diff import tell
    from pipelines.registry.difference import as_json, read_side

    opened = where.open_all()
    versions = [opened.registry.get(where.group or opened.group, number) for number in (first, second)]
    a, b = [read_side(opened.registry, version, opened.batches) for version in versions]
    if as_text:
        click.echo(json.dumps(as_json(a, b), indent=2, ensure_ascii=False))
    else:
        tell(a, b)


@models.command()
@click.argument("version", type=int)
@_registry_options
@_decision_options
def approve(where: _Where, version: int, by: str, reason: str) -> None:
    """Approve a version; it becomes the champion."""
    registry, group = where.open()
    _tell(registry.approve(group, version, by=by, reason=reason))


@models.command()
@click.argument("version", type=int)
@_registry_options
@_decision_options
def reject(where: _Where, version: int, by: str, reason: str) -> None:
    """Reject a version that is pending or approved."""
    registry, group = where.open()
    _tell(registry.reject(group, version, by=by, reason=reason))


@models.command()
@click.option("--to", type=int, default=None, help="Earlier champion; the one before the present if not given.")
@_registry_options
@_decision_options
def rollback(where: _Where, to: int | None, by: str, reason: str) -> None:
    """Make an earlier champion the champion again; what phones get is `tilegate release rollback`."""
    registry, group = where.open()
    _tell(registry.rollback(group, by=by, reason=reason, to=to))


def _tell(version: "ModelVersion") -> None:
    last = version.decisions[-1]
    click.echo(f"{version.group} version {version.version}: {version.status} by {last.by}")
    if last.note:
        click.echo(last.note)


def _outside(version: "ModelVersion") -> str:
    return (
        f"somebody has set it to {version.outside} outside of tilegate, without name and reason: it is not released "
        "until it is decided on here"
    )


def _facts(version: "ModelVersion") -> str:
    metadata = version.metadata
    try:
        fpr, upper, tpr = (float(metadata[key]) for key in ("fpr", "fpr_upper", "tpr"))
    except (KeyError, ValueError):
        return ""
    return f"FPR {fpr:.2%} (at most {upper:.2%}), TPR {tpr:.1%}, {int(metadata.get('tflite_bytes', 0)) / 1e6:.2f} MB"
