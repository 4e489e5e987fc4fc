"""`tilegate data diff`: what changed between two states of the labelled data."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.command import command
from pipelines.cli.data.options import labels_options, reading_of
from pipelines.cli.home import home_option
from pipelines.cli.output import json_option, print_json

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.data.diff import Difference
    from steps.core.dataset.classes import Classes

_SHOWN = 20


@command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@json_option
@labels_options
@home_option
def diff(first: str, second: str, classes: str, label_attribute: str, home: Path, *, as_json: bool) -> None:
    """Tell what B has and A has not, and the other way round: batches, screenshots, labels, groups, refused rows.

    A and B are runs, snapshots by the first four or more digits of their digest, `last` (the last run that validated)
    or `now` (what a run would use).
    """
    from pipelines.data.diff import States, difference
    from pipelines.data.diff import as_json as document_of
    from pipelines.definition.settings import Settings
    from pipelines.executor.store import LocalStore

    parsed, attribute = reading_of(home, classes, label_attribute)
    states = States(home, LocalStore(home / "store"), Settings(), parsed, attribute)
    a, b = states.find(first), states.find(second)
    found = difference(a, b)
    if as_json:
        print_json(document_of(a, b, found))
        return
    for name, state in (("A", a), ("B", b)):
        click.echo(f"{name:<12} {state.snapshot[:12]}, {len(state.labels):,} screenshots, {state.basis}")
    _tell(found, parsed)


def _tell(found: "Difference", classes: "Classes") -> None:
    from collections import Counter

    from steps.core.common.text import printable

    names = (classes.negative, classes.positive)
    click.echo(f"{'Batches':<12} +{len(found.batches_added):,} -{len(found.batches_removed):,}")
    _list([f"+ {name}" for name in found.batches_added] + [f"- {name}" for name in found.batches_removed])
    click.echo(f"{'Screenshots':<12} +{_per_class(found.added, names)}")
    click.echo(f"{'':<12} -{_per_class(found.removed, names)}")
    click.echo(f"{'Relabelled':<12} {len(found.relabelled):,}")
    _list([f"{screenshot[:12]}  {names[before]} -> {names[after]}" for screenshot, before, after in found.relabelled])
    groups = ", ".join(printable(name, 40) for name in found.groups_added[:3])
    more = f" ({groups}{', ...' if len(found.groups_added) > 3 else ''})" if groups else ""  # noqa: PLR2004
    click.echo(f"{'Groups':<12} +{len(found.groups_added):,}{more}")
    click.echo(f"{'Quarantined':<12} +{len(found.newly_refused):,}")
    reasons = Counter(reason for _, _, reason in found.newly_refused)
    _list([f"{count:,} {reason}" for reason, count in reasons.most_common()])


def _list(lines: list[str]) -> None:
    for line in lines[:_SHOWN]:
        click.echo(f"{'':<12} {line}")
    if len(lines) > _SHOWN:
        click.echo(f"{'':<12} and {len(lines) - _SHOWN:,} more; --json tells all")


def _per_class(labels: "pd.Series[int]", names: tuple[str, str]) -> str:
    counts = ", ".join(f"{int((labels == label).sum()):,} {name}" for label, name in enumerate(names))
    return f"{len(labels):,} ({counts})"
