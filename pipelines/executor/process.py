"""The process of a job: its output to the log and to a listener, and its end, by itself, on request or in time."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.executor.job import Launched

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 5.0
_LONGEST_LINE = 65_536
_KEPT_LINES = 50
_LINE_END = re.compile(rb"[\r\n]+")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[^\[]|[\x00-\x08\x0b-\x1f\x7f]")
_WATCHDOG = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended. `code` is negative for a signal; `stopped` and `overran` say that we sent it."""

    code: int
    last_lines: tuple[str, ...]
    stopped: bool
    overran: bool


class Watchdog:
    """Guard that no job outlives the executor, even if it is killed.

    A small process waits for the executor's end of a pipe to close, then kills the process groups that were running.
    """

    def __init__(self) -> None:
        # A session of its own: Ctrl-C in the terminal must not end the one who cleans up after it.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WATCHDOG],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )

    def close(self) -> None:
        self._process.communicate()

    @contextlib.contextmanager
    def watching(self, group: int) -> Iterator[None]:
        self._send(f"+{group}\n")
        try:
            yield
        finally:
            self._send(f"-{group}\n")

    def _send(self, line: str) -> None:
        with contextlib.suppress(OSError):
            # One write of a short line is whole, whichever thread it is from.
            if self._process.stdin is not None:
                self._process.stdin.write(line.encode())


def run(
    launched: Launched,
    *,
    log: Path,
    on_line: Callable[[str], None],
    stopping: Callable[[], bool],
    watchdog: Watchdog,
    max_seconds: float | None,
) -> Exit:
    """Run a command in a session of its own until it ends; `on_line("")` is called when nothing was printed a while.

    When `stopping` says so the whole session gets SIGTERM, and SIGKILL five seconds later. Raises OSError if the
    command cannot be started.
    """
    try:
        process = subprocess.Popen(
            launched.command,
            cwd=launched.cwd,
            env=dict(launched.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise OSError(error.errno, f"the job could not be started: {error.strerror}", error.filename) from error
    last = deque[str](maxlen=_KEPT_LINES)
    ending = _Ending(process.pid, stopping, max_seconds)
    with watchdog.watching(process.pid):
        try:
            with log.open("ab", buffering=0) as sink:
                for line in _lines(_output(process, ending), sink.write):
                    if line:
                        last.append(line)
                    on_line(line)
        finally:
            # Whatever of its session is left must not write into outputs that are about to be published.
            _kill_group(process.pid, signal.SIGKILL)
            process.wait()
    return Exit(process.returncode, tuple(last), ending.stopped, ending.overran)


def _output(process: subprocess.Popen[bytes], ending: "_Ending") -> Iterator[bytes]:
    """Yield what the process prints, and b"" now and then while it prints nothing, until it has ended."""
    if process.stdout is None:
        raise RuntimeError("the process was started without a pipe")
    with process.stdout as pipe:
        poller = select.poll()
        poller.register(pipe, select.POLLIN)
        while True:
            # Asked before the pipe is: what was printed last is in it by then.
            has_ended = process.poll() is not None
            if poller.poll(_POLL_SECONDS * 1000):
                chunk = os.read(pipe.fileno(), 65_536)
                if not chunk:
                    break
                yield chunk
            elif has_ended and not ending.in_grace:
                return  # a child of it keeps the pipe open
            else:
                yield b""
            ending.check()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
            return
        yield b""
        ending.check()


class _Ending:
    """Ends a session that was asked to stop or runs too long: SIGTERM first, SIGKILL after the grace."""

    def __init__(self, group: int, stopping: Callable[[], bool], max_seconds: float | None) -> None:
        self._group = group
        self._stopping = stopping
        self._deadline = time.monotonic() + max_seconds if max_seconds else float("inf")
        self._kill_at = float("inf")
        self.stopped = False
        self.overran = False

    @property
    def in_grace(self) -> bool:
        return time.monotonic() < self._kill_at < float("inf")

    def check(self) -> None:
        now = time.monotonic()
        if not (self.stopped or self.overran):
            self.stopped, self.overran = self._stopping(), now > self._deadline
            if self.stopped or self.overran:
                self._kill_at = now + _GRACE_SECONDS
                _kill_group(self._group, signal.SIGTERM)
        elif now > self._kill_at:
            _kill_group(self._group, signal.SIGKILL)


def _lines(chunks: Iterator[bytes], sink: Callable[[bytes], object]) -> Iterator[str]:
    """Cut chunks at newlines and carriage returns (progress bars), without terminal control codes; "" for an empty one.

    Each chunk also goes to `sink` as it is.
    """
    rest = b""
    for chunk in chunks:
        sink(chunk)
        *whole, rest = _LINE_END.split(rest + chunk)
        if len(rest) > _LONGEST_LINE:
            whole, rest = [*whole, rest], b""
        yield from (_clean(line) for line in whole if line)
        if not chunk:
            yield ""
    if rest:
        yield _clean(rest)


def _clean(line: bytes) -> str:
    return _CONTROL.sub("", line.decode("utf-8", errors="replace"))


def _kill_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
