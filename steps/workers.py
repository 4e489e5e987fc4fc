"""Worker processes for the work that decoding images is: it holds the interpreter's lock, so threads do not help."""

import ctypes
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

_CHUNK = 16
_PR_SET_PDEATHSIG = 1

T = TypeVar("T")
R = TypeVar("R")


def _die_with_parent() -> None:
    """Ask Linux to end this worker when the step dies: a killed step must not leave workers waiting for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def map_in_processes(function: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[R]:
    """Yield `function(item)` for every item, in their order; a single worker is this very process."""
    if workers == 1 or len(items) <= _CHUNK:
        yield from map(function, items)
        return
    # Forking a process that has threads can deadlock, and spawning costs each worker its imports once.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_die_with_parent)
    with pool:
        yield from pool.map(function, items, chunksize=_CHUNK)
