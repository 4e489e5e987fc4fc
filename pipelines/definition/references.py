"""What the steps of a definition refer to: parameters, each other, property files; and the texts in them."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.definition.requests import all_steps

_OUTPUT = re.compile(r"\bSteps\.([\w-]+)\.ProcessingOutputConfig\.Outputs\['([\w-]+)'\]")


def earlier_steps(step: Mapping[str, Any]) -> set[str]:
    """Return the steps that one follows; those that its branches follow count as its own."""
    named = {str(name) for name in step.get("DependsOn", ())}
    inner = {str(item["Name"]) for item in all_steps({"Steps": [step]})} - {str(step["Name"])}
    return (named | {name for kind, name in gets(step) if kind == "Steps"}) - inner


def gets(value: Any) -> Iterator[tuple[str, str]]:
    """Yield what a value refers to: (Parameters, its name), (Steps, the step's name) and so on."""
    if isinstance(value, Mapping):
        if isinstance(value.get("Get"), str) and len(value) == 1:
            kind, _, rest = value["Get"].partition(".")
            yield kind, re.split(r"[.\[]", rest, maxsplit=1)[0] if kind == "Steps" else rest
        for item in value.values():
            yield from gets(item)
    elif isinstance(value, list):
        for item in value:
            yield from gets(item)


def outputs(value: Any) -> Iterator[str]:
    """Yield the outputs of processing steps that a value refers to, as `<step>/<output>`."""
    for step, name in _OUTPUT.findall(json.dumps(value)):
        yield f"{step}/{name}"


def property_files(value: Any) -> Iterator[str]:
    """Yield the property files that a value reads."""
    if isinstance(value, Mapping):
        if isinstance(value.get("Std:JsonGet"), Mapping):
            yield str(value["Std:JsonGet"]["PropertyFile"]["Get"])
        for item in value.values():
            yield from property_files(item)
    elif isinstance(value, list):
        for item in value:
            yield from property_files(item)


def texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield every text in a value, with its path."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from texts(item, f"{path}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from texts(item, f"{path}[{number}]")
    elif isinstance(value, str):
        yield path, value
