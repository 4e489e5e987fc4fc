"""Running one job of a step: staged, started, watched, and its end told as a result or a classified failure."""

import errno
import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.executor import process
from pipelines.executor.claims import Claims
from pipelines.executor.errors import (
    ALGORITHM_ERROR,
    CAPACITY_ERROR,
    INTERNAL_ERROR,
    RESOURCE_LIMIT,
    DefinitionError,
    RunStopped,
    StepFailed,
)
from pipelines.executor.events import Event, StepMetric, StepProgress
from pipelines.executor.images import Image, ImageResolver
from pipelines.executor.job import Job, changed_in_place, failure_message, stage
from pipelines.executor.launch import Launch
from pipelines.executor.store import LocalStore
from pipelines.executor.watchdog import Watchdog

_PROGRESS_SECONDS = 0.5
# What C++ libraries (in glog's form) and Python's root logger say: it stays in the log, but is no progress.
_CHATTER = re.compile(r"[IWEF]\d{4} \d\d:\d\d:|(WARNING|INFO): (All log messages before|Created )|(WARNING|INFO):root:")
_CAPACITY = {errno.ENOSPC, errno.EDQUOT}
_RESOURCES = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
Enough = Callable[[str, Sequence[float]], bool]
"""Told each metric of a job with all of its values so far; says whether the job may be stopped."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What every step of a run shares. `slots` bounds the processes that run at the same time."""

    store: LocalStore
    images: ImageResolver
    emit: Callable[[Event], None]
    stop: threading.Event
    slots: threading.Semaphore
    watchdog: Watchdog
    claims: Claims
    environment: Mapping[str, str]
    cores: int
    max_parallel: int
    launch: Launch
    told: dict[str, float] = field(default_factory=dict)
    """When each step last told its progress; the trials of a tuning share their step's rate."""

    def image(self, step: str, uri: str, command: tuple[str, ...]) -> Image:
        """Resolve an image; whatever the resolver raises fails the step."""
        try:
            return self.images(uri, command)
        except Exception as error:
            raise StepFailed(step, f"the image {uri} cannot be run here: {error}") from error

    def run(self, job: Job, root: Path, step: str, trial: str | None = None, enough: Enough | None = None) -> "Printed":
        """Run a job to its end, or until `enough` says so, and return its metrics; raises StepFailed, RunStopped."""
        with self.slots:
            if self.stop.is_set():
                raise RunStopped
            watch = _Watch(job, step, trial, self, enough)
            try:
                linked = stage(job, root, self.store)
                launched = self.launch(job, root, self.environment)
                try:
                    ended = process.run(
                        launched.command,
                        cwd=launched.cwd,
                        environment=launched.environment,
                        log=root / "log.txt",
                        on_line=watch.line,
                        stopping=lambda: watch.cut or self.stop.is_set(),
                        watchdog=self.watchdog,
                        max_seconds=job.max_seconds,
                    )
                finally:
                    launched.after()
            except DefinitionError as error:
                raise StepFailed(step, str(error)) from error
            except (OSError, ValueError) as error:  # a NUL in a word or in the environment among them
                raise StepFailed(step, f"the job could not be started: {error}", kind=kind_of(error)) from error
        if watch.cut:  # however it ended then
            return Printed(watch.metrics, watch.curves, cut=True)
        if ended.stopped:
            raise RunStopped
        if ended.overran:
            raise StepFailed(step, f"stopped after MaxRuntimeInSeconds = {job.max_seconds:g}: it needed longer")
        if ended.code < 0:
            name = process.signal_name(-ended.code)
            hint = " (the machine may be out of memory)" if name == "SIGKILL" else ""
            raise StepFailed(step, f"the job was killed by {name}{hint}", exit_code=ended.code, kind=INTERNAL_ERROR)
        if ended.code:
            said = failure_message(job, root, ended.last_lines, f"the job printed nothing; see {root / 'log.txt'}")
            raise StepFailed(step, f"exit code {ended.code}: {said}", exit_code=ended.code)
        if changed := changed_in_place(linked):
            raise StepFailed(
                step,
                f"the job changed its input {changed.name} in place, which is a link to {changed}: copy a file before "
                "changing it, and bring back the object (a cached step that wrote it runs again by itself)",
            )
        return Printed(watch.metrics, watch.curves)


@dataclass(frozen=True, slots=True)
class Printed:
    """The last value of each metric that a job printed, and all of them in order. `cut` says that it was stopped."""

    metrics: dict[str, float]
    curves: dict[str, list[float]]
    cut: bool = False


def kind_of(error: OSError | ValueError) -> str:
    """Return the exception type, as RetryPolicies name it, of an error of the machine itself, or of the request."""
    if isinstance(error, ValueError):
        return ALGORITHM_ERROR
    if error.errno in _CAPACITY:
        return CAPACITY_ERROR
    return RESOURCE_LIMIT if error.errno in _RESOURCES else INTERNAL_ERROR


class _Watch:
    """Turns the lines of a job into metrics, each as it is printed, and others into progress, at most two a second."""

    def __init__(self, job: Job, step: str, trial: str | None, machine: Machine, enough: Enough | None) -> None:
        self._job = job
        self._step = step
        self._trial = trial
        self._emit = machine.emit
        self._told = machine.told
        self._pending = ""
        self._enough = enough
        self.metrics: dict[str, float] = {}
        self.curves: dict[str, list[float]] = {}
        self.cut = self._ending = False
        self._lines = 0

    def line(self, line: str) -> None:
        found = [
            self._metric(metric.name, match.group(1) if metric.regex.groups else match.group())
            for metric in (self._job.metrics if line and not self.cut else ())
            for match in metric.regex.finditer(line)
        ]
        self._lines += any(found)
        if line.strip() and not found and not _CHATTER.match(line):
            self._pending = line.strip()
        self.cut = self._ending
        now = time.monotonic()
        if self._pending and now - self._told.get(self._step, -math.inf) >= _PROGRESS_SECONDS:
            self._told[self._step] = now
            number = f"trial {self._trial.rpartition('-')[2]}: " if self._trial else ""
            self._emit(StepProgress(self._step, number + self._pending))
            self._pending = ""

    def _metric(self, name: str, text: str | None) -> bool:
        """Take in a value; tell whether it was one."""
        try:
            value = float(text or "")
        except ValueError:
            return False  # SageMaker ignores what is not a number as well
        curve = self.curves.setdefault(name, [])
        curve.append(value)
        self.metrics[name] = value
        self._emit(StepMetric(self._step, self._trial, name, value, self._lines))
        # Acted on when the line has been read to its end: what it tells besides belongs to the job as well.
        self._ending = self._ending or (self._enough is not None and self._enough(name, curve))
        return True
