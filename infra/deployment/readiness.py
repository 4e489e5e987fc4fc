"""Rows of a table of what is ready, or works: of a preflight before a deployment, of a smoke run after it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from infra.deployment.stacks_in_aws import Tell
from steps.core.common.errors import UserError

GOOD, BAD, UNKNOWN = "ok", "NOT OK", "unknown"
_STATE_WIDTH, _WHAT_WIDTH = 8, 23


class NotReadyError(UserError):
    """Something is not as a deployment needs it. Any other UserError of a check: it could not be looked at."""


@dataclass(frozen=True, slots=True)
class Check:
    """`look` says what it finds, or raises. A deployment that goes on without what `is_needed` would fail."""

    what: str
    look: Callable[[], str]
    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    state: str
    said: str
    is_needed: bool = True

    def __str__(self) -> str:
        return f"  {self.state:<{_STATE_WIDTH}}{self.what:<{_WHAT_WIDTH}} {self.said}"


def rows_of(checks: Iterable[Check], tell: Tell) -> list[Row]:
    """Look at everything, telling each row as it comes."""
    rows = []
    for check in checks:
        try:
            state, said = GOOD, check.look()
        except NotReadyError as error:
            state, said = BAD, str(error)
        except UserError as error:
            state, said = UNKNOWN, str(error)
        rows.append(Row(check.what, state, said, check.is_needed))
        tell(str(rows[-1]))
    return rows
