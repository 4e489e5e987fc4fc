"""TFLite metadata: what a client that knows nothing of tilegate can read from `model.tflite` itself.

A buffer named TFLITE_METADATA, and the files it speaks of as a zip archive behind the model
(https://ai.google.dev/edge/litert/models/metadata). The tables are written field by field after metadata_schema.fbs
1.5.0 of tensorflow/tflite-support and google-ai-edge/mediapipe (Apache License 2.0), whose own writers no longer
install; the numbers below are the fields' positions there.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from steps.core.common.errors import UserError
from steps.core.common.files import replacing
from steps.core.tiles.spec import FILE_NAME as SPEC_FILE
from steps.core.tiles.spec import PreprocessingSpec
from steps.device.contract import TILE
from steps.device.flatbuffer import model_bytes, read_model, tidy
from steps.network.head import FILE_NAME as HEAD_FILE
from steps.network.head import Head

NAME = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
_PARSER_VERSION = "1.0.0"

# Of the schema: ContentProperties, ProcessUnitOptions, ColorSpaceType, AssociatedFileType.
_FEATURE, _IMAGE = np.uint8(1), np.uint8(2)
_NORMALISATION = np.uint8(1)
_RGB = np.uint8(1)
_DESCRIPTIONS = np.uint8(1)


def finish(path: Path, head: Head, spec: PreprocessingSpec) -> None:
    """Tidy a converted file (see `steps.device.flatbuffer`) and write the metadata into it, in place.

    The same input gives the same bytes, and a second time changes nothing. Raises UserError if the file is no TFLite
    file with the signature `tile`.
    """
    model = read_model(path)
    model.metadata = [entry for entry in model.metadata or [] if entry.name != NAME.encode()]
    tidy(model)
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME, len(model.buffers)
    model.buffers.append(schema.BufferT(np.frombuffer(_metadata(spec), np.uint8)))
    model.metadata.append(entry)
    files = {
        SPEC_FILE: json.dumps(spec.to_dict(), sort_keys=True),
        HEAD_FILE: json.dumps(head.to_dict(), sort_keys=True),
    }
    whole = _with_files(model_bytes(model), files)
    with replacing(path) as beside:
        beside.write_bytes(whole)


def read_head(path: Path) -> tuple[Head, PreprocessingSpec]:
    """Read the head and the preprocessing spec that a finished file carries; raises UserError if it carries none."""
    try:
        with zipfile.ZipFile(path) as archive:
            head, spec = (json.loads(archive.read(name)) for name in (HEAD_FILE, SPEC_FILE))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} carries no head ({error}): convert the model again") from None
    return Head.from_dict(head), PreprocessingSpec.from_dict(spec)


def _with_files(model: bytes, files: Mapping[str, str]) -> bytes:
    out = io.BytesIO(model)
    out.seek(0, io.SEEK_END)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return out.getvalue()


class _Tables(flatbuffers.Builder):  # type: ignore[misc]
    """A builder of tables by the positions of their fields."""

    def table(self, fields: Mapping[int, int | np.uint8 | np.uint32]) -> int:
        """Write a table: `int` is the offset of something written before, NumPy's integers are values."""
        self.StartObject(max(fields, default=-1) + 1)
        for position, value in fields.items():
            if isinstance(value, np.uint8):
                self.PrependUint8Slot(position, int(value), 0)
            elif isinstance(value, np.uint32):
                self.PrependUint32Slot(position, int(value), 0)
            else:
                self.PrependUOffsetTRelativeSlot(position, value, 0)
        return int(self.EndObject())

    def text(self, text: str) -> int:
        return int(self.CreateString(text))

    def offsets(self, *items: int) -> int:
        self.StartVector(4, len(items), 4)
        for item in reversed(items):
            self.PrependUOffsetTRelative(item)
        return int(self.EndVector())

    def number(self, value: float) -> int:
        return int(self.CreateNumpyVector(np.asarray([value], np.float32)))

    def file(self, name: str, description: str) -> int:
        return self.table({0: self.text(name), 1: self.text(description), 2: _DESCRIPTIONS})

    def image(self, size: int) -> int:
        """Write the metadata of an input of RGB, a square that clients resize to, 0 to 255, not normalised."""
        colour = self.table({0: _RGB, 1: self.table({0: np.uint32(size), 1: np.uint32(size)})})
        as_it_is = self.table({0: self.number(0), 1: self.number(1)})
        return self.table(
            {
                0: self.text("pixels"),
                1: self.text(f"One tile, uint8 RGB, {size} x {size} pixels; the model normalises inside."),
                3: self.table({0: _IMAGE, 1: colour}),
                4: self.offsets(self.table({0: _NORMALISATION, 1: as_it_is})),
                5: self.table({0: self.number(255), 1: self.number(0)}),
            }
        )

    def feature(self, name: str, description: str) -> int:
        content = self.table({0: _FEATURE, 1: self.table({})})
        return self.table({0: self.text(name), 1: self.text(description), 3: content})


def _metadata(spec: PreprocessingSpec) -> bytes:
    tables = _Tables(1024)
    inputs = tables.offsets(tables.image(spec.tile_size))
    outputs = tables.offsets(tables.feature("features", "What the backbone says of the tile."))
    files = (
        tables.file(SPEC_FILE, "tile plan, resize rule and range of pixels"),
        tables.file(HEAD_FILE, "how the features of tiles become a score"),
    )
    root = tables.table(
        {
            0: tables.text("tilegate screenshot classifier"),
            1: tables.text(f"Signature {TILE!r}: a tile to its features, which the head turns into a score."),
            3: tables.offsets(tables.table({0: tables.text(TILE), 2: inputs, 3: outputs})),
            6: tables.offsets(*files),
            7: tables.text(_PARSER_VERSION),
        }
    )
    tables.Finish(root, _IDENTIFIER)
    return bytes(tables.Output())
