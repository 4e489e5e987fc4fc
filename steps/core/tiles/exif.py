"""The EXIF data of an untrusted image: which way it is to be turned, and whether a camera took it."""

import warnings
from dataclasses import dataclass

from PIL import ExifTags, Image

# A directory may name the same bytes thousands of times, and Pillow copies them for each.
MAX_EXIF = 64 * 1024

_ORIENTATION = ExifTags.Base.Orientation
# Make and model are no sign: some phones write them into screenshots.
_CAMERA = frozenset({ExifTags.Base.ExposureTime, ExifTags.Base.FNumber, ExifTags.Base.LensModel})


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """`orientation` is 1 (upright) to 8; `camera` tells that an exposure time, an f-number or a lens is stated."""

    orientation: int = 1
    camera: bool = False


def read_exif(data: bytes) -> ExifFacts:
    """Read EXIF data as Pillow does, with or without its "Exif" heading; raises whatever Pillow's parser raises."""
    tags = Image.Exif()
    with warnings.catch_warnings():
        # Pillow warns of every tag that is cut off, thousands of times for one file.
        warnings.simplefilter("ignore")
        tags.load(data)
        return facts_of(tags)


def facts_of(tags: Image.Exif) -> ExifFacts:
    """Return what is known of parsed EXIF data; the caller silences Pillow's warnings."""
    orientation = tags.get(_ORIENTATION, 1)
    return ExifFacts(int(orientation) if orientation in range(1, 9) else 1, _by_camera(tags))


def _by_camera(tags: Image.Exif) -> bool:
    try:
        return not _CAMERA.isdisjoint(tags.get_ifd(ExifTags.IFD.Exif))
    except MemoryError:
        raise
    # A directory that cannot be read tells of no camera, and must not cost the image whose pixels are sound.
    except Exception:  # noqa: BLE001
        return False
