"""Requests of the publisher, as a mapping that travels to a Lambda function as JSON."""

from collections.abc import Mapping
from typing import Any

from pipelines.release.publisher import Publisher
from steps.core.common.errors import UserError

PUBLISH, ROLLOUT, ROLLBACK = "publish", "rollout", "rollback"
_WANTED: Mapping[str, Mapping[str, type]] = {
    PUBLISH: {"version": int, "channel": str, "percent": int, "by": str, "reason": str},
    ROLLOUT: {"channel": str, "percent": int, "by": str, "reason": str},
    ROLLBACK: {"channel": str, "version": int, "by": str, "reason": str},
}


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
