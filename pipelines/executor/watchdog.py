"""Nothing that a job started outlives the executor, even if the executor is killed.

A small process of its own waits for the executor's end of a pipe to close, then kills the process groups of the jobs
that were still running. (`setpriv --pdeathsig` covers the job itself from its first instruction, not its children.)
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import threading
from types import TracebackType
from typing import Self

_PROGRAM = """
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


class Watchdog:
    """`add` a process group when its job starts, `remove` it when it has ended. The process starts with the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def _start(self) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C in the terminal must not end the one who cleans up after it.
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()

    def add(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._process = self._process or self._start()
            if self._process.stdin is not None:
                self._process.stdin.write(line.encode())


def dies_with_executor(command: list[str]) -> list[str]:
    """Return the command such that Linux kills its process when the thread that starts it ends."""
    return [*_death_signal(), *command]


@functools.cache
def _death_signal() -> tuple[str, ...]:
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if setpriv is None:
        return ()
    prefix = (setpriv, "--pdeathsig", "KILL", "--")
    # BusyBox has a setpriv without the option; the watchdog alone must do there.
    works = subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0
    return prefix if works else ()


def kill_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
