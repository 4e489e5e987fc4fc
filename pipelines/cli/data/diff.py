"""`tilegate data diff`: what changed between two states of the labelled data."""

from collections import Counter
from typing import TYPE_CHECKING

import click

from pipelines.cli.command import command
from pipelines.cli.data.catalogue import LabelledData, labelled_data_options
from pipelines.cli.options import json_option
from pipelines.cli.output import print_json
from steps.core.common.text import printable

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.data.diff import Difference

_SHOWN = 20


@command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@json_option
@labelled_data_options
def diff(first: str, second: str, data: LabelledData, *, as_json: bool) -> None:
    """Tell what B has and A has not, and the other way round: batches, screenshots, labels, groups, refused rows.

    A and B are runs, snapshots by the first four or more digits of their digest, `last` (the last run that validated)
    or `now` (what a run would use).
    """
    from pipelines.data.diff import States, difference
    from pipelines.data.diff import as_json as document_of
    from pipelines.definition.settings import Settings

    states = States(data.home, data.catalogue.store, Settings(), data.classes, data.attribute)
    a, b = states.find(first), states.find(second)
    found = difference(a, b)
    if as_json:
        print_json(document_of(a, b, found))
        return
    for name, state in (("A", a), ("B", b)):
        click.echo(f"{name:<12} {state.snapshot[:12]}, {len(state.labels):,} screenshots, {state.basis}")
    _report(found, data.names)


def _report(found: "Difference", names: tuple[str, str]) -> None:
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
