"""The executor's listener: it only queues; one background thread imports MLflow and writes."""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from pipelines.executor.events import Event, ExecutionStarted, StepProgress
from pipelines.tracking.database import experiment_id, open_client
from pipelines.tracking.experiment import Links
from pipelines.tracking.runs import Runs
from pipelines.tracking.writer import Resolve, Writer

_SAMPLE_SECONDS = 5.0
_Item = tuple[int, Event] | Future[str | None] | None


class MlflowTracker:
    """Records an execution in the MLflow store under `home`; a failure to do so is a warning, never an exception.

    The experiment is the pipeline's name. `resolve` finds the store file of an S3 URI, `is_executing` tells of an
    execution id whether somebody is running it now: what a crash left open is then closed.
    """

    def __init__(
        self,
        home: Path,
        *,
        resolve: Resolve,
        is_executing: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._home = home
        self._resolve = resolve
        self._is_executing = is_executing
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._writer: Writer | None = None
        self._ids: tuple[str, str] | None = None
        self.problem: str | None = None

    def __call__(self, event: Event) -> None:
        if self._closed or isinstance(event, StepProgress):
            return
        if isinstance(event, ExecutionStarted) and self._thread is None:
            # A daemon: a store that hangs must not keep the process alive beyond the timeout of `close`.
            self._thread = threading.Thread(target=self._work, name="mlflow-tracker", daemon=True)
            self._thread.start()
        self._queue.put((time.time_ns() // 1_000_000, event))

    def close(self, timeout: float = 30.0) -> None:
        """Write what is queued; gives up, with a warning, after `timeout` seconds."""
        if self._closed:
            return
        self._closed = True
        if self._thread is None:
            return
        self._queue.put(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._report(f"the last events were not written within {timeout:g} s")

    def url(self) -> str | None:
        """Return the page of this execution in the UI, once its run exists."""
        return f"http://127.0.0.1:5000/{Links(*self._ids).run}" if self._ids else None

    def registration_run(self, _arguments: Mapping[str, Any], *, timeout: float = 60.0) -> str | None:
        """Return the execution's own run, so that the registry logs the model there.

        The answer comes in turn, after the events that precede it; None if tracking failed or takes too long.
        """
        if self._closed or self._thread is None or not self._thread.is_alive():
            return None
        answer: Future[str | None] = Future()
        self._queue.put(answer)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                return answer.result(timeout=0.2)
            except FutureTimeoutError:
                if not self._thread.is_alive():
                    return None
        return None

    def _work(self) -> None:
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                self._guarded(self._flush)
                try:
                    item = self._queue.get(timeout=_SAMPLE_SECONDS)
                except Empty:
                    self._guarded(self._sample)
                    continue
            if item is None:
                self._guarded(self._flush)
                return
            if isinstance(item, Future):
                item.set_result(self._writer.parent if self._writer else None)
            else:
                moment, event = item
                self._guarded(partial(self._write, event, moment))

    def _write(self, event: Event, at: int) -> None:
        if isinstance(event, ExecutionStarted):
            client = open_client(self._home)
            runs = Runs(client, experiment_id(client, self._home, event.pipeline_name))
            self._guarded(lambda: runs.close_dead(self._is_executing, event.execution_id))
            self._writer = Writer(runs, event, at, self._resolve)
            self._ids = (runs.experiment_id, self._writer.parent)
        elif self._writer is not None:
            self._writer.write(event, at)

    def _flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()

    def _sample(self) -> None:
        if self._writer is not None:
            self._writer.sample(time.time_ns() // 1_000_000)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 (whatever goes wrong in tracking must not reach the run)
            self._report(f"{type(error).__name__}: {error}")

    def _report(self, problem: str) -> None:
        if self.problem is None:
            self.problem = problem
            print(f"warning: MLflow tracking is incomplete (the run itself goes on): {problem}", file=sys.stderr)
