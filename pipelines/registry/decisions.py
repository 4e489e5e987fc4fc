"""The rules of deciding, the same in every registry: what is refused with which sentence, and who may decide.

Never one of the roles that make the versions or release them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pipelines.environment import Environment
from pipelines.registry.protocol import APPROVED, REJECTED, Decision, ModelVersion, RegistryError, Wish

APPROVER = "approver"
_ROLE = re.compile(r"arn:[^:]+:(?:sts::\d+:assumed-role/([^/]+)/.+|iam::\d+:role/(?:.*/)?([^/]+))")

Histories = Mapping[int, Sequence[Decision]]
"""The decisions of a group, by version; their moments order all of them."""


def wished_version(wish: Wish, group: str, histories: Histories) -> int:
    """Return the version that a wish is about; raises RegistryError if there is nothing to roll back to."""
    if wish.version is not None:
        return wish.version
    champion, line = _replay(histories)
    before = [version for version in line if version != champion]
    if not before:
        there_is = f"version {champion} is the first" if champion else "there is none"
        raise RegistryError(f"{group} has no champion before the present one ({there_is}): approve a version instead")
    return before[-1]


def is_repeated(wish: Wish, version: ModelVersion, histories: Histories) -> bool:
    """Tell whether the group's last decision is this wish: the command was killed before its end, and is run again.

    A rollback that names no version is not, for each goes back by one more.
    """
    last = version.decisions[-1] if version.decisions else None
    if wish.version is None or last is None or version.outside:
        return False
    if last.at != max(decision.at for history in histories.values() for decision in history):
        return False
    return (last.status, last.by, last.reason) == (wish.status, wish.by.strip(), wish.reason.strip())


def decide(wish: Wish, version: ModelVersion, histories: Histories, *, identity: str = "") -> Decision:
    """Return the decision to be kept; raises RegistryError if the version is in no state for it."""
    champion = champion_of(histories)
    if wish.status == APPROVED:
        _check_approvable(version)
        if wish.is_rollback and not version.decisions:
            raise RegistryError(
                f"{version.group} version {version.version} was never the champion, so nobody can roll back to it: "
                "approve it instead"
            )
    else:
        _check_rejectable(version)
    return Decision(
        status=wish.status,
        by=wish.by.strip(),
        reason=wish.reason.strip(),
        at=_next_moment(histories),
        note=_note(wish, version.version, champion),
        sha256=version.sha256,
        identity=identity,
    )


def champion_of(histories: Histories) -> int | None:
    """Replay the decisions of a group in the order they were made; return the champion they end with."""
    return _replay(histories)[0]


def _replay(histories: Histories) -> tuple[int | None, list[int]]:
    """Return the champion, and the line of champions that lead to it, each approved in place of the one before.

    Going back to a champion takes those after it out of the line, and so does rejecting one.
    """
    champion: int | None = None
    line: list[int] = []
    for version, status in _in_order(histories):
        if status == APPROVED:
            line = [*(line[: line.index(version)] if version in line else line), version]
            champion = version
        else:
            line = [other for other in line if other != version]
            # An older approval does not come back by itself: somebody has to choose it.
            champion = None if version == champion else champion
    return champion, line


def _in_order(histories: Histories) -> Iterator[tuple[int, str]]:
    made = [(decision.at, version, decision.status) for version, history in histories.items() for decision in history]
    return ((version, status) for _, version, status in sorted(made))


def _check_approvable(version: ModelVersion) -> None:
    if version.status == REJECTED:
        last = version.decisions[-1]
        raise RegistryError(
            f"{version.group} version {version.version} was rejected by {last.by} ({last.reason}) and stays so: "
            "another run registers the model again, as a new version that can be approved"
        )
    if version.is_champion and not version.outside:
        raise RegistryError(f"{version.group} version {version.version} is approved and the champion already")


def _check_rejectable(version: ModelVersion) -> None:
    if version.status == REJECTED and not version.outside:
        last = version.decisions[-1]
        raise RegistryError(
            f"{version.group} version {version.version} was already rejected by {last.by} ({last.reason})"
        )


def _next_moment(histories: Histories) -> str:
    """Return now, or just after the group's last decision if the clock is behind: `at` orders all of a group's."""
    made = [datetime.fromisoformat(decision.at) for history in histories.values() for decision in history]
    moment = max([datetime.now(UTC), *(at + timedelta(microseconds=1) for at in made)])
    return moment.isoformat(timespec="microseconds")


def _note(wish: Wish, version: int, champion: int | None) -> str:
    if wish.status == APPROVED:
        made = f"champion in place of version {champion}" if champion and champion != version else "champion"
        return f"rolled back: {made}" if wish.is_rollback else made
    return "was the champion: the group has none until a version is approved" if version == champion else ""


def role_of(identity: str) -> str | None:
    """Return the name of the role that an ARN stands for (as STS tells it, or the role's own); None for no role."""
    match = _ROLE.fullmatch(identity)
    return (match[1] or match[2]) if match else None


def check_decider(identity: str, environment: Environment) -> None:
    """Refuse a decision of an unknown caller, or of a role of the deployment that is not the approver's.

    IAM says the same by what it lets each role write; this says it in a sentence, and also where a policy was widened.
    """
    wanted = f"assume {environment.role(APPROVER)}, or sign in as a person who may"
    if not identity:
        raise RegistryError(f"nobody knows who decides, so nothing is decided: {wanted}")
    role = role_of(identity)
    if role and role.startswith(f"{environment.project}-") and role != environment.role(APPROVER):
        raise RegistryError(
            f"the role {role} may not approve or reject models: those who make and release versions do not decide on "
            f"them; {wanted}"
        )
