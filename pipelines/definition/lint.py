"""The checks of `tilegate compile`: what SageMaker would refuse in a definition, or what would fail at night.

Each check takes a definition and yields sentences.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.definition.requests import all_steps, check_requests, resolved_steps
from pipelines.definition.rules import violations
from pipelines.definition.step_table import hidden_from
from pipelines.executor.checks import check
from pipelines.executor.definition import parse
from pipelines.executor.errors import DefinitionError

Definition = Mapping[str, Any]

MOST_CHARACTERS, MOST_PARAMETERS = 1_048_576, 200
_STEP_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9])*")
_PIPELINE_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}")
_KINDS: Mapping[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "Float": (int, float),
}
_IMAGES = ("ImageUri", "TrainingImage", "Image")
_PINNED = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_SECRET = re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY|\bgh[pousr]_\w{30,}|\bxox[abp]-\w+")
_SECRET_NAME = re.compile(r"(?i)(secret|passw|token|credential|api[-_]?key|access[-_]?key)")
_OUTPUT = re.compile(r"\bSteps\.([\w-]+)\.ProcessingOutputConfig\.Outputs\['([\w-]+)'\]")


def lint(definition: Definition, name: str, *, text: str, in_aws: bool) -> list[str]:
    """Return everything that is wrong with a definition, a sentence each; of its references the first alone.

    `name` is the pipeline's, `text` the definition as it is sent, `in_aws` whether it is meant for an account rather
    than for a machine.
    """
    problems = []
    if not _PIPELINE_NAME.fullmatch(name):
        problems.append(f"the pipeline's name {name!r} has to be of letters, digits and hyphens, no underscore")
    if len(text) > MOST_CHARACTERS:
        problems.append(f"the definition has {len(text):,} characters, and at most {MOST_CHARACTERS:,} are allowed")
    for check_of in (*_CHECKS, *(_CHECKS_IN_AWS if in_aws else ())):
        problems += check_of(definition)
    return problems


def _walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a value and everything in it, each with its path."""
    yield path, value
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _walk(item, f"{path}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _walk(item, f"{path}[{number}]")


def _references(value: Any) -> set[str]:
    """Return what a value refers to: `Parameters.X`, `Steps.S.path` and so on."""
    return {item["Get"] for _, item in _walk(value) if isinstance(item, Mapping) and isinstance(item.get("Get"), str)}


def _parameters(value: Any) -> set[str]:
    return {name.removeprefix("Parameters.") for name in _references(value) if name.startswith("Parameters.")}


def _runs_on_one_machine(definition: Definition) -> Iterator[str]:
    """Find the first reference, name, order or request that no executor could make sense of."""
    try:
        check(parse(definition))
    except DefinitionError as error:
        yield str(error)


def _rules_are_kept(definition: Definition) -> Iterator[str]:
    for step in resolved_steps(definition):
        yield from violations(step)


def _steps_are_named(definition: Definition) -> Iterator[str]:
    for step in all_steps(definition):
        if not _STEP_NAME.fullmatch(step["Name"]):
            yield f"the step {step['Name']!r} has to have a name of at most 64 letters, digits, hyphens and underscores"


def _parameters_are_used(definition: Definition) -> Iterator[str]:
    defined = [str(parameter["Name"]) for parameter in definition.get("Parameters", ())]
    if len(defined) > MOST_PARAMETERS:
        yield f"{len(defined)} parameters, and at most {MOST_PARAMETERS} are allowed (API StartPipelineExecution)"
    used = _parameters(definition["Steps"])
    for name in sorted(set(defined)):
        if name not in used:
            yield f"parameter {name} is used nowhere: remove it"
        if defined.count(name) > 1:
            yield f"parameter {name} is defined several times"
        if not _PARAMETER_NAME.fullmatch(name):
            yield f"parameter {name!r} has to be of letters, digits and hyphens"


def _defaults_are_of_their_kind(definition: Definition) -> Iterator[str]:
    for parameter in definition.get("Parameters", ()):
        name, kind, default = parameter["Name"], parameter["Type"], parameter.get("DefaultValue")
        if kind not in _KINDS:
            yield f"parameter {name} is of the kind {kind}: one of {', '.join(_KINDS)} is wanted"
        elif default is not None and not isinstance(default, _KINDS[kind]):
            yield f"parameter {name} is of the kind {kind}, and its default is {default!r}"
        choices = parameter.get("EnumValues")
        if choices and default is not None and default not in choices:
            yield f"parameter {name} has the default {default!r}, which is none of {', '.join(map(str, choices))}"


def _nothing_follows_a_condition(definition: Definition) -> Iterator[str]:
    steps = list(all_steps(definition))
    conditions = {step["Name"] for step in steps if step["Type"] == "Condition"}
    for step in steps:
        wanted = {name.split(".")[1] for name in _references(step["Arguments"]) if name.startswith("Steps.")}
        for earlier in sorted(conditions & (wanted | set(step.get("DependsOn", ())))):
            yield f"{step['Name']} follows the condition {earlier}: nothing may, put it into one of its branches"


def _property_files_are_outputs(definition: Definition) -> Iterator[str]:
    for step in all_steps(definition):
        outputs = {o["OutputName"] for o in step["Arguments"].get("ProcessingOutputConfig", {}).get("Outputs", ())}
        for file in step.get("PropertyFiles", ()):
            if file["OutputName"] not in outputs:
                yield f"{step['Name']} is to write {file['FilePath']} to {file['OutputName']}, which is no output of it"


def _nothing_hidden_is_given(definition: Definition) -> Iterator[str]:
    for step in all_steps(definition):
        arguments = step["Arguments"]
        outputs = {f"{earlier}/{name}" for earlier, name in _OUTPUT.findall(json.dumps(arguments))}
        for seen in sorted((outputs | _parameters(arguments)) & hidden_from(step["Name"])):
            yield f"{step['Name']} gets {seen}, which the table of steps hides from it"


def _no_secret_is_in_it(definition: Definition) -> Iterator[str]:
    for step in definition["Steps"]:
        for path, value in _walk(step, str(step["Name"])):
            if isinstance(value, str) and _SECRET.search(value):
                yield f"{path} looks like a secret: a definition can be read by many, keep it in Secrets Manager"
            elif isinstance(value, str) and value and _SECRET_NAME.search(path.rpartition(".")[2]):
                yield f"{path} is named like a secret, and holds a text: keep it in Secrets Manager"


def _images_are_pinned(definition: Definition) -> Iterator[str]:
    for step in all_steps(definition):
        if step["Type"] == "Condition":
            continue
        for path, value in _walk(step["Arguments"], str(step["Name"])):
            if path.rpartition(".")[2] in _IMAGES and isinstance(value, str) and not _PINNED.fullmatch(value):
                yield f"{path} is {value}: name the image with its digest, because a tag may mean another one tomorrow"


def _roles_are_of_an_account(definition: Definition) -> Iterator[str]:
    for step in all_steps(definition):
        role = step["Arguments"].get("RoleArn") or step["Arguments"].get("TrainingJobDefinition", {}).get("RoleArn", "")
        if isinstance(role, str) and ":000000000000:" in role:
            yield f"{step['Name']} runs under {role}, which is of no account"


_CHECKS = (
    check_requests,
    _rules_are_kept,
    _steps_are_named,
    _runs_on_one_machine,
    _parameters_are_used,
    _defaults_are_of_their_kind,
    _nothing_follows_a_condition,
    _property_files_are_outputs,
    _nothing_hidden_is_given,
    _no_secret_is_in_it,
)
# Of definitions that are meant for an account.
_CHECKS_IN_AWS = (_images_are_pinned, _roles_are_of_an_account)
