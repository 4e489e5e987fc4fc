"""The metrics that a training prints: regexes over its log."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.executor.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """The first group of a match is the value; without a group, the whole match."""

    name: str
    regex: re.Pattern[str]


def metric_definitions(arguments: Mapping[str, Any]) -> tuple[MetricDefinition, ...]:
    """Compile the MetricDefinitions of a training request; raises DefinitionError for a pattern that is none."""
    definitions = []
    for item in (arguments.get("AlgorithmSpecification") or {}).get("MetricDefinitions") or ():
        try:
            definitions.append(MetricDefinition(item["Name"], re.compile(item["Regex"])))
        except re.error as error:
            raise DefinitionError(
                f"the metric {item['Name']} has the regex {item['Regex']!r}, which is not one: {error}"
            ) from None
    return tuple(definitions)
