"""Rows of a table of what is ready, or works: of a preflight before a deployment, of a smoke run after it."""

from collections.abc import Callable
from dataclasses import dataclass

from infra.deployment.stacks_in_aws import Tell
from steps.core.common.errors import UserError

GOOD, BAD, UNKNOWN = "ok", "NOT OK", "unknown"


class NotReadyError(UserError):
    """Something is not as a deployment needs it. Any other UserError of a check: it could not be looked at."""


@dataclass(frozen=True, slots=True)
class Row:
    """A deployment that goes on without what `is_needed` would fail."""

    what: str
    state: str
    text: str
    is_needed: bool


def check(tell: Tell, what: str, look: Callable[[], str], *, is_needed: bool = True) -> Row:
    """Return and tell a row; `look` says what it finds, or raises."""
    try:
        state, text = GOOD, look()
    except NotReadyError as error:
        state, text = BAD, str(error)
    except UserError as error:
        state, text = UNKNOWN, str(error)
    tell(f"  {state:<8}{what:<23} {text}")
    return Row(what, state, text, is_needed)
