"""`tilegate data diff`: what changed between two states of the labelled data."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.command import command
from pipelines.cli.data.catalogue import LabelledData, labelled_data_options
from pipelines.cli.options import json_option
from pipelines.cli.output import print_json
from steps.core.common.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    states = States(data.home, data.catalogue, data.classes, data.attribute)
    found = difference(states.find(first), states.find(second))
    if as_json:
        print_json(found)
    else:
        _report(found, data.names)


def _report(found: "Mapping[str, Any]", names: tuple[str, str]) -> None:
    for name in "ab":
        state = found[name]
        click.echo(
            f"{name.upper():<12} {state['snapshot'][:12]}, {state['screenshots']:,} screenshots, {state['basis']}"
        )
    batches, screenshots, groups = found["batches"], found["screenshots"], found["groups"]["added"]
    click.echo(f"{'Batches':<12} +{len(batches['added']):,} -{len(batches['removed']):,}")
    _list([f"+ {name}" for name in batches["added"]] + [f"- {name}" for name in batches["removed"]])
    click.echo(f"{'Screenshots':<12} +{_per_class(screenshots['added'], names)}")
    click.echo(f"{'':<12} -{_per_class(screenshots['removed'], names)}")
    click.echo(f"{'Relabelled':<12} {len(found['relabelled']):,}")
    _list([f"{row['sha256'][:12]}  {names[row['a']]} -> {names[row['b']]}" for row in found["relabelled"]])
    shown = ", ".join(printable(name, 40) for name in groups[:3])
    more = f" ({shown}{', ...' if len(groups) > 3 else ''})" if groups else ""  # noqa: PLR2004
    click.echo(f"{'Groups':<12} +{len(groups):,}{more}")
    click.echo(f"{'Quarantined':<12} +{len(found['quarantined']):,}")
    reasons = Counter(row["reason"] for row in found["quarantined"])
    _list([f"{count:,} {reason}" for reason, count in reasons.most_common()])


def _list(lines: list[str]) -> None:
    for line in lines[:_SHOWN]:
        click.echo(f"{'':<12} {line}")
    if len(lines) > _SHOWN:
        click.echo(f"{'':<12} and {len(lines) - _SHOWN:,} more; --json tells all")


def _per_class(labels: "Mapping[str, int]", names: tuple[str, str]) -> str:
    counts = ", ".join(f"{sum(each == label for each in labels.values()):,} {name}" for label, name in enumerate(names))
    return f"{len(labels):,} ({counts})"
