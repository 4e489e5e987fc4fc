"""Common parts of the step programs: exit codes, the failure text, progress, and the number of workers."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from steps.core.common.errors import UserError
from steps.core.common.files import full_disk_told

PROCESSING = Path("/opt/ml/processing")

EXIT_ERROR = 1
EXIT_REJECTED = 3
EXIT_STOPPED = 128 + signal.SIGTERM
_MESSAGE_CHARACTERS = 1000
_WORTH_A_PROCESS = 128
_SECONDS_TOLD = 120


class StoppedError(BaseException):
    """The platform asked the program to end: no Exception, so that nobody takes it for a fault of what is read."""


class RejectedError(UserError):
    """The gate said no: not a fault, but the run must not go on."""


def run(main: Callable[[], None], message: Path) -> int:
    """Run a step program and return its exit code: 0, 1 for an error a person must mend, 3 for a rejection.

    SIGTERM, with which the platform stops a job, ends it with a sentence and the exit code that shells give it. The
    sentence goes to stderr and to `message`, where the platform reads why a job failed. Anything unforeseen is a
    bug and keeps its stack trace.
    """
    try:
        with _ending_on_sigterm(), full_disk_told():
            main()
    except (UserError, StoppedError) as error:
        print(f"error: {error}", file=sys.stderr)
        # Outside of a container there may be no such place, and the sentence is on stderr already.
        with contextlib.suppress(OSError):
            message.parent.mkdir(parents=True, exist_ok=True)
            message.write_text(str(error)[:_MESSAGE_CHARACTERS], encoding="utf-8")
        if isinstance(error, StoppedError):
            return EXIT_STOPPED
        return EXIT_REJECTED if isinstance(error, RejectedError) else EXIT_ERROR
    return 0


@contextlib.contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Raise StoppedError in the block on SIGTERM, where Python allows handlers: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise StoppedError("stopped on request (SIGTERM) before it was done")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def worker_count(wanted: int, items: int) -> int:
    """Return how many processes to use on `items`: the number given, or for 0 what is worth starting.

    That is one for each CPU that the platform grants this job, with at least 128 items each: a process costs as much
    to start as it takes to decode some fifty screenshots.
    """
    if wanted < 0:
        raise UserError(f"{wanted} workers: a number of processes, or 0 for one for each CPU, is wanted")
    return wanted or min(granted_cpus(), max(1, items // _WORTH_A_PROCESS))


def granted_cpus() -> int:
    """Return the number of CPUs that the platform grants this job."""
    granted = os.environ.get("SM_NUM_CPUS", "")
    if granted.isdecimal() and int(granted):
        return int(granted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Progress:
    """Plain progress lines, at most one a second: `Cut 512/1094 screenshots, 7 s left`."""

    def __init__(self, verb: str, total: int, noun: str) -> None:
        self._verb, self._total, self._noun = verb, total, noun
        self._started = self._printed = time.monotonic()
        self._done = 0

    def advance(self, count: int = 1) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._printed >= 1 or self._done == self._total:
            self._printed = now
            seconds = (now - self._started) / self._done * (self._total - self._done)
            print(f"{self._verb} {self._done}/{self._total} {self._noun}{left(seconds)}", flush=True)


def left(seconds: float) -> str:
    """Write how long something will take yet; nothing where it is over."""
    if seconds <= 0:
        return ""
    return f", {seconds:.0f} s left" if seconds < _SECONDS_TOLD else f", {seconds / 60:.0f} min left"
