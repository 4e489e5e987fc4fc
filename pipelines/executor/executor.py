"""The run of a pipeline definition on this machine: which step is ready, and how it all ends."""

import contextlib
import os
import queue
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from pipelines.executor import checks
from pipelines.executor.definition import Step, parse
from pipelines.executor.errors import DefinitionError, RunStopped, StepFailed
from pipelines.executor.events import (
    Event,
    ExecutionFinished,
    ExecutionStarted,
    Listener,
    StepFailedEvent,
    StepReused,
    StepSkipped,
)
from pipelines.executor.expressions import Scope
from pipelines.executor.files import write_json
from pipelines.executor.job import ImageResolver, Launch, as_subprocess
from pipelines.executor.parameters import Value, bind
from pipelines.executor.process import Watchdog
from pipelines.executor.results import ExecutionResult, StepResult
from pipelines.executor.runner import Machine
from pipelines.executor.runs import LOCK, existing_run, new_run
from pipelines.executor.steps import FirstTrials, Register, Stepper, read_property_file
from pipelines.executor.store import LocalStore
from pipelines.locks import exclusive

_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,255}")
# Somebody who lists the runs holds one for an instant; another executor holds it for good.
_LOCK_PATIENCE_SECONDS = 1.0
_Done = tuple[str, StepResult | BaseException]


class Executor:
    """One execution of a definition. Everything that can be checked before a step runs is checked on construction.

    definition: what `Pipeline.definition()` returns, parsed.
    home: where store, runs and cache live.
    name: the pipeline's name, which the definition does not contain; caches are kept apart by it.
    images: resolves a container image to what is started here, and to the digest of its code.
    launch: starts a job, by default as a process of this machine; but a container's command line will do as well.
    parameters: values over the definition's defaults, as text or in their own type.
    register: the effect of RegisterModel, which fails without one.
    first_trials: hyperparameters (text by name) that a tuning step tries before any other, by the step's name.
    max_parallel: how many jobs run at the same time, by default as many as there are cores.
    resume: the id of an execution of this definition that goes on where it ended.
    code_note: what to remember of the code that runs, for people (a revision).

    Raises DefinitionError.
    """

    def __init__(
        self,
        definition: Mapping[str, Any],
        *,
        home: Path,
        name: str = "pipeline",
        images: ImageResolver,
        launch: Launch = as_subprocess,
        parameters: Mapping[str, Value] | None = None,
        listeners: Sequence[Listener] = (),
        register: Register | None = None,
        first_trials: FirstTrials | None = None,
        max_parallel: int | None = None,
        resume: str | None = None,
        code_note: str = "",
    ) -> None:
        if not _NAME.fullmatch(name):
            raise DefinitionError(f"the pipeline is called {name!r}: wanted letters, digits and '-', as SageMaker does")
        self._document = definition
        self._definition = parse(definition)
        checks.check(self._definition)
        self._home = home.absolute()
        self._name = name
        self._resumed: Mapping[str, Any] | None = None
        self._run_dir: Path | None = None
        if resume is not None:
            self._run_dir, self._resumed = existing_run(self._home, resume)
            parameters = self._check_resumed(self._resumed, parameters or {})
        self._parameters = bind(self._definition.parameters, parameters or {})
        self._images = images
        self._launch = launch
        self._listeners = list(listeners)
        self._register = register
        self._first_trials = dict(first_trials or {})
        self._max_parallel = max_parallel or os.cpu_count() or 1
        self._code_note = code_note
        self._stop = threading.Event()
        self._emitting = threading.RLock()
        self._done: queue.SimpleQueue[_Done | None] = queue.SimpleQueue()
        self._results: dict[str, StepResult] = {}
        self._properties: dict[str, Mapping[str, Any]] = {}
        self._failure: StepFailed | None = None
        self._cut_short = False
        self._reported: set[int] = set()

    def stop(self) -> None:
        """Ask the run to end: running jobs get SIGTERM, then SIGKILL. May be called from anywhere."""
        self._stop.set()
        self._done.put(None)

    def run(self) -> ExecutionResult:
        """Run to the end and return how it ended; SIGINT and SIGTERM stop it. Failures are results, not exceptions.

        Raises TimeoutError if the run is executing in another process.
        """
        run_dir = self._run_dir or new_run(self._home)
        with exclusive(run_dir / LOCK, wait_seconds=_LOCK_PATIENCE_SECONDS), self._signals():
            began, earlier = time.time(), self._resumed or {}
            state = {
                "execution_id": run_dir.name,
                "pipeline_name": self._name,
                "definition_digest": self._definition.digest,
                "parameters": self._parameters,
                "code_note": self._code_note,
                "started": earlier.get("started", began),
                "resumed": began,
                "seconds": earlier.get("seconds", 0.0),
                "status": "Executing",
                "failed_step": None,
                "reason": None,
                "steps": {},
            }
            write_json(run_dir / "definition.json", self._document)
            write_json(run_dir / "state.json", state)
            self._emit(ExecutionStarted(run_dir.name, self._name, self._parameters, self._definition.digest, run_dir))
            with contextlib.closing(Watchdog()) as watchdog:
                self._schedule(self._stepper(run_dir, watchdog), state)
            failure, seconds = self._failure, time.time() - began
            state["seconds"] += seconds
            state["status"] = "Failed" if failure else "Stopped" if self._cut_short else "Succeeded"
            if failure:
                state |= {"failed_step": failure.step, "reason": failure.reason}
            elif self._cut_short:
                state["reason"] = "stopped on request"
            self._write_state(run_dir, state)
        result = ExecutionResult(
            execution_id=run_dir.name,
            status=state["status"],
            failed_step=state["failed_step"],
            reason=state["reason"],
            exit_code=failure.exit_code if failure else None,
            steps=dict(self._results),
            run_dir=run_dir,
            seconds=seconds,
        )
        self._emit(ExecutionFinished(result.status, result.failed_step, result.reason, seconds))
        return result

    def _check_resumed(self, state: Mapping[str, Any], given: Mapping[str, Value]) -> Mapping[str, Value]:
        if state["definition_digest"] != self._definition.digest or state["pipeline_name"] != self._name:
            raise DefinitionError(
                f"the run {state['execution_id']} is of another definition or pipeline ({state['pipeline_name']}): "
                "resume it with its own definition.json, or start a new run"
            )
        stored: Mapping[str, Value] = state["parameters"]
        for name, value in bind(self._definition.parameters, {**stored, **given}).items():
            if value != stored[name]:
                raise DefinitionError(
                    f"the run {state['execution_id']} has {name} = {stored[name]!r}, which a resumed run keeps: leave "
                    "the parameter out, or start a new run"
                )
        return stored

    def _stepper(self, run_dir: Path, watchdog: Watchdog) -> Stepper:
        store = LocalStore(self._home / "store")
        store.sweep()
        machine = Machine(
            store=store,
            images=self._images,
            launch=self._launch,
            emit=self._emit,
            stop=self._stop,
            watchdog=watchdog,
            slots=threading.Semaphore(self._max_parallel),
            max_parallel=self._max_parallel,
            cores=os.cpu_count() or 1,
        )
        read = read_property_file(self._definition.steps, self._properties, store)
        return Stepper(
            machine=machine,
            scope=Scope(self._parameters, run_dir.name, self._properties, read),
            run_dir=run_dir,
            cache_dir=self._home / "cache" / self._name,
            register=self._register,
            first_trials=self._first_trials,
        )

    def _schedule(self, stepper: Stepper, state: dict[str, Any]) -> None:
        waiting = dict(self._definition.steps)
        running: dict[str, threading.Thread] = {}
        if self._resumed is not None:
            self._take_over(stepper, waiting)
        while True:
            self._skip(waiting)
            for step in [step for step in waiting.values() if self._ready(step)]:
                if len(running) >= self._max_parallel or self._failure or self._stop.is_set():
                    break
                del waiting[step.name]
                running[step.name] = threading.Thread(target=self._perform, args=(stepper, step), name=step.name)
                running[step.name].start()
            self._write_state(stepper.run_dir, state)
            if not running:
                break
            done = self._done.get()
            if done is not None:
                name, ended = done
                running.pop(name).join()
                self._settle(stepper, self._definition.steps[name], ended)
        # A stop that comes when everything is done has stopped nothing.
        self._cut_short = bool(waiting) or any(result.status == "Stopped" for result in self._results.values())
        why = "the run was stopped" if self._failure is None else f"{self._failure.step} failed"
        for name in waiting:
            self._skipped(name, why)

    def _take_over(self, stepper: Stepper, waiting: dict[str, Step]) -> None:
        """Keep the results that this execution already has; what depends on a lost one runs again."""
        reason = "done before this execution was resumed"
        lost: set[str] = set()
        while ready := [s for s in waiting.values() if s.name not in lost and not s.depends_on & waiting.keys()]:
            for step in ready:
                result = stepper.taken_over(step)
                if result is None:
                    lost.add(step.name)
                    continue
                del waiting[step.name]
                self._results[step.name], self._properties[step.name] = result, result.properties
                self._emit(StepReused(step.name, step.type, reason, stepper.execution_id, result, result.seconds))

    def _ready(self, step: Step) -> bool:
        return all(self._status(name) == "Succeeded" for name in step.depends_on)

    def _status(self, name: str) -> str | None:
        return self._results[name].status if name in self._results else None

    def _skip(self, waiting: dict[str, Step]) -> None:
        """Drop the steps that will never run: of branches not taken, and those that need such a step."""
        for step in list(waiting.values()):
            branch = step.branch
            decided = self._properties.get(branch.condition) if branch else None
            if branch and decided is not None and decided["Outcome"] is not branch.outcome:
                why = f"branch not taken: {branch.condition} has {'passed' if decided['Outcome'] else 'not passed'}"
            elif gone := [name for name in sorted(step.depends_on) if self._status(name) not in {None, "Succeeded"}]:
                why = f"it needs {gone[0]}, which {'was skipped' if self._status(gone[0]) == 'Skipped' else 'failed'}"
            else:
                continue
            del waiting[step.name]
            self._skipped(step.name, why)
            self._skip(waiting)
            return

    def _skipped(self, name: str, why: str) -> None:
        self._results[name] = StepResult("Skipped", reason=why)
        self._emit(StepSkipped(name, why))

    def _perform(self, stepper: Stepper, step: Step) -> None:
        try:
            self._done.put((step.name, stepper.run(step)))
        except BaseException as error:  # noqa: BLE001 (a thread's error must reach the scheduler, whatever it is)
            self._done.put((step.name, error))

    def _settle(self, stepper: Stepper, step: Step, ended: StepResult | BaseException) -> None:
        if isinstance(ended, StepResult):
            self._results[step.name], self._properties[step.name] = ended, ended.properties
        elif isinstance(ended, RunStopped):
            self._results[step.name] = StepResult("Stopped", reason="the run was stopped")
        else:
            failure = ended if isinstance(ended, StepFailed) else StepFailed(step.name, f"executor error: {ended!r}")
            if failure is not ended:
                traceback.print_exception(ended)
            self._results[step.name] = StepResult("Failed", reason=failure.reason)
            self._failure = self._failure or failure
            stepper.write(step, self._results[step.name], exit_code=failure.exit_code)
            log = stepper.folder(step) / "log.txt"
            found = log if log.exists() else None
            self._emit(StepFailedEvent(step.name, failure.reason, failure.exit_code, found, failure.uris))

    def _write_state(self, run_dir: Path, state: dict[str, Any]) -> None:
        state["steps"] = {
            name: {"status": result.status, "seconds": result.seconds, "reused": result.reused, "reason": result.reason}
            for name, result in self._results.items()
        }
        write_json(run_dir / "state.json", state)

    def _emit(self, event: Event) -> None:
        with self._emitting:
            for listener in self._listeners:
                try:
                    listener(event)
                except Exception as error:  # noqa: BLE001 (whoever watches a run must not be able to change it)
                    if id(listener) not in self._reported:
                        self._reported.add(id(listener))
                        print(f"warning: a listener failed, which does not change the run: {error!r}", file=sys.stderr)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM stop the run, where Python allows handlers: in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(_: int, __: FrameType | None) -> None:
            self.stop()

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
