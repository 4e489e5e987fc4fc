"""Worker processes for the work that decoding images is: it holds the interpreter's lock, so threads do not help."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import TypeVar

_CHUNK = 16

T = TypeVar("T")
R = TypeVar("R")


def die_with_parent() -> None:
    """End this worker when its parent ends, however it ends: a killed parent cannot close its pool."""
    parent = parent_process()
    if parent is None:
        raise RuntimeError("only a worker process may watch its parent")

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def map_in_processes(function: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[R]:
    """Yield `function(item)` for every item, in their order; a single worker is this very process."""
    if workers == 1 or len(items) <= _CHUNK:
        yield from map(function, items)
        return
    # Forking a process that has threads can deadlock, and spawning costs each worker its imports once.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=die_with_parent)
    with pool:
        yield from pool.map(function, items, chunksize=_CHUNK)
