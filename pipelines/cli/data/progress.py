"""Progress of the reading and copying of files: a bar on a terminal, elsewhere a line now and then."""

import time
from collections.abc import Callable
from typing import TextIO

_BAR_SECONDS, _LINE_SECONDS = 0.1, 10.0
_WIDTH = 30


class FileProgress:
    """A `pipelines.data.source.Progress` that writes to `stream`; nothing, if it all takes but a moment.

    A total of 0 is one that nobody knows.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._terminal = stream.isatty()
        self._told = self._clock()
        self._shown = ""

    def __call__(self, verb: str, done: int, total: int) -> None:
        words = f"{verb} {done:,} of {total:,} files" if total else f"{verb} {done:,} files"
        ends = done == total and bool(self._shown)
        if not ends and self._clock() - self._told < (_BAR_SECONDS if self._terminal else _LINE_SECONDS):
            return
        self._told = self._clock()
        if self._terminal:
            filled = _WIDTH * done // total if total else 0
            words = f"{'█' * filled}{'░' * (_WIDTH - filled)} {words}"
            self._stream.write(f"\r{words:<{len(self._shown)}}" + ("\n" if ends else ""))
        else:
            self._stream.write(words + "\n")
        self._shown = "" if ends else words
        self._stream.flush()
