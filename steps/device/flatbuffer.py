"""A TFLite file as an object tree, and its last touches: aligned weights, nothing that nobody refers to, no surprises.

A file of 16-bit weights says that a runtime may *compute* in 16 bits, which ARM phones would do and the gate did not:
that permission is taken out.
"""

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from steps.core.common.errors import UserError
from steps.device.contract import TILE

IDENTIFIER = b"TFL3"
_ALIGNMENT = 16
_HALF_PRECISION = b"reduced_precision_support"
_MIN_RUNTIME = b"min_runtime_version"
_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A buffer of which the schema says `force_align: 16`, what the generated writer does not do."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - the generated class calls it so
        data = b"" if self.data is None else np.asarray(self.data, np.uint8).tobytes()
        vector = 0
        if data:
            builder.StartVector(1, len(data), _ALIGNMENT)
            builder.head = builder.Head() - len(data)
            builder.Bytes[builder.Head() : builder.Head() + len(data)] = data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if data:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


class _SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """A builder that writes equal vectors once, such as the zero points of channels: 4 % of an 8-bit file."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._known: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: Any) -> int:  # noqa: N802 - the generated classes call it so
        key = (x.dtype.str, x.tobytes())
        if key not in self._known:
            self._known[key] = int(super().CreateNumpyVector(x))
        return self._known[key]


def read_model(path: Path) -> Any:
    """Read a TFLite file as the schema's object tree; raises UserError if it is none."""
    data = path.read_bytes()
    if len(data) < 8 or data[4:8] != IDENTIFIER:  # noqa: PLR2004 - offset of the root, identifier
        raise UserError(
            f"{path.name} is not a TFLite file: its bytes 4 to 8 are {data[4:8]!r} instead of {IDENTIFIER!r}"
        )
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
        for buffer in model.buffers:
            # The quantiser puts weights behind the tables, where appended files would be in the way.
            if buffer.offset > 1:
                buffer.data = np.frombuffer(data, np.uint8)[buffer.offset : buffer.offset + buffer.size]
    except Exception as error:  # noqa: BLE001 - the generated reader checks nothing and fails as it likes
        raise UserError(f"{path.name} is damaged ({str(error)[:200]}): convert the model again") from None
    return model


def model_bytes(model: Any) -> bytes:
    """Return the TFLite file of an object tree, weights aligned; equal trees give equal bytes."""
    model.buffers = [_AlignedBuffer(buffer.data) for buffer in model.buffers]
    builder = _SharingBuilder(1 << 20)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def tidy(model: Any) -> None:
    """Bring a model with the signature `tile` into order, in place; doing it again changes nothing."""
    found = [signature.signatureKey.decode() for signature in model.signatureDefs or []]
    if found != [TILE]:
        raise UserError(f"a TFLite file with the signatures {found}: {TILE!r} alone is wanted")
    model.metadata = [entry for entry in model.metadata or [] if entry.name != _HALF_PRECISION]
    # Buffers that nobody refers to go; number 0 is the schema's empty one.
    numbers = {0: 0}
    for user in (*(tensor for graph in model.subgraphs for tensor in graph.tensors), *model.metadata):
        user.buffer = numbers.setdefault(user.buffer, len(numbers))
    model.buffers = [model.buffers[old] for old in numbers]
    model.metadataBuffer = []


def demands(path: Path) -> dict[str, Any]:
    """Return what a finished file (see `steps.device.metadata`) demands of the runtime.

    `operators` are names, sorted, `min_runtime_version` is the oldest that knows all of them, "" if not stated. Raises
    UserError if it is no TFLite file.
    """
    model = read_model(path)
    version = ""
    for entry in model.metadata or []:
        if entry.name == _MIN_RUNTIME:
            version = bytes(model.buffers[entry.buffer].data).split(b"\0")[0].decode("ascii", "replace")
    used = {operator.opcodeIndex for operator in model.subgraphs[0].operators or []}
    return {
        "operators": sorted({_name(model.operatorCodes[number]) for number in used}),
        "min_runtime_version": version,
    }


def _name(code: Any) -> str:
    # The first 127 operators are known by the older, narrower field.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    name = _NAMES.get(number, f"BUILTIN_{number}")
    return f"CUSTOM:{code.customCode.decode('ascii', 'replace')}" if name == "CUSTOM" else name
