"""`tilegate release`: signed releases of approved models, and the channels that phones follow."""

from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.command import group
from pipelines.cli.options import Place, decision_options, json_option, place_options
from pipelines.cli.output import print_json
from steps.core.common.errors import UserError

if TYPE_CHECKING:
    from pipelines.release.channels import State
    from pipelines.release.opening import Perform
    from pipelines.release.publisher import Publisher

_PERCENT = click.IntRange(0, 100)
_channel_option = click.option("--channel", default="stable", show_default=True, help="Channel that phones follow.")


def _open(place: Place) -> "tuple[Publisher, Perform]":
    from pipelines.release.opening import open_publisher

    return open_publisher(*place)


def _known(publisher: "Publisher", channel: str) -> str:
    """Return the channel's name; raises UserError if nothing was ever said in it."""
    if not publisher.channels.seen(channel) and channel not in publisher.channels.names():
        raise UserError(f"there is no channel {channel}: `tilegate release list` tells those that there are")
    return channel


def _verified(publisher: "Publisher", channel: str) -> "tuple[State, int, int]":
    """Return what a channel says, and how many files of how many releases phones get.

    Raises UserError for what no phone, or no history, accepts.
    """
    from pipelines.release.channels import State
    from pipelines.release.verify import VerificationError, verify_channel

    store, seen = publisher.store, publisher.channels.seen(channel)
    try:
        said, manifests = verify_channel(channel, store.bucket, store.trusted(), seen=seen)
    except VerificationError as error:
        raise UserError(str(error)) from None
    return State.of(said), sum(len(manifest["files"]) for manifest in manifests), len(manifests)


@group()
def release() -> None:
    """Sign approved models, and decide which phones run which."""


@release.command()
@click.argument("version", type=int)
@place_options
@_channel_option
@click.option("--percent", type=_PERCENT, default=100, show_default=True, help="Share of the installations.")
@decision_options("channel")
def publish(place: Place, **asked: Any) -> None:
    """Release an approved version and offer it in a channel, to all phones or to a share of them."""
    _, perform = _open(place)
    click.echo(perform({"action": "publish", **asked}))


@release.command()
@place_options
@_channel_option
@click.option("--percent", type=_PERCENT, required=True, help="Share of the installations; 100 ends the rollout.")
@decision_options("channel")
def rollout(place: Place, **asked: Any) -> None:
    """Change the share of the phones that run a channel's version; a higher one drops nobody."""
    _, perform = _open(place)
    click.echo(perform({"action": "rollout", **asked}))


@release.command()
@place_options
@_channel_option
@click.option("--to", type=int, help="Version to go back to.  [the one before]")
@decision_options("channel")
def rollback(place: Place, to: int | None, **asked: Any) -> None:
    """Offer an earlier release to all phones again, with the very files that were signed then."""
    publisher, perform = _open(place)
    version = publisher.former(asked["channel"]) if to is None else to
    click.echo(perform({"action": "rollback", "version": version, **asked}))


@release.command("list")
@place_options
@json_option
def list_releases(place: Place, *, as_json: bool) -> None:
    """List the channels, verified as by `tilegate release verify`, and every release there is."""
    publisher, _ = _open(place)
    states = [_verified(publisher, name)[0] for name in publisher.channels.names()]
    versions = publisher.store.versions()
    if as_json:
        print_json({"channels": [_document(state) for state in states], "versions": versions})
        return
    for state in states:
        click.echo(str(state))
    click.echo(f"Released versions: {', '.join(map(str, versions))}" if versions else "Nothing was released yet.")


@release.command()
@place_options
@_channel_option
@json_option
def show(place: Place, channel: str, *, as_json: bool) -> None:
    """Show all that a channel ever said, with who decided and why."""
    publisher, _ = _open(place)
    states = publisher.channels.history(_known(publisher, channel))
    if as_json:
        print_json([_document(state) for state in states])
        return
    for state in states:
        signed_in = f" [{state.identity}]" if state.identity else ""
        click.echo(f"{state.moment}  {state}; {state.by}{signed_in}: {state.reason}")


def _document(state: "State") -> dict[str, Any]:
    """Return what a channel says as --json has it; `otherwise` is what the other phones run, None for no model."""
    return {
        "channel": state.channel,
        "sequence": state.sequence,
        "moment": state.moment,
        "version": state.release.version,
        "percent": state.percent,
        "otherwise": state.otherwise.version if state.otherwise else None,
        "by": state.by,
        "reason": state.reason,
        "identity": state.identity,
    }


@release.command()
@place_options
@_channel_option
def verify(place: Place, channel: str) -> None:
    """Verify a channel, its log, and every file that it offers, as phones have to."""
    publisher, _ = _open(place)
    state, files, releases = _verified(publisher, _known(publisher, channel))
    click.echo(f"{channel} {state.sequence}: {files} files of {releases} releases are as they were signed")


@release.command()
@place_options
def key(place: Place) -> None:
    """Print the public key that phones trust, in PEM."""
    publisher, _ = _open(place)
    click.echo(publisher.store.signer.public_pem.decode(), nl=False)
