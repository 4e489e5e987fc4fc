"""One night: take in what has come, look at what was decided, and start one execution or say why not.

It may be delivered twice, at the same time, and be killed anywhere: every write is either named by its content or
conditional, so the next delivery goes on where this one was.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from pipelines.data.clock import Clock, utc_now
from pipelines.data.snapshots import Snapshot
from pipelines.nightly.decide import Attempt, News, Nothing, Rules, Start, Why, decide
from pipelines.nightly.lease import Check
from pipelines.nightly.records import NightRecord, Question, Records
from pipelines.planning.earlier_runs import EarlierRun, all_looks
from pipelines.runs.executions import Executions
from pipelines.storage.protocol import ObjectStore
from steps.core.dataset.snapshot import REFERENCE, Batch

Tell = Callable[[str], None]


class Site(Protocol):
    """Where nights are held: in AWS, or on one machine."""

    @property
    def pipeline(self) -> str: ...

    @property
    def artifacts(self) -> ObjectStore: ...

    @property
    def executions(self) -> Executions: ...

    def alone(self, clock: Clock) -> AbstractContextManager[Check]:
        """Keep everybody else from holding a night here; raises NightBusyError if somebody does."""

    def take_in(self) -> Iterable[str]:
        """Make batches of what lies in the inbox, and give a line for each of what happened."""

    def data(self) -> Snapshot | None:
        """Return the present snapshot of all labelled data, None if there are no labels."""

    def settings(self) -> str:
        """Return the digest of the definition, images included, and of the parameters that were chosen."""

    def labels(self, batch: Batch) -> int:
        """Return how many usable rows a batch has brought."""

    def parameters(self, data: Snapshot, question: Question, earlier: Sequence[EarlierRun]) -> Mapping[str, Any]:
        """Return what to start an execution with; brings plan, champion and ledger to where they are wanted."""


@dataclass(frozen=True, slots=True)
class Held:
    """What came of a night: the decision, and the execution if one was started (or found to have been).

    `ended` are the nights whose end was not known before.
    """

    decision: Start | Nothing
    execution: str = ""
    ended: tuple[NightRecord, ...] = ()

    @property
    def line(self) -> str:
        """Say it in one line."""
        if isinstance(self.decision, Start):
            return f"started {self.execution}: {self.decision.reason}"
        return f"{self.decision.why}, nothing is started: {self.decision.reason}"


def hold_night(
    site: Site, rules: Rules, *, reason: str = "", clock: Clock = utc_now, tell: Tell = lambda _: None
) -> Held:
    """Hold one night; `reason` is a person's, for a night that is forced; `tell` hears of each batch of the inbox.

    Raises NightBusyError if another is being held, UserError for what a person has to mend. Errors of a service pass.
    """
    with site.alone(clock) as check_lease:
        for line in site.take_in():
            tell(line)
        data = site.data()
        if data is None:
            return Held(Nothing(Why.NO_DATA, "there is no batch of labels yet"))
        records = Records(site.artifacts)
        history, ended = _settled(site, records)
        question = Question(data.uri, site.settings())
        decision = decide(
            [_attempt(record) for record in history if record.question == question],
            _news(site, data, [record for record in history if record.question.settings == question.settings]),
            rules,
            now=clock(),
            executing=site.executions.executing(),
        )
        if isinstance(decision, Nothing):
            return Held(decision, "", ended)
        parameters = site.parameters(data, question, [record for record in history if record.execution])
        wanted = NightRecord(
            token=question.token(decision.number),
            pipeline=site.pipeline,
            question=question,
            attempt=decision.number,
            batches=tuple(batch.name for batch in data.batches),
            # The service takes every parameter as text.
            parameters={name: str(value) for name, value in parameters.items()},
            reason=reason or decision.reason,
            at=clock().isoformat(timespec="milliseconds"),
        )
        check_lease()
        tell(f"starting {wanted.display_name}: {decision.reason}")
        return Held(decision, _start(site, records, wanted), ended)


def _start(site: Site, records: Records, wanted: NightRecord) -> str:
    """Start the execution of an attempt once, and return its id: also if it has already been, by whomever."""
    record = records.claim(wanted)
    execution = records.execution_of(record) or site.executions.find(record.display_name)
    if execution is None:
        records.check_held(record)
        execution = site.executions.start(record.display_name, record.token, record.parameters)
    records.started(record, execution)
    return execution


def _settled(site: Site, records: Records) -> tuple[list[NightRecord], tuple[NightRecord, ...]]:
    """Return the history, and those of it that had not ended when somebody last looked; how they did is noted."""
    settled, ended = list[NightRecord](), list[NightRecord]()
    for found in records.all():
        record = found
        if not record.execution and (execution := site.executions.find(record.display_name)):
            record = records.started(record, execution)
        if record.execution and not record.outcome.status.is_final:
            record = replace(record, outcome=site.executions.outcome(record.execution))
            if record.outcome.status.is_final:
                # Executions follow each other, so that a look which nobody is known to have left is of this one.
                known = {name for other in settled for name in other.entered}
                entered = [name for name, _ in all_looks(site.artifacts) if name not in known]
                record = records.ended(record, entered)
                ended.append(record)
        settled.append(record)
    return settled, tuple(ended)


def _attempt(record: NightRecord) -> Attempt:
    return Attempt(record.attempt, record.outcome.status, record.execution, record.outcome.reason)


def _news(site: Site, data: Snapshot, history: Sequence[NightRecord]) -> News:
    answered = [record for record in history if record.outcome.status.is_answer]
    known = set(answered[-1].batches) if answered else set()
    fresh = [batch for batch in data.batches if batch.name not in known and batch.kind != REFERENCE]
    times = [datetime.fromisoformat(batch.added) for batch in fresh if batch.added]
    return News(
        labels=sum(site.labels(batch) for batch in fresh),
        oldest=min(times, default=None),
        gone=len(known - {batch.name for batch in data.batches}),
    )
