"""The demands of a TFLite file on the runtime: its operators, and the oldest version that knows all of them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from steps.device.flatbuffer import read_model

_MIN_RUNTIME = b"min_runtime_version"
_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


@dataclass(frozen=True, slots=True)
class Demands:
    """Names of the operators, sorted, and the least version, "" if not stated."""

    operators: tuple[str, ...]
    min_runtime_version: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def demands(path: Path) -> Demands:
    """Read what a finished file (see `steps.device.metadata`) demands; raises UserError if it is no TFLite file."""
    model = read_model(path)
    version = ""
    for entry in model.metadata or []:
        if entry.name == _MIN_RUNTIME:
            version = bytes(model.buffers[entry.buffer].data).split(b"\0")[0].decode("ascii", "replace")
    return Demands(tuple(sorted(set(operator_names(model)))), version)


def operator_names(model: Any) -> list[str]:
    """Return the name of each operator of a model's graph, in its order."""
    codes = [_name(code) for code in model.operatorCodes]
    return [codes[operator.opcodeIndex] for operator in model.subgraphs[0].operators or []]


def _name(code: Any) -> str:
    # The first 127 operators are known by the older, narrower field.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    name = _NAMES.get(number, f"BUILTIN_{number}")
    return f"CUSTOM:{code.customCode.decode('ascii', 'replace')}" if name == "CUSTOM" else name
