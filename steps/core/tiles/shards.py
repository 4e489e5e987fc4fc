"""Tile shards: TFRecord files of plain JPEG bytes, read by TensorFlow as they are and by offset without it.

Format (https://www.tensorflow.org/tutorials/load_data/tfrecord): length as uint64, its masked CRC-32C as uint32, the
bytes, their masked CRC-32C; all little-endian.
"""

import struct
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from steps.core.common.errors import UserError

_FOOTER = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8


def _masked_crc(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def append_record(shard: BinaryIO, data: bytes) -> int:
    """Append a record to a shard that is open for writing; return the offset of its bytes behind their framing."""
    header = struct.pack("<Q", len(data))
    shard.write(header + _FOOTER.pack(_masked_crc(header)))
    offset = shard.tell()
    shard.write(data)
    shard.write(_FOOTER.pack(_masked_crc(data)))
    return offset


def read_record(shard: Path, offset: int, length: int) -> bytes:
    """Return a record's bytes without the framing; raises UserError if they are not those that were written."""
    try:
        with shard.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(length)
            footer = stream.read(_FOOTER.size)
    except OSError as error:
        raise UserError(f"{shard} cannot be read ({error.strerror or error}): make the tiles again") from None
    if len(footer) != _FOOTER.size or _FOOTER.unpack(footer)[0] != _masked_crc(data):
        raise UserError(f"{shard} is damaged at byte {offset}: make the tiles again")
    return data
