"""The definition that is deployed: what tonight's parameters are checked against, and whose digest names the code.

A Lambda function may be older or newer than the pipeline; what the service would run is what counts.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from steps.core.common.errors import UserError

# The steps that make facts and tiles of the data; their images are part of their arguments.
_OF_DATA = ("ValidateData", "PreprocessTiles", "IndexTiles")
_KINDS = {"String": str, "Integer": int, "Float": float}


@dataclass(frozen=True)
class Deployed:
    """A pipeline definition, as its JSON."""

    text: str

    @cached_property
    def digest(self) -> str:
        """The sha256 of what it says, images included, however it is spelled."""
        return hashlib.sha256(json.dumps(self._document, sort_keys=True).encode()).hexdigest()

    @property
    def of_data(self) -> str:
        """The digest of how it reads, checks and cuts data."""
        steps = [step for step in self._document["Steps"] if step["Name"] in _OF_DATA]
        return hashlib.sha256(json.dumps(steps, sort_keys=True).encode()).hexdigest()

    @property
    def warm_start_parents(self) -> int:
        from pipelines.definition.parameters import is_warm_start

        return sum(is_warm_start(str(parameter["Name"])) for parameter in self._document["Parameters"])

    def defaults(self) -> dict[str, Any]:
        """Return every parameter's default in its type, None for those that every start has to give."""
        return {
            str(parameter["Name"]): self._typed(parameter, parameter["DefaultValue"])
            if "DefaultValue" in parameter
            else None
            for parameter in self._document["Parameters"]
        }

    def typed(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Return chosen values in their types; raises UserError for names and values that the definition refuses."""
        declared = {str(parameter["Name"]): parameter for parameter in self._document["Parameters"]}
        unknown = sorted(chosen.keys() - declared.keys())
        if unknown:
            raise UserError(
                f"the deployed pipeline has no parameter {unknown[0]}: it has {', '.join(sorted(declared))}"
            )
        return {name: self._typed(declared[name], value) for name, value in chosen.items()}

    @staticmethod
    def _typed(parameter: Mapping[str, Any], value: Any) -> Any:
        kind = _KINDS[parameter["Type"]]
        try:
            typed = kind(value)
        except (TypeError, ValueError):
            raise UserError(
                f"{parameter['Name']} is {value!r}: a value of type {parameter['Type']} is wanted"
            ) from None
        allowed = parameter.get("EnumValues")
        if allowed and typed not in allowed:
            raise UserError(f"{parameter['Name']} is {value!r}: one of {', '.join(map(str, allowed))} is wanted")
        return typed

    @cached_property
    def _document(self) -> Any:
        document = json.loads(self.text)
        if not isinstance(document, dict) or "Parameters" not in document or "Steps" not in document:
            raise UserError("the deployed pipeline is none of tilegate's: deploy it again with `tilegate deploy`")
        return document
