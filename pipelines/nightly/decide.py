"""The decision of a night: to start one execution, or nothing, and why. It asks neither clock nor store nor service.

A *question* is what an execution answers: some data, under a definition (with its images), with some parameters. It has
its answer as soon as one execution of it has Succeeded or was Rejected. An *attempt* is one execution of a question, or
the announcement of one that nobody has started yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pipelines.runs.executions import Status
from steps.core.common.errors import UserError


class Why(StrEnum):
    """Why nothing starts."""

    NO_DATA = "no data"
    EXECUTING = "executing"
    ANSWERED = "nothing new"
    GIVEN_UP = "given up"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The attempt `number` (1, 2, …) at tonight's question."""

    number: int
    status: Status
    execution: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """What the data have that the last answered question, of this definition and these parameters, had not.

    `labels` are the usable rows of the batches that came since, `oldest` is when the first of those was added, `gone`
    how many of the batches of then are no longer there.
    """

    labels: int
    oldest: datetime | None = None
    gone: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """When a night starts an execution; raises UserError for rules that nothing can fulfil.

    `min_new_labels`: fewer wait for more, unless the oldest have waited for `max_age_days`; None is for ever.
    `max_attempts`: how often a question may fail. `force`: a new attempt in any case, except beside another execution.
    """

    min_new_labels: int = 1
    max_age_days: float | None = 7.0
    max_attempts: int = 3
    force: bool = False

    def __post_init__(self) -> None:
        if self.min_new_labels < 0:
            raise UserError(f"--min-new-labels {self.min_new_labels}: a number from 0 is wanted")
        if self.max_age_days is not None and not self.max_age_days >= 0:
            raise UserError(f"--max-age {self.max_age_days}: a number of days from 0 is wanted")
        if self.max_attempts < 1:
            raise UserError(f"--max-attempts {self.max_attempts}: at least 1 is wanted")


@dataclass(frozen=True, slots=True)
class Start:
    """Start, or go on starting, the attempt `number`."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Nothing:
    why: Why
    reason: str


def decide(
    attempts: Sequence[Attempt], news: News, rules: Rules, *, now: datetime, executing: str | None = None
) -> Start | Nothing:
    """Decide on a question with the `attempts` so far, in their order; `executing` is any execution that goes on."""
    if executing := _goes_on(attempts) or executing:
        return Nothing(Why.EXECUTING, f"{executing} is at it, and only one execution may be")
    number = _next(attempts)
    if rules.force:
        return Start(number, "forced")
    failed = [attempt for attempt in attempts if attempt.status.is_final]
    if over := _is_over(failed, rules):
        return over
    if waiting := _waits(news, rules, now):
        return Nothing(Why.WAITING, waiting)
    again = f"attempt {number} of {rules.max_attempts}, " if failed else ""
    return Start(number, f"{again}{_told(news)}")


def _goes_on(attempts: Sequence[Attempt]) -> str | None:
    return next((attempt.execution for attempt in attempts if attempt.status is Status.EXECUTING), None)


def _is_over(ended: Sequence[Attempt], rules: Rules) -> Nothing | None:
    """Tell why a question with these ended attempts is not asked again, None if it is."""
    answer = next((attempt for attempt in ended if attempt.status.is_answer), None)
    if answer:
        return Nothing(Why.ANSWERED, f"{answer.execution} has decided on these data: {answer.status}")
    if len(ended) < rules.max_attempts:
        return None
    last = ended[-1]
    return Nothing(
        Why.GIVEN_UP,
        f"{len(ended)} executions on these data have failed, the last, {last.execution}, with: "
        f"{last.reason or last.status}; mend that and use --force, or add data",
    )


def _next(attempts: Sequence[Attempt]) -> int:
    """Return the number of an attempt that was announced and never started, else of a new one."""
    last = attempts[-1] if attempts else None
    if last and last.status is Status.ANNOUNCED:
        return last.number
    return last.number + 1 if last else 1


def _waits(news: News, rules: Rules, now: datetime) -> str | None:
    """Tell what is waited for, None if nothing is. A batch that was taken away is a correction, and does not wait."""
    if news.labels >= rules.min_new_labels or news.gone:
        return None
    if news.oldest is None:
        return f"no batch has come since the last decision; {rules.min_new_labels:,} new labels are wanted"
    waited = now - news.oldest
    if rules.max_age_days is not None and waited >= timedelta(days=rules.max_age_days):
        return None
    age = f", or {rules.max_age_days:g} days" if rules.max_age_days is not None else ""
    return (
        f"{news.labels:,} new labels of the {rules.min_new_labels:,} that are wanted{age}; the oldest have waited for "
        f"{max(waited, timedelta()) / timedelta(days=1):.1f} days"
    )


def _told(news: News) -> str:
    gone = f", {news.gone} batches taken away" if news.gone else ""
    return f"{news.labels:,} new labels{gone}"
