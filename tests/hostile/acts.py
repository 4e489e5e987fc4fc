"""What an item may do to the worker that maps it, importable by that worker."""

import ctypes
import os
import resource
import sys
import time

from steps.core.common.errors import UserError


def double(item):
    return 2 * item


def own_process(item):
    return os.getpid()


def meet(item, folder):
    """Wait for another worker to be at this place as well."""
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.01)
    return os.getpid()


def crash(item):
    ctypes.string_at(0)


def leave(item, code):
    os._exit(code)


def leave_politely(item):
    sys.exit(0)


def panic(item):
    raise PanicError


class PanicError(BaseException):
    """What a Rust extension's panic looks like."""


def hang(item):
    time.sleep(60)


def hang_with_the_lock(item):
    """As a C decoder does: no Python signal handler and no thread gets to run."""
    ctypes.PyDLL(None).sleep(60)


def hog(item):
    """Ask for a gigabyte and use every page of it."""
    return len(bytearray(1024**3))


def hog_by_opencv(item):
    """Ask OpenCV, which has an exception of its own for it, for two gigabytes."""
    import cv2
    import numpy as np

    return cv2.resize(np.zeros((9, 9), np.uint8), (40_000, 50_000)).size


def fail_in_opencv(item):
    import cv2
    import numpy as np

    return cv2.resize(np.zeros((9, 9), np.uint8), (9, 0))


def opencv_is_imported(item):
    return "cv2" in sys.modules


def opencv_threads(item, needs=None):
    """(Whether OpenCV was imported before the first item, the number of its threads); `needs` is merely imported."""
    before = opencv_is_imported(item)
    import cv2

    return before, cv2.getNumThreads()


def core_limit(item):
    return resource.getrlimit(resource.RLIMIT_CORE)[0]


def return_much(item):
    return b"x" * 3_000_000


def at_thirteen(item, *, act):
    """Act at item 13, and at all others be harmless."""
    return act(item) if item == 13 else 2 * item


def at_every_third(item, *, act):
    return act(item) if item % 3 == 0 else 2 * item


def note(item, *, folder, act, fatal):
    """Write one line for each time this item is begun, then act on it if it is fatal."""
    with (folder / str(item)).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return act(item) if item in fatal else item


def crash_but_in_a_new_worker(item, *, folder):
    """Crash at item 13 in the worker that has done items before, as an item after a leak or a trampled heap does."""
    seen = folder / str(os.getpid())
    if item == 13 and seen.exists():
        crash(item)
    seen.touch()
    return 2 * item


def raise_value_error(item):
    raise ValueError(f"item {item} is odd")


def raise_user_error(item):
    raise UserError(f"item {item}: wrong column")


class TwoArgumentsError(Exception):
    """Pickles, but cannot be read back: its constructor wants more than its message."""

    def __init__(self, file, row):
        super().__init__(f"{file}:{row}")


def raise_what_cannot_be_pickled(item):
    raise TwoArgumentsError("file.csv", 7)


def return_what_cannot_be_pickled(item):
    return lambda: None
