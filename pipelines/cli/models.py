"""`tilegate models`: the registry's versions and a person's decisions on them, on this machine or in AWS."""

import functools
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pipelines.cli.command import group
from pipelines.cli.offers import print_next, read_offers, warn_of_offers
from pipelines.cli.options import Place, decision_options, json_option, options, place_options
from pipelines.cli.output import Columns, percent, print_json, print_table, terminal_width

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipelines.registry.difference import Batches, Side
    from pipelines.registry.protocol import ModelRegistry, ModelVersion
    from pipelines.release.publisher import Offer


_NAME_WIDTH = 20
_BATCHES_SHOWN = 20


class _Models(NamedTuple):
    """The registry of a place, the group in it that a command means, and what gives the batches of a snapshot."""

    place: Place
    registry: "ModelRegistry"
    group: str
    batches: "Callable[[str], Batches | None]"


def _registry_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--env`, `--region`, `--home` and `--group`; the command gets them as `models`."""

    @functools.wraps(command)
    def placed(*, place: Place, group: str | None, **others: Any) -> None:
        from pipelines.registry.opening import open_registry

        opened = open_registry(*place)
        command(models=_Models(place, opened.registry, group or opened.group, opened.batches), **others)

    group_option = click.option("--group", default=None, help="Group of models; the environment's own if not given.")
    return options(place_options, group_option)(placed)


@group()
def models() -> None:
    """Look at registered models, compare them, and approve or reject them."""


@models.command("list")
@_registry_options
@json_option
def list_models(models: _Models, *, as_json: bool) -> None:
    """List the versions of a group; * marks the champion."""
    versions = models.registry.versions(models.group)
    served, unknown = read_offers(models.place) if versions else (None, "")
    rows = [_document(version, served) for version in versions]
    if as_json:
        print_json(rows)
        return
    if not versions:
        click.echo(f"No versions in {models.group}; a run that passes the gate registers one.")
    print_table(rows, _COLUMNS)
    for version in versions:
        if version.outside:
            click.echo(f"Version {version.version}: {_outside(version)}")
    if unknown:
        click.echo(f"warning: {unknown}")


@models.command()
@click.argument("version", type=int)
@_registry_options
@json_option
def show(models: _Models, version: int, *, as_json: bool) -> None:
    """Show one version: status, channels, metadata and every decision."""
    found = models.registry.get(models.group, version)
    served, unknown = read_offers(models.place)
    if as_json:
        more = {
            "group": found.group,
            "artefact": found.artifact_uri,
            "metadata": dict(found.metadata),
            "decisions": [asdict(decision) for decision in found.decisions],
        }
        print_json(_document(found, served) | more)
        return
    rows = {
        "version": f"{found.group} {found.version}{' (champion)' if found.is_champion else ''}",
        "status": found.status,
        "channel": unknown or ", ".join(_document(found, served)["channels"] or ()) or "none",
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
@click.argument("version", type=int)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@_registry_options
def export(models: _Models, version: int, folder: Path) -> None:
    """Write the bundle of a version, verified, to the new folder DIR: the very files that phones get."""
    from pipelines.registry.artifact import export_bundle

    found = models.registry.get(models.group, version)
    count = export_bundle(models.registry, found, folder)
    status = "" if found.approval else f"; it is {found.outside or found.status}, so nothing of it is released"
    click.echo(f"{folder} holds the {count} files of {found.group} version {version}, as they were registered{status}")


@models.command()
@click.argument("first", metavar="A", type=int)
@click.argument("second", metavar="B", type=int)
@json_option
@_registry_options
def diff(models: _Models, first: int, second: int, *, as_json: bool) -> None:
    """Compare versions A and B: what the gate measured, the data, the file and how it was trained.

    Both archives are read, and verified, for that.
    """
    from pipelines.registry.difference import as_json as document_of
    from pipelines.registry.difference import read_side

    versions = [models.registry.get(models.group, number) for number in (first, second)]
    a, b = [read_side(models.registry, version, models.batches) for version in versions]
    if as_json:
        print_json(document_of(a, b))
    else:
        print_difference(a, b)


def print_difference(a: "Side", b: "Side") -> None:
    """Print two versions side by side, as wide as the terminal; * marks where they differ."""
    from pipelines.registry.difference import batches_of_one, facts, hyperparameters

    trained = hyperparameters(a, b)
    other = [fact for fact in trained if fact.a != fact.b]
    width = max(((terminal_width() or 100) - _NAME_WIDTH - 6) // 2, 12)
    columns: Columns = {
        "": lambda fact: f"{' ' if fact.a == fact.b else '*'} {_cut(fact.name, _NAME_WIDTH)}",
        f"A: version {a.version.version}": lambda fact: _cut(_text(fact.a, fact.kind), width),
        f"B: version {b.version.version}": lambda fact: _cut(_text(fact.b, fact.kind), width),
    }
    print_table([*facts(a, b), *other], columns)
    if len(trained) > len(other):
        click.echo(f"  {len(trained) - len(other)} hyperparameters are the same in both")
    click.echo("  Rates are those of the test split, with their one-sided bounds.")
    for line in _batches(batches_of_one(a, b), a, b):
        click.echo(f"  {line}")


def _batches(found: tuple[list[str], list[str]] | None, a: "Side", b: "Side") -> "Iterator[str]":
    if found is None:
        unknown = " and ".join(name for name, side in (("A", a), ("B", b)) if side.batches is None)
        yield f"The dataset of {unknown} is not at hand, so nobody knows which batches differ."
        return
    for name, batches in zip("AB", found, strict=True):
        for batch in batches[:_BATCHES_SHOWN]:
            yield f"batch {batch} is in {name} alone"
        if len(batches) > _BATCHES_SHOWN:
            yield f"and {len(batches) - _BATCHES_SHOWN:,} more batches are in {name} alone; --json tells all"
    if not any(found):
        yield "Both saw the same batches."


def _cut(text: str, width: int) -> str:
    # The end of a long name (an image's digest) tells more than its beginning.
    return text if len(text) <= width else "..." + text[3 - width :]


def _text(value: Any, kind: str) -> str:
    return "-" if value is None else _KINDS.get(kind, str)(value)


def _rate(rate: "Mapping[str, Any]") -> str:
    bounds = f"{100 * rate['lower']:.3g} to {100 * rate['upper']:.3g} %"
    return f"{100 * rate['value']:.3g} % ({bounds}), {rate['count']:,} of {rate['trials']:,}"


_KINDS: Columns = {
    "rate": _rate,
    "percent": lambda value: f"{100 * value:.3g} %",
    "bytes": lambda value: f"{value:,} bytes",
    "count": lambda value: f"{value:,}",
    "number": lambda value: f"{value:.6g}",
}


@models.command()
@click.argument("version", type=int)
@_registry_options
@decision_options("version")
def approve(models: _Models, version: int, by: str, reason: str) -> None:
    """Approve a version, whose bytes are verified before that; it becomes the champion."""
    _report(models.registry.approve(models.group, version, by=by, reason=reason))
    print_next(version, models.place)


@models.command()
@click.argument("version", type=int)
@_registry_options
@decision_options("version")
def reject(models: _Models, version: int, by: str, reason: str) -> None:
    """Reject a version that is pending or approved; phones keep it until a channel is moved."""
    _report(models.registry.reject(models.group, version, by=by, reason=reason))
    warn_of_offers([version], models.place)


@models.command()
@click.option("--to", type=int, default=None, help="Earlier champion; the one before the present if not given.")
@_registry_options
@decision_options("version")
def rollback(models: _Models, to: int | None, by: str, reason: str) -> None:
    """Make an earlier champion the champion again; what phones get is `tilegate release rollback`."""
    found = models.registry.rollback(models.group, by=by, reason=reason, to=to)
    _report(found)
    print_next(found.version, models.place)


def _report(version: "ModelVersion") -> None:
    last = version.decisions[-1]
    click.echo(f"{version.group} version {version.version}: {version.status} by {last.by}")
    if last.note:
        click.echo(last.note)


def _outside(version: "ModelVersion") -> str:
    return (
        f"somebody has set it to {version.outside} outside of tilegate, without name and reason: it is not released "
        "until it is decided on here"
    )


def _document(version: "ModelVersion", served: "Sequence[Offer] | None") -> dict[str, Any]:
    """Return a version as --json has it; None stands for what nobody has registered, or knows."""
    metadata = version.metadata
    figures = ("fpr", "fpr_upper", "tpr", "tpr_lower", "max_fpr", "threshold")
    failed = metadata.get("failed_checks")
    return {
        "version": version.version,
        "status": version.status,
        "champion": version.is_champion,
        "created": version.created,
        "run": version.execution_id,
        "verdict": None if failed is None else "passed" if failed == "0" else "failed",
        **{name: float(metadata[name]) if name in metadata else None for name in figures},
        "variant": metadata.get("variant"),
        "bytes": int(metadata["tflite_bytes"]) if "tflite_bytes" in metadata else None,
        "sha256": version.sha256,
        "dataset": metadata.get("dataset", "").rpartition("/")[2],
        "channels": None if served is None else [str(o) for o in served if o.version == version.version],
        "outside": version.outside,
    }


_COLUMNS: Columns = {
    "version": lambda row: f"{'*' if row['champion'] else ' '}{row['version']:>4}",
    "status": lambda row: row["status"],
    "verdict": lambda row: row["verdict"] or "",
    "FPR": lambda row: percent(row["fpr"]),
    "at most": lambda row: percent(row["fpr_upper"]),
    "TPR": lambda row: percent(row["tpr"]),
    "size": lambda row: f"{row['bytes'] / 1e6:.2f} MB" if row["bytes"] is not None else "",
    "data": lambda row: row["dataset"][:8],
    "created": lambda row: row["created"][:16].replace("T", " "),
    "run": lambda row: row["run"],
    "channel": lambda row: ", ".join(row["channels"] or ()),
}
