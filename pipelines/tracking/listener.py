"""The executor's listener: it only queues; one background thread imports MLflow and writes."""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from pipelines.executor.events import Event, ExecutionStarted, StepProgress
from pipelines.tracking.database import experiment_id, open_client
from pipelines.tracking.runs import Runs
from pipelines.tracking.writer import Resolve, Writer


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
        self._queue: SimpleQueue[tuple[int, Event] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._writer: Writer | None = None
        self._parent: Future[str | None] = Future()
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
        return f"http://127.0.0.1:5000/{self._writer.links.run}" if self._writer else None

    def registration_run(self, _arguments: Mapping[str, Any], *, timeout: float = 60.0) -> str | None:
        """Return the execution's own run, for the registry to log the model there; None if tracking failed or hangs."""
        if self._closed or self._thread is None:
            return None
        try:
            return self._parent.result(timeout)
        except TimeoutError:
            return None

    def _work(self) -> None:
        while True:
            if self._queue.empty():
                self._guarded(self._flush)
            item = self._queue.get()
            if item is None:
                self._guarded(self._flush)
                return
            self._guarded(partial(self._write, *item))

    def _write(self, at: int, event: Event) -> None:
        if isinstance(event, ExecutionStarted):
            parent = None
            try:
                client = open_client(self._home)
                runs = Runs(client, experiment_id(client, self._home, event.pipeline_name))
                self._guarded(lambda: runs.close_dead(self._is_executing, event.execution_id))
                self._writer = Writer(runs, event, at, self._resolve)
                parent = self._writer.parent
            finally:
                self._parent.set_result(parent)
        elif self._writer is not None:
            self._writer.write(event, at)

    def _flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 (whatever goes wrong in tracking must not reach the run)
            self._report(f"{type(error).__name__}: {error}")

    def _report(self, problem: str) -> None:
        if self.problem is None:
            self.problem = problem
            print(f"warning: MLflow tracking is incomplete (the run itself goes on): {problem}", file=sys.stderr)
