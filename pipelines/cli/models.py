"""`tilegate models`: the registry's versions and a person's decisions on them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.home import home_option
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.registry import ModelVersion

_GROUP = Settings().model_package_group


def _group_option(command: Any) -> Any:
    return click.option("--group", default=_GROUP, show_default=True, help="Group of models.")(command)


def _decision_options(command: Any) -> Any:
    command = click.option("--reason", required=True, help="Why; kept with the version.")(command)
    return click.option("--by", required=True, help="Who decides; kept with the version.")(command)


@click.group()
def models() -> None:
    """Look at registered models, and approve or reject them."""


@models.command("list")
@home_option
@_group_option
def list_models(home: Path, group: str) -> None:
    """List the versions of a group; * marks the champion."""
    from pipelines.registry import MlflowRegistry

    versions = MlflowRegistry(home).versions(group)
    if not versions:
        click.echo(f"No versions in {group}; a run that passes the gate registers one.")
    for version in versions:
        mark = "*" if version.is_champion else " "
        facts = _facts(version)
        click.echo(f"{mark}{version.version:>4}  {version.status:<21} {version.created[:19]}  {facts}")


@models.command()
@click.argument("version", type=int)
@home_option
@_group_option
def show(version: int, home: Path, group: str) -> None:
    """Show one version: status, metadata and every decision."""
    from pipelines.registry import MlflowRegistry

    found = MlflowRegistry(home).get(group, version)
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
        click.echo(f"{decision.at}  {decision.status} by {decision.by}: {decision.reason}{note}")


@models.command()
@click.argument("version", type=int)
@home_option
@_group_option
@_decision_options
def approve(version: int, home: Path, group: str, by: str, reason: str) -> None:
    """Approve a version; it becomes the champion."""
    from pipelines.registry import MlflowRegistry

    _tell(MlflowRegistry(home).approve(group, version, by=by, reason=reason))


@models.command()
@click.argument("version", type=int)
@home_option
@_group_option
@_decision_options
def reject(version: int, home: Path, group: str, by: str, reason: str) -> None:
    """Reject a version that is pending or approved."""
    from pipelines.registry import MlflowRegistry

    _tell(MlflowRegistry(home).reject(group, version, by=by, reason=reason))


def _tell(version: "ModelVersion") -> None:
    last = version.decisions[-1]
    click.echo(f"{version.group} version {version.version}: {version.status} by {last.by}")
    if last.note:
        click.echo(last.note)


def _facts(version: "ModelVersion") -> str:
    metadata = version.metadata
    try:
        fpr, upper, tpr = (float(metadata[key]) for key in ("fpr", "fpr_upper", "tpr"))
    except (KeyError, ValueError):
        return ""
    return f"FPR {fpr:.2%} (at most {upper:.2%}), TPR {tpr:.1%}, {int(metadata.get('tflite_bytes', 0)) / 1e6:.2f} MB"
