"""What a worker sees of one hostile image; importable by that worker."""

import io
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from steps.core.tiles.decode import FORMATS, ImageFacts, ImageRefusedError, read_image

# What no decoder of a picture has any business doing.
WATCHED = {"socket.connect", "socket.getaddrinfo", "subprocess.Popen", "ctypes.dlopen", "shutil.move", "pty.spawn"}
WATCHED_FAMILIES = ("os.",)
HARMLESS = {"os.listdir", "os.scandir", "os.putenv", "os.add_dll_directory"}

_seen: list[str] | None = None
_hooked = False


@dataclass(frozen=True, slots=True)
class Item:
    """A file, and the file whose pixels it must have: itself, where there is no twin."""

    path: Path
    twin: Path | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """`verdict` is read, refused or died, `pixels` what differs from Pillow's ("" is nothing), `touched` what else than
    the file was opened or done, `warned` what would have been printed, `peak` the most bytes that the worker has had
    resident up to here.
    """

    verdict: str
    reason: str = ""
    pixels: str = ""
    touched: tuple[str, ...] = ()
    warned: int = 0
    peak: int = 0


def look(item: Item, *, read: Callable[[Path], tuple[np.ndarray, ImageFacts]] = read_image) -> Look:
    """Read the image as a step does, watched, then compare it with Pillow's."""
    _hook()
    global _seen  # noqa: PLW0603 - a hook cannot be taken off, only told to look away
    reason, pixels = "", None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        _seen = seen = []
        try:
            pixels, facts = read(item.path)
        except ImageRefusedError as error:
            reason = str(error)
        finally:
            _seen = None
    peak = _peak()
    touched = tuple(event for event in seen if not _allowed(event, item.path))
    if pixels is None:
        return Look("refused", reason, "", touched, len(warned), peak)
    assert pixels.shape == (facts.height, facts.width, 3)
    return Look("read", "", _differs(pixels, item.twin or item.path), touched, len(warned), peak)


def _differs(pixels: np.ndarray, path: Path) -> str:
    try:
        wanted = pillow(path.read_bytes())
    except Exception as error:  # noqa: BLE001 - whatever Pillow makes of a hostile file
        return f"Pillow refuses it: {error!r}"
    if wanted.shape != pixels.shape:
        return f"{pixels.shape} instead of {wanted.shape}"
    if np.array_equal(wanted, pixels):
        return ""
    different = int((wanted != pixels).any(axis=2).sum())
    return f"{different} of {wanted.shape[0] * wanted.shape[1]} pixels differ"


def pillow(data: bytes) -> np.ndarray:
    """The reference: uint8 RGB [height, width, 3] as `steps.core.tiles.decode` promises it, by Pillow alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):
                upright = Image.fromarray((np.asarray(upright).astype(np.uint16) >> 8).astype(np.uint8))
            return np.asarray(upright.convert("RGB"))


def _peak() -> int:
    """The most bytes resident so far. Not `ru_maxrss`, which a spawned process inherits from its parent."""
    if sys.platform != "linux":
        return 0
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def read_and_pry(path: Path) -> tuple[np.ndarray, ImageFacts]:
    """A reader that opens what is not its business, to test the watch."""
    path.with_name("secret").read_bytes()
    return read_image(path)


def read_and_tamper(path: Path) -> tuple[np.ndarray, ImageFacts]:
    """A reader that gets one pixel wrong, and warns, to test the comparison."""
    warnings.warn("one pixel", stacklevel=1)
    pixels, facts = read_image(path)
    pixels = pixels.copy()
    pixels[3, 4, 2] ^= 1
    return pixels, facts


def _hook() -> None:
    global _hooked  # noqa: PLW0603
    if _hooked:
        return
    _hooked = True

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if _seen is None:
            return
        if event == "open":
            path, mode, _flags = arguments
            _seen.append(f"open {path} {mode}" if isinstance(path, str) else f"open {path!r} {mode}")
        elif event in WATCHED or (event.startswith(WATCHED_FAMILIES) and event not in HARMLESS):
            _seen.append(f"{event} {arguments!r}")

    sys.addaudithook(watch)


def _allowed(event: str, path: Path) -> bool:
    """The file itself, for reading; and what the interpreter opens when a module is first imported."""
    if event in {f"open {path} r", f"open {path} rb"}:
        return True
    roots = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2] / "steps"))
    return event.startswith(tuple(f"open {root}/" for root in roots)) and event.endswith((" r", " rb", " None"))
