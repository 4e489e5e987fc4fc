"""Work on many objects at once, in their order: a request waits for S3, not for this machine."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

# boto3's clients keep ten connections; S3 answers a request in some 20 ms, so that the machine waits, not works.
_WORKERS, _AT_ONCE = 8, 64
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def at_once(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Yield what comes of each item, in their order, while threads work ahead, but not far; the first error ends it."""
    chunks = _chunks(items)
    waiting = deque[Future[list[_Result]]]()
    with ThreadPoolExecutor(_WORKERS) as pool:
        try:
            for chunk in islice(chunks, 2 * _WORKERS):
                waiting.append(pool.submit(_each, work, chunk))
            while waiting:
                done = waiting.popleft().result()
                for chunk in islice(chunks, 1):
                    waiting.append(pool.submit(_each, work, chunk))
                yield from done
        finally:
            pool.shutdown(cancel_futures=True)


def _each(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    return [work(item) for item in items]


def _chunks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Yield small chunks at first, so that a few items keep all threads busy."""
    source, size = iter(items), 1
    while chunk := list(islice(source, size)):
        yield chunk
        size = min(size + 1, _AT_ONCE)
