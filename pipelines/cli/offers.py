"""What follows from a decision on a version for the phones, in words."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import Place
from steps.core.common.errors import UserError

if TYPE_CHECKING:
    from pipelines.release.publisher import Offer


def read_offers(place: Place) -> "tuple[list[Offer] | None, str]":
    """Return what phones get, or None and why nobody knows: what was decided stands all the same."""
    from pipelines.release.opening import current_offers

    try:
        return current_offers(*place), ""
    except UserError as error:
        return None, f"what channels offer is not known: {error}"


def warn_of_offers(versions: Collection[int], place: Place) -> None:
    """Say which of the versions phones still get, and what takes each back from them."""
    served, unknown = read_offers(place) if versions else (None, "")
    if unknown:
        click.echo(f"warning: {unknown}")
    env = "" if place.is_local else f" --env {place.environment}"
    for offer in served or ():
        if offer.version in versions:
            click.echo(
                f"warning: {offer.channel} still offers version {offer.version} to {offer.percent} % of the phones; "
                "this takes it back from them:"
            )
            click.echo(f"  {offer.back}{env}")


def print_next(version: int, place: Place) -> None:
    """Say what follows from an approval: who offers the version to phones, and by which command."""
    click.echo("The next candidate is compared with it.")
    if not place.is_local:
        click.echo(f"The publisher releases it: `tilegate release list --env {place.environment}` shows to whom")
        return
    served, unknown = read_offers(place)
    if not any(offer.version == version for offer in served or ()):
        present = ", ".join(f"{offer} has version {offer.version}" for offer in served or ()) or "no phone has any"
        click.echo(f"No phone gets it yet ({unknown or present}); this offers it to a tenth of them:")
        click.echo(f"  tilegate release publish {version} --percent 10 --by NAME --reason TEXT")
