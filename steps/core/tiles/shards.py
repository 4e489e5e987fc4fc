"""Tile shards: TFRecord files of plain JPEG bytes, read by TensorFlow as they are and by offset without it.

Format (https://www.tensorflow.org/tutorials/load_data/tfrecord): length as uint64, its masked CRC-32C as uint32, the
bytes, their masked CRC-32C; all little-endian.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import google_crc32c

from steps.core.common.errors import UserError

_FOOTER = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8


def _masked_crc(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Record:
    """Where a record lies: its shard, and the offset and length of its bytes (without the framing)."""

    shard: str
    offset: int
    length: int


class ShardWriter:
    """Append records to one shard; the caller renames the finished file into place."""

    def __init__(self, path: Path, shard: str) -> None:
        self._stream = path.open("wb")
        self._shard = shard

    def append(self, data: bytes) -> Record:
        header = struct.pack("<Q", len(data))
        self._stream.write(header + _FOOTER.pack(_masked_crc(header)))
        offset = self._stream.tell()
        self._stream.write(data)
        self._stream.write(_FOOTER.pack(_masked_crc(data)))
        return Record(self._shard, offset, len(data))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()


def read_record(folder: Path, record: Record) -> bytes:
    """Return one record's bytes; raises UserError if they are not those that were written."""
    try:
        with (folder / record.shard).open("rb") as stream:
            stream.seek(record.offset)
            data = stream.read(record.length)
            footer = stream.read(_FOOTER.size)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{folder / record.shard} cannot be read ({reason}): make the tiles again") from None
    if len(footer) != _FOOTER.size or _FOOTER.unpack(footer)[0] != _masked_crc(data):
        raise UserError(f"{folder / record.shard} is damaged at byte {record.offset}: make the tiles again")
    return data
