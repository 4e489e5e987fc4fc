"""The publisher, which alone moves channels: publish, widen a rollout, roll back, also by requests in JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.registry.protocol import REJECTED, Decision, ModelRegistry, ModelVersion, RegistryError
from pipelines.release.channels import WHOLE, Channels, State
from pipelines.release.store import ReleaseStore
from steps.core.common.errors import UserError

PUBLISH, ROLLOUT, ROLLBACK = "publish", "rollout", "rollback"
_WANTED: Mapping[str, Mapping[str, type]] = {
    PUBLISH: {"version": int, "channel": str, "percent": int, "by": str, "reason": str},
    ROLLOUT: {"channel": str, "percent": int, "by": str, "reason": str},
    ROLLBACK: {"channel": str, "version": int, "by": str, "reason": str},
}


class RefusedError(UserError):
    """A person has to do something else first; trying the same again would not help."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A version that `percent` of a channel's installations run; `back` is the command by which they no longer do."""

    version: int
    channel: str
    percent: int
    back: str

    def __str__(self) -> str:
        return self.channel if self.percent == WHOLE else f"{self.channel} {self.percent} %"


@dataclass(frozen=True, slots=True)
class Publisher:
    """`group` is the group of models that the channels offer."""

    registry: ModelRegistry
    group: str
    store: ReleaseStore
    channels: Channels

    def publish(self, version: int, channel: str, percent: int, *, by: str, reason: str, identity: str = "") -> State:
        """Offer a version in a channel, to a share of the installations; released first if it was not yet.

        Nothing changes if the channel offers it to that share already. Raises RefusedError if another version is still
        being rolled out.
        """
        percent, by, reason = _checked(percent, by, reason)
        # Nothing is signed beside a log that does not hold, or for a channel that cannot take it.
        _check_free(self.channels.latest(channel), version)
        found = self.registry.get(self.group, version)
        release = self.store.release(self.registry, found)
        approved = found.approval.at if found.approval else ""

        def change(state: State | None) -> State | None:
            if state and state.release == release and state.percent == percent:
                return None
            _check_free(state, version)
            if state and state.release == release and percent < state.percent:
                raise RefusedError(
                    f"{channel} offers version {version} to {state.percent} % already: `tilegate release "
                    f"rollout --percent {percent}` takes it from phones that have it"
                )
            # What the others run: the version before, or what they ran already where no phone runs that.
            otherwise = state.otherwise if state else None
            if state and state.release != release and state.percent == WHOLE:
                otherwise = state.release
            return State(channel, release, percent, otherwise, by, reason, identity, approved)

        return self.channels.move(channel, change)

    def follow(self, version: int, channel: str, percent: int) -> State | None:
        """Publish what was approved, because of the approval; None if it is not the group's last one.

        Nothing moves if this approval has moved the channel before: events come late, in any order and several times,
        and must undo neither a rollback nor a newer version. A version that the channel has offered before was approved
        again to go back to it: it is offered to all. Raises RefusedError for a version that nobody has approved by name
        and reason.
        """
        found, approval = self._approved(version)
        history = self.channels.history(channel)
        if any(state.release.version == version and state.approved == approval.at for state in history):
            # Also lets phones read a move that was begun by a publisher that was killed.
            return self.channels.move(channel, lambda _: None)
        if not found.is_champion:
            return None
        if any(state.release.version == version for state in history):
            return self._return(channel, version, approved=approval.at, **_who(approval))
        return self.publish(version, channel, percent, **_who(approval))

    def rollout(self, channel: str, percent: int, *, by: str, reason: str, identity: str = "") -> State:
        """Change the share of the installations that run a channel's version, whose files are verified again.

        Raises UserError for a version that was rejected since, unless fewer shall run it.
        """
        percent, by, reason = _checked(percent, by, reason)

        def change(state: State | None) -> State | None:
            if state is None or state.percent == percent:
                return None
            self.store.manifest_of(state.release)
            if percent > state.percent and self._is_rejected(state.release.version):
                raise RefusedError(
                    f"{channel}: version {state.release.version} was rejected, and no more phones get it; "
                    "`tilegate release rollout --percent 0` takes it from all, and another version can follow then"
                )
            return replace(state, percent=percent, by=by, reason=reason, identity=identity)

        return self.channels.move(channel, change)

    def rollback(self, channel: str, to: int, *, by: str, reason: str, identity: str = "") -> State:
        """Offer the earlier release `to` to all; its files are those that were released then, verified again.

        Raises UserError if there is no such release, and for a version that was rejected since.
        """
        _, by, reason = _checked(WHOLE, by, reason)
        if self.channels.latest(channel) is None:
            raise _no_channel(channel)
        return self._return(channel, to, by=by, reason=reason, identity=identity)

    def former(self, channel: str) -> int:
        """Return the version to roll back to: the last other one that the channel offered to all.

        Asked apart from `rollback`, so that a request which is sent twice does not go back by two.
        """
        present = self.channels.latest(channel)
        if present is None:
            raise _no_channel(channel)
        if present.otherwise:
            return present.otherwise.version
        # What was rolled back from is no way back: of the states before the present version came, the last.
        whole = [state.release for state in self.channels.history(channel) if state.percent == WHOLE]
        earlier = whole[: whole.index(present.release)] if present.release in whole else whole
        if not earlier:
            raise UserError(
                f"{channel} has offered no release to all before version {present.release.version}: name one with "
                "--to, or take the version from all phones with `tilegate release rollout --percent 0`"
            )
        return earlier[-1].version

    def offers(self) -> Iterator[Offer]:
        """Yield the versions of every channel that some installations run; raises UserError for a log not as signed."""
        for name in self.channels.names():
            state = self.channels.latest(name)
            if state and state.percent:
                yield Offer(state.release.version, name, state.percent, self._back(name))
            if state and state.otherwise and state.percent < WHOLE:
                yield Offer(state.otherwise.version, name, WHOLE - state.percent, _rollout(name, WHOLE))

    def remove_unfinished(self, *, but: int | None) -> None:
        """Remove the files of releases that a killed publisher never signed, but those of the version `but`.

        What a channel has ever named is no leftover, whatever became of its manifest.
        """
        named = {
            release.version
            for channel in self.channels.names()
            for state in self.channels.history(channel)
            for release in (state.release, state.otherwise)
            if release
        }
        self.store.remove_unsigned(named | ({but} if but is not None else set()))

    def _back(self, channel: str) -> str:
        try:
            self.former(channel)
        except UserError:  # there is no version to go back to
            return _rollout(channel, 0)
        return f"tilegate release rollback --channel {channel} --by NAME --reason TEXT"

    def _return(self, channel: str, version: int, *, by: str, reason: str, identity: str, approved: str = "") -> State:
        release = self.store.find(version)
        if self._is_rejected(version):
            raise UserError(f"version {version} was rejected: roll back to another one with --to")

        def change(state: State | None) -> State | None:
            if state and state.release == release and state.percent == WHOLE:
                return None
            return State(channel, release, WHOLE, None, by, reason, identity, approved)

        return self.channels.move(channel, change)

    def _is_rejected(self, version: int) -> bool:
        found = self.registry.get(self.group, version)
        return REJECTED in (found.status, found.outside)

    def _approved(self, version: int) -> tuple[ModelVersion, Decision]:
        try:
            found = self.registry.get(self.group, version)
        except RegistryError as error:
            raise RefusedError(f"nothing is released: {error}") from None
        if found.approval is None:
            raise RefusedError(
                f"{self.group} version {version} is {found.outside or found.status} without a name and a reason: "
                f"nothing is released; `tilegate models approve {version}` asks for both"
            )
        return found, found.approval


def _check_free(state: State | None, version: int) -> None:
    """Raise RefusedError while another version is on some phones of a channel and not on others."""
    if state and state.release.version != version and state.percent not in (0, WHOLE):
        raise RefusedError(
            f"{state.channel} is at {state.percent} % of version {state.release.version}: finish its rollout "
            "(`tilegate release rollout --percent 100`), or take it back (`--percent 0`), before another follows"
        )


def _rollout(channel: str, percent: int) -> str:
    return f"tilegate release rollout --channel {channel} --percent {percent} --by NAME --reason TEXT"


def _who(approval: Decision) -> dict[str, str]:
    return {"by": approval.by, "reason": approval.reason, "identity": approval.identity}


def _no_channel(name: str) -> UserError:
    return UserError(f"there is no channel {name}: nothing can be rolled back")


def _checked(percent: int, by: str, reason: str) -> tuple[int, str, str]:
    if not 0 <= percent <= WHOLE:
        raise UserError(f"percent {percent!r}: a whole number from 0 to 100 is wanted")
    by, reason = by.strip(), reason.strip()
    if not by or not reason:
        raise UserError("a name and a reason are wanted: they are kept with the channel")
    return percent, by, reason


def perform(publisher: Publisher, request: Mapping[str, Any]) -> str:
    """Do what a request says and return what the channel says then; raises UserError for a request of another form.

    `identity`, which may be missing, is who the asking side is signed in as.
    """
    action = str(request.get("action"))
    if action not in _WANTED:
        raise UserError(f"action {action!r}: one of {', '.join(_WANTED)} is wanted")
    given = {name: value for name, value in request.items() if name not in {"action", "identity"}}
    identity = request.get("identity", "")
    wanted = _WANTED[action]
    # To Python a truth value is a whole number.
    wrong = [n for n in wanted if not isinstance(given.get(n), wanted[n]) or isinstance(given.get(n), bool)]
    if wrong or set(given) - set(wanted) or not isinstance(identity, str):
        got = ", ".join(f"{name} ({type(value).__name__})" for name, value in sorted(given.items()))
        raise UserError(f"the request {action} wants {', '.join(wanted)}, of text and whole numbers; got {got}")
    channel, who = given["channel"], {"by": given["by"], "reason": given["reason"], "identity": identity}
    before = publisher.channels.latest(channel)
    if action == PUBLISH:
        state = publisher.publish(given["version"], channel, given["percent"], **who)
    elif action == ROLLOUT:
        state = publisher.rollout(channel, given["percent"], **who)
    else:
        state = publisher.rollback(channel, given["version"], **who)
    if state != before:
        return str(state)
    return f"{state}; nothing changed: so it is since {state.moment}, by {state.by}: {state.reason}"
