"""Checkpoints: where a training was at the end of an epoch, so that one that was interrupted goes on from there.

A checkpoint is one file in a folder named by what the training depends on: the hyperparameters, the data and the
weights that it starts from. So trainings may share a place, and none goes on from another's. The platform copies the
place to S3 while the job runs, and back when it begins again.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from steps.core.common.files import replacing

_FILE = "checkpoint.npz"
_FACTS = "facts"

Arrays = Sequence[npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class State:
    """`facts` are JSON values; `arrays` are lists of arrays by name."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Arrays] = field(default_factory=dict)

    def fits(self, name: str, wanted: Arrays) -> bool:
        """Tell whether the arrays of a name have the shapes of those that they are to replace."""
        return [array.shape for array in self.arrays.get(name, ())] == [array.shape for array in wanted]


class Checkpoints:
    """The checkpoint of one training; `identity` is a hex digest of all that the training depends on."""

    def __init__(self, place: Path, identity: str) -> None:
        self._place, self._path = place, place / identity[:32] / _FILE

    def save(self, state: State) -> None:
        """Write a state in the place of the last one, whole or not at all."""
        named: dict[str, Any] = {
            f"{name}/{n:05}": array for name, arrays in state.arrays.items() for n, array in enumerate(arrays)
        }
        named[_FACTS] = np.frombuffer(json.dumps(dict(state.facts)).encode(), np.uint8)
        with replacing(self._path) as beside, beside.open("wb") as stream:
            np.savez(stream, **named)

    def load(self) -> State | None:
        """Return the last state, or None, with a printed reason where there is one that cannot be used."""
        if not self._path.is_file():
            if self._place.is_dir() and any(self._place.glob(f"*/{_FILE}")):
                print("The checkpoints here are of other trainings: starting from the beginning", flush=True)
            return None
        try:
            return _read(self._path.read_bytes())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            print(f"The checkpoint is not whole ({error}): starting from the beginning", flush=True)
            return None


def _read(data: bytes) -> State:
    arrays: dict[str, list[npt.NDArray[Any]]] = {}
    with np.load(io.BytesIO(data), allow_pickle=False) as saved:
        facts = json.loads(saved[_FACTS].tobytes())
        for key in sorted(set(saved.files) - {_FACTS}):
            arrays.setdefault(key.rpartition("/")[0], []).append(saved[key])
    return State(facts, arrays)
