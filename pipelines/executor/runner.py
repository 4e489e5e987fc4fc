"""The run of one job on its hosts: staged, started, watched, and its end as a result or a classified failure."""

import math
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.executor import process
from pipelines.executor.errors import INTERNAL_ERROR, DefinitionError, RunStopped, StepFailed
from pipelines.executor.events import Event, StepMetric, StepProgress
from pipelines.executor.files import output_files
from pipelines.executor.job import (
    Image,
    ImageResolver,
    Job,
    Launch,
    changed_in_place,
    failure_message,
    host_path,
    stage,
)
from pipelines.executor.store import LocalStore

_PROGRESS_SECONDS = 0.5
# What C++ libraries (in glog's form) and Python's root logger say: it stays in the log, but is no progress.
_CHATTER = re.compile(r"[IWEF]\d{4} \d\d:\d\d:|(WARNING|INFO): (All log messages before|Created )|(WARNING|INFO):root:")
Enough = Callable[[str, Sequence[float]], bool]
"""Given each metric of a job with all of its values so far, says whether the job may be stopped."""


class Claims:
    """The places of one execution's outputs. Publishing replaces what lies at a place, so places must not overlap."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: dict[str, tuple[str, str]] = {}

    def take(self, step: str, output: str, uri: str) -> None:
        """Claim `uri` for an output of a step; raises StepFailed if another output lies there."""
        place = uri.rstrip("/") + "/"
        with self._lock:
            for other, owner in self._owners.items():
                if owner != (step, output) and (place.startswith(other) or other.startswith(place)):
                    raise StepFailed(
                        step,
                        f"its output {output!r} ({uri}) overlaps with {owner[1]!r} of {owner[0]} ({other}): "
                        "give each output a place of its own",
                    )
            self._owners[place] = (step, output)


@dataclass(frozen=True, slots=True)
class Machine:
    """What every step of a run shares. `slots` bounds the jobs that run at the same time, `max_parallel` of them."""

    store: LocalStore
    images: ImageResolver
    launch: Launch
    emit: Callable[[Event], None]
    stop: threading.Event
    watchdog: process.Watchdog
    slots: threading.Semaphore
    max_parallel: int
    cores: int
    claims: Claims = field(default_factory=Claims)
    progress: dict[str, float] = field(default_factory=dict)
    """When each step last emitted its progress; the trials of a tuning share their step's rate."""

    def image(self, step: str, uri: str, command: tuple[str, ...]) -> Image:
        """Resolve an image; whatever the resolver raises fails the step."""
        try:
            return self.images(uri, command)
        except Exception as error:
            raise StepFailed(step, f"the image {uri} cannot be run here: {error}") from error


@dataclass(frozen=True, slots=True)
class Printed:
    """The last value of each metric that a job printed, and all of them in order; `stopped` if `enough` ended it."""

    metrics: dict[str, float]
    curves: dict[str, list[float]]
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs the job of a step, or of one of its trials, on a machine; it may be stopped when `enough` says so."""

    machine: Machine
    step: str
    trial: str | None = None
    enough: Enough | None = None

    def run(self, job: Job, root: Path) -> Printed:
        """Run a job on its hosts to its end, and return what the first host printed; raises StepFailed, RunStopped.

        The first host that fails ends the others. However many they are, they take the place of one job.
        """
        stop = self.machine.stop
        with self.machine.slots:
            if stop.is_set():
                raise RunStopped
            if len(job.hosts) == 1:
                return self._run(job, root, stop.is_set)
            return self._run_on_all(job, root)

    def _run_on_all(self, job: Job, root: Path) -> Printed:
        over = threading.Event()
        errors: list[BaseException] = []

        def run(host: int) -> Printed:
            # Only the first host's metrics count, so only they may end the job early.
            runner, own = replace(self, enough=None) if host else self, replace(job, host=host)
            own.root(root).mkdir(parents=True, exist_ok=True)
            try:
                return runner._run(own, own.root(root), lambda: over.is_set() or self.machine.stop.is_set())  # noqa: SLF001
            except StepFailed as error:
                reason = f"host algo-{host + 1}: {error.reason}"
                raise StepFailed(self.step, reason, exit_code=error.exit_code, kind=error.kind) from error

        with ThreadPoolExecutor(len(job.hosts)) as pool:
            hosts = [pool.submit(run, host) for host in range(len(job.hosts))]
            for ended in as_completed(hosts):
                if error := ended.exception():
                    errors.append(error)
                if error or ended.result().stopped:
                    over.set()
        if not hosts[0].exception() and hosts[0].result().stopped:
            return hosts[0].result()
        if self.machine.stop.is_set():
            raise RunStopped
        # What the failure of one host has stopped is no failure of its own.
        if errors:
            raise next((error for error in errors if isinstance(error, StepFailed)), errors[0])
        return hosts[0].result()

    def _run(self, job: Job, root: Path, stopping: Callable[[], bool]) -> Printed:
        """Run one host of a job."""
        machine, step = self.machine, self.step
        watch = _Watch(job, self)
        try:
            linked = stage(job, root, machine.store)
            launched = machine.launch(job, root)
            try:
                ended = process.run(
                    launched,
                    log=root / "log.txt",
                    on_line=watch.line,
                    stopping=lambda: watch.cut or stopping(),
                    watchdog=machine.watchdog,
                    max_seconds=job.max_seconds,
                )
            finally:
                launched.after()
        except DefinitionError:
            raise
        except ValueError as error:  # a NUL in a word or in the environment
            raise DefinitionError(f"the job could not be started: {error}") from error
        if watch.cut:  # however it ended then
            return Printed(watch.metrics, watch.curves, stopped=True)
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
                "changing it, and restore the object (a cached step that wrote it runs again by itself)",
            )
        return Printed(watch.metrics, watch.curves)


def gather(job: Job, root: Path, folder: str) -> Path:
    """Bring what all hosts wrote into a folder (a path in the container) together, and return where it now lies.

    As in S3, where all of them upload to one place: of two files with one name the last host's stays. Raises
    DefinitionError if a host left a link there, or made one of the folder itself.
    """
    whole = host_path(folder, root)
    output_files(whole, root)
    for host in range(1, len(job.hosts)):
        other = replace(job, host=host).root(root)
        for key, path in output_files(host_path(folder, other), other):
            target = whole / key
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    return whole


class _Watch:
    """Turns the lines of a job into metrics, each as it is printed, and others into progress, at most two a second."""

    def __init__(self, job: Job, runner: Runner) -> None:
        self._job = job
        self._runner = runner
        self._pending = ""
        self._lines = 0
        self._ending = False
        self.metrics: dict[str, float] = {}
        self.curves: dict[str, list[float]] = {}
        self.cut = False

    def line(self, line: str) -> None:
        found = [
            self._metric(name, match.group(1) if regex.groups else match.group())
            for name, regex in (self._job.metrics.items() if line and not self.cut else ())
            for match in regex.finditer(line)
        ]
        self._lines += any(found)
        if line.strip() and not found and not _CHATTER.match(line):
            self._pending = line.strip()
        self.cut = self._ending
        step, trial, emitted = self._runner.step, self._runner.trial, self._runner.machine.progress
        now = time.monotonic()
        if self._pending and now - emitted.get(step, -math.inf) >= _PROGRESS_SECONDS:
            emitted[step] = now
            number = f"trial {trial.rpartition('-')[2]}: " if trial else ""
            self._runner.machine.emit(StepProgress(step, number + self._pending))
            self._pending = ""

    def _metric(self, name: str, text: str | None) -> bool:
        """Take in a value; return whether it was one."""
        try:
            value = float(text or "")
        except ValueError:
            return False  # SageMaker ignores what is not a number as well
        curve = self.curves.setdefault(name, [])
        curve.append(value)
        self.metrics[name] = value
        runner = self._runner
        runner.machine.emit(StepMetric(runner.step, runner.trial, name, value, self._lines))
        # Acted on when the line has been read to its end: its other metrics belong to the job as well.
        self._ending = self._ending or (runner.enough is not None and runner.enough(name, curve))
        return True
