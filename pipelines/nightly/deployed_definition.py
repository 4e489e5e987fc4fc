"""The definition that is deployed: what tonight's parameters are checked against, and whose digest names the code.

A Lambda function may be older or newer than the pipeline; what the service would run is what counts.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipelines.definition.step_table import DATA, names
from pipelines.executor.errors import DefinitionError
from pipelines.executor.parameters import bind
from steps.core.common.errors import UserError


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
        """The digest of how it reads, checks and cuts data; the steps' images are part of their arguments."""
        steps = [step for step in self._document["Steps"] if step["Name"] in names(DATA)]
        return hashlib.sha256(json.dumps(steps, sort_keys=True).encode()).hexdigest()

    @property
    def warm_start_parents(self) -> int:
        from pipelines.definition.parameters import is_warm_start

        return sum(is_warm_start(str(parameter["Name"])) for parameter in self._document["Parameters"])

    def defaults(self) -> dict[str, Any]:
        """Return every parameter's default in its type, None for those that every start has to give."""
        return {
            name: bind([parameter], {})[name] if "DefaultValue" in parameter else None
            for name, parameter in self._declared.items()
        }

    def typed(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Return chosen values in their types; raises UserError for names and values that the definition refuses."""
        declared = self._declared
        if unknown := sorted(chosen.keys() - declared.keys()):
            raise UserError(
                f"the deployed pipeline has no parameter {unknown[0]}: it has {', '.join(sorted(declared))}"
            )
        try:
            return dict(bind([declared[name] for name in chosen], chosen))
        except DefinitionError as error:
            raise UserError(str(error)) from None

    @property
    def _declared(self) -> dict[str, Mapping[str, Any]]:
        return {str(parameter["Name"]): parameter for parameter in self._document["Parameters"]}

    @cached_property
    def _document(self) -> Any:
        document = json.loads(self.text)
        if not isinstance(document, dict) or "Parameters" not in document or "Steps" not in document:
            raise UserError("the deployed pipeline is none of tilegate's: deploy it again with `tilegate deploy`")
        return document
