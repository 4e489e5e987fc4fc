"""Guarded worker processes: one hostile image must not take a step of a million images down.

Decoding holds the interpreter's lock, so threads do not help; and a decoder of untrusted bytes may hang, crash or ask
for all the memory there is, so no item runs in the step's own process, not even with one worker.

Every worker has a pipe of its own. In a pool with a shared queue (concurrent.futures, pebble) a worker that is killed
while it holds the queue's lock stalls the others, and the death is blamed on the wrong item. Here the end of a pipe is
the death of its worker, and the first item it has not answered is the one it died of.

This guards against accidents of decoders, not against an attacker who runs code in a worker: results are pickles.
"""

import contextlib
import os
import pickle
import resource
import selectors
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, TypeVar

from steps.core.common.errors import UserError

SECONDS = 10.0
MEMORY_BYTES = 1024**3

_CHUNK = 16
# Results that wait for their turn, a worker: what a slow item holds back, and what memory that may take.
_AHEAD = 8 * _CHUNK
_OUT_OF_MEMORY = 112
# cv2.Error.StsNoMem
_CV2_NO_MEMORY = -4

T = TypeVar("T")
R = TypeVar("R")


class WorkerStartError(RuntimeError):
    """A worker ended before its first item: its imports fail, or the machine has no memory for it."""


def die_with_parent() -> None:
    """End this worker when its parent ends, however it ends: a killed parent cannot close its pool."""
    parent = parent_process()
    if parent is None:
        raise RuntimeError("only a worker process may watch its parent")

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def blame(item: object, reason: str) -> Any:
    """Raise UserError for an item that its worker died of, where none is expected to be hostile."""
    raise UserError(f"{item}: {reason}; take it out or replace it, then start again")


def map_in_processes(
    function: Callable[[T], R],
    items: Sequence[T],
    workers: int,
    *,
    on_death: Callable[[T, str], R] = blame,
    seconds: float = SECONDS,
    memory_bytes: int = MEMORY_BYTES,
) -> Iterator[R]:
    """Yield `function(item)` for every item, in the items' order, computed in `workers` spawned processes.

    An item that takes more than `seconds` of wall time, or whose worker dies of it (a crash, `os._exit`, `SystemExit`,
    a Rust panic, MemoryError), yields `on_death(item, reason)` and the others go on in a new worker. `memory_bytes` is
    what an item may take on top of its worker's imports; it is a limit on Linux only (RLIMIT_DATA), for macOS knows
    none. An exception that `function` raises is raised here when its item's turn comes, with the worker's stack trace
    as a note.

    Only the death of a new worker proves anything about its item: one that an older worker died of is tried once more
    in a new one, so that no verdict depends on the items before it, and hardly one on a pause of the machine or a full
    memory. `function` may therefore run twice for an item and must not mind. It must not use SIGALRM, the clock of
    `seconds`.

    Raises WorkerStartError if a worker cannot even start.
    """
    if workers < 1:
        raise ValueError(f"{workers} workers: at least one is wanted")
    # Forking a process that has threads can deadlock, and spawning costs each worker its imports once.
    pool = _Pool(function, items, workers, _Guard(seconds, memory_bytes))
    try:
        for item, answer in zip(items, pool.answers(), strict=True):
            if answer.death:
                yield on_death(item, answer.death)
            elif answer.error is not None:
                raise answer.error
            else:
                yield answer.value
    finally:
        pool.kill()


@dataclass(frozen=True, slots=True)
class _Guard:
    seconds: float
    memory_bytes: int

    def reason(self, exit_code: int | None) -> str:
        if exit_code == -signal.SIGALRM:
            return f"it took more than {self.seconds:g} seconds"
        if exit_code == _OUT_OF_MEMORY:
            return f"it needed more than {self.memory_bytes / 1024**2:,.0f} MiB of memory"
        if exit_code == -signal.SIGKILL:
            return "its worker was killed, as the system does when memory runs out"
        if exit_code is not None and exit_code < 0:
            return f"its worker crashed with {signal.Signals(-exit_code).name}"
        return f"its worker ended with exit code {exit_code}"


@dataclass(frozen=True, slots=True)
class _Answer:
    """The result of one item: its value, or the exception it raised, or why its worker died of it."""

    value: Any = None
    error: Exception | None = None
    death: str = ""


@dataclass(eq=False, slots=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    ready: bool = False
    answered: bool = False
    given: deque[int] = field(default_factory=deque)
    """Numbers of the items it has and has not answered, in their order."""

    def kill(self) -> int | None:
        """End it for certain and return its exit code: its own, if it had ended before."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        return self.process.exitcode


class _Pool:
    """The parent's side. It has no threads: workers are fed and heard whenever the next answer is asked for."""

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any], workers: int, guard: _Guard) -> None:
        self._function, self._items, self._guard = function, items, guard
        # Few items are spread over all workers; many travel in chunks, which hide the round trip.
        self._chunk = max(1, min(_CHUNK, len(items) // (4 * workers)))
        self._count = min(workers, len(items))
        self._workers: set[_Worker] = set()
        self._selector = selectors.DefaultSelector()
        self._answers: dict[int, _Answer] = {}
        self._next = 0
        self._turn = 0

    def answers(self) -> Iterator[_Answer]:
        for _ in range(self._count):
            self._start([])
        for turn in range(len(self._items)):
            self._turn = turn
            # Even if the answer is there: a consumer that takes its time must not leave the workers without work.
            self._hear(timeout=0)
            while turn not in self._answers:
                self._hear(timeout=None)
            yield self._answers.pop(turn)

    def kill(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        self._selector.close()

    def _start(self, numbers: Sequence[int]) -> None:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._function, self._guard), daemon=True)
        worker = _Worker(process, ours, given=deque(numbers))
        process.start()
        # With the parent's copy open, the end of the worker would not end the pipe.
        theirs.close()
        self._workers.add(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _hear(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            worker: _Worker = key.data
            try:
                message = worker.pipe.recv_bytes()
            except (EOFError, OSError):
                self._bury(worker)
                continue
            if worker.ready:
                self._answers[worker.given.popleft()] = pickle.loads(message)  # noqa: S301
                worker.answered = True
            else:
                worker.ready = True
                self._send(worker)
        # A worker that had to wait, because the item whose turn it is held too many answers back, is fed later.
        for worker in self._workers:
            self._feed(worker)

    def _feed(self, worker: _Worker) -> None:
        limit = min(len(self._items), self._turn + _AHEAD * self._count)
        if worker.ready and not worker.given and self._next < limit:
            end = min(limit, self._next + self._chunk)
            worker.given.extend(range(self._next, end))
            self._next = end
            self._send(worker)

    def _send(self, worker: _Worker) -> None:
        # It is idle and reads, so that sending cannot block; if it has just died, its pipe says so at the next look.
        if worker.given:
            with contextlib.suppress(OSError):
                worker.pipe.send([self._items[number] for number in worker.given])

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        self._selector.unregister(worker.pipe)
        # The pipe ends a moment before the process does, and only then there is an exit code.
        worker.process.join(self._guard.seconds)
        exit_code = worker.kill()
        if not worker.ready:
            raise WorkerStartError(f"a worker process ended before its first item, with exit code {exit_code}")
        if worker.given and not worker.answered:
            self._answers[worker.given.popleft()] = _Answer(death=self._guard.reason(exit_code))
        if worker.given or self._next < len(self._items):
            self._start(worker.given)


def _serve(pipe: Connection, function: Callable[[T], R], guard: _Guard) -> None:
    """Answer chunks of items, one message an item, until the parent closes the pipe."""
    die_with_parent()
    # The terminal interrupts every process of the step, and ending the workers is the parent's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The kernel's default ends this process even while a decoder holds the interpreter's lock.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    _one_thread_for_opencv()
    _limit_memory(guard.memory_bytes)
    pipe.send_bytes(b"")
    with contextlib.suppress(EOFError, OSError):
        while True:
            chunk = pipe.recv()
            for item in chunk:
                signal.setitimer(signal.ITIMER_REAL, guard.seconds)
                try:
                    message = _answer(function, item)
                except MemoryError:
                    os._exit(_OUT_OF_MEMORY)
                signal.setitimer(signal.ITIMER_REAL, 0)
                pipe.send_bytes(message)


def _answer(function: Callable[[T], R], item: T) -> bytes:
    """Run the function and pickle what it returned or raised; MemoryError and what is no Exception goes through."""
    try:
        return pickle.dumps(_Answer(value=function(item)))
    except MemoryError:
        raise
    except Exception as error:
        if _is_opencv_out_of_memory(error):
            raise MemoryError from error
        trace = traceback.format_exc()
        try:
            error.add_note(f"in a worker process:\n{trace}")
            message = pickle.dumps(_Answer(error=error))
            pickle.loads(message)  # noqa: S301
        # Not every exception survives pickling, and some only fail when they are read.
        except Exception:  # noqa: BLE001
            return pickle.dumps(_Answer(error=RuntimeError(f"in a worker process:\n{trace}")))
        return message


def _is_opencv_out_of_memory(error: Exception) -> bool:
    # Known by its names: a worker that does not use OpenCV must not import it for this.
    kind = type(error)
    return (kind.__module__, kind.__qualname__) == ("cv2", "error") and getattr(error, "code", None) == _CV2_NO_MEMORY


def _one_thread_for_opencv() -> None:
    """Keep OpenCV, which takes all cores by default, to this worker's own thread, whether imported yet or not.

    Workers are as many as the cores that are granted: threads of theirs would only take turns. And each has a stack
    of megabytes and an arena of malloc's, which would count as the item's memory.
    """
    os.environ["OPENCV_FOR_THREADS_NUM"] = "1"
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)


def _limit_memory(more: int) -> None:
    """Limit the private writable memory of this process to what it has now and `more` bytes.

    Not RLIMIT_AS: threads and allocators reserve address space by the gigabyte that nothing ever fills.
    """
    if sys.platform != "linux":
        return
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    now = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:"))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = now + more
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
