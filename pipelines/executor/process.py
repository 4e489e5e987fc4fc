"""Running a job's process: its output to the log and to whoever listens, and its end, whoever brings it about."""

import contextlib
import os
import re
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.executor.watchdog import Watchdog, dies_with_executor, kill_group

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 5.0
_LONGEST_LINE = 65_536
_KEPT_LINES = 50
_LINE_END = re.compile(rb"[\r\n]+")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[^\[]|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended. `code` is negative for a signal; `stopped` and `overran` say that we sent it."""

    code: int
    last_lines: tuple[str, ...]
    stopped: bool
    overran: bool


def run(
    command: list[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
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
    process = subprocess.Popen(
        dies_with_executor(command),
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        bufsize=0,
    )
    watchdog.add(process.pid)
    lines, last = _Lines(), deque[str](maxlen=_KEPT_LINES)
    ending = _Ending(process.pid, stopping, max_seconds)
    try:
        with log.open("ab", buffering=0) as sink:
            for chunk in _output(process, ending):
                sink.write(chunk)
                for line in lines.feed(chunk):
                    last.append(line)
                    on_line(line)
                if not chunk:
                    on_line("")
            for line in lines.rest():
                last.append(line)
                on_line(line)
    finally:
        # Whatever of its session is left must not write into outputs that are about to be published.
        kill_group(process.pid, signal.SIGKILL)
        process.wait()
        watchdog.remove(process.pid)
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
                kill_group(self._group, signal.SIGTERM)
        elif now > self._kill_at:
            kill_group(self._group, signal.SIGKILL)


class _Lines:
    """Cuts bytes into lines at newlines and carriage returns (progress bars), without terminal control codes."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[str]:
        *whole, self._rest = _LINE_END.split(self._rest + chunk)
        if len(self._rest) > _LONGEST_LINE:
            whole, self._rest = [*whole, self._rest], b""
        return (_clean(line) for line in whole if line)

    def rest(self) -> Iterator[str]:
        if self._rest:
            yield _clean(self._rest)


def _clean(line: bytes) -> str:
    return _CONTROL.sub("", line.decode("utf-8", errors="replace"))


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
