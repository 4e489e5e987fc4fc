"""Which versions phones get, by what the channels say now, and how one is taken back from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.environment import LOCAL
from pipelines.release.channels import WHOLE
from pipelines.release.opening import RELEASES_FOLDER, local_publisher, publisher_of, trusted_keys
from pipelines.release.publisher import Publisher
from pipelines.release.verify import CHANNELS
from steps.core.common.errors import UserError


@dataclass(frozen=True, slots=True)
class Offer:
    """A version that `percent` of a channel's installations run; `back` is the command by which they no longer do."""

    version: int
    channel: str
    percent: int
    back: str

    def __str__(self) -> str:
        return self.channel if self.percent == WHOLE else f"{self.channel} {self.percent} %"


def current_offers(environment: str, region: str | None, home: Path) -> list[Offer]:
    """Return what the channels of an environment offer; raises UserError for channels that are not as signed."""
    if environment != LOCAL:
        from pipelines.aws.session import open_environment

        return [*offers(publisher_of(open_environment(environment, region), trusted_keys(home)))]
    # Nothing is opened, and no key made, for a machine that has released nothing.
    return [*offers(local_publisher(home))] if (home / RELEASES_FOLDER / CHANNELS).is_dir() else []


def offers(publisher: Publisher) -> Iterator[Offer]:
    """Yield the versions of every channel that some installations run."""
    for name in publisher.channels.names():
        state = publisher.channels.latest(name)
        if state and state.percent:
            yield Offer(state.release.version, name, state.percent, _back(publisher, name))
        if state and state.otherwise and state.percent < WHOLE:
            back = f"tilegate release rollout --channel {name} --percent {WHOLE} --by NAME --reason TEXT"
            yield Offer(state.otherwise.version, name, WHOLE - state.percent, back)


def _back(publisher: Publisher, channel: str) -> str:
    try:
        publisher.former(channel)
    except UserError:  # there is no version to go back to
        return f"tilegate release rollout --channel {channel} --percent 0 --by NAME --reason TEXT"
    return f"tilegate release rollback --channel {channel} --by NAME --reason TEXT"
