"""What SageMaker would refuse in a definition, or what would fail at night, told before anything is deployed.

Each check takes a definition and yields sentences; `@check` adds it to those that `lint` runs.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipelines.definition.references import earlier_steps, gets, outputs, property_files, texts
from pipelines.definition.requests import all_steps, check_requests, resolved_steps
from pipelines.definition.rules import broken
from pipelines.definition.step_table import hidden_from

Definition = Mapping[str, Any]
Check = Callable[[Definition], Iterator[str]]

MOST_CHARACTERS, MOST_PARAMETERS = 1_048_576, 200
_STEP_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9])*")
_PIPELINE_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}")
_KINDS: Mapping[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "Float": (int, float),
    "Boolean": (bool,),
}
_IMAGES = ("ImageUri", "TrainingImage", "Image")
_PINNED = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_SECRET = re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY|\bgh[pousr]_\w{30,}|\bxox[abp]-\w+")
_SECRET_NAME = re.compile(r"(?i)(secret|passw|token|credential|api[-_]?key|access[-_]?key)")

_CHECKS: list[Check] = []
_CHECKS_IN_AWS: list[Check] = []


def check(function: Check) -> Check:
    _CHECKS.append(function)
    return function


def check_in_aws(function: Check) -> Check:
    """Add a check of definitions that are meant for an account."""
    _CHECKS_IN_AWS.append(function)
    return function


def lint(definition: Definition, name: str, *, text: str, in_aws: bool) -> list[str]:
    """Return everything that is wrong with a definition, a sentence each.

    `name` is the pipeline's, `text` the definition as it is sent, `in_aws` whether it is meant for an account rather
    than for a machine.
    """
    problems = []
    if not _PIPELINE_NAME.fullmatch(name):
        problems.append(f"the pipeline's name {name!r} has to be of letters, digits and hyphens, no underscore")
    if len(text) > MOST_CHARACTERS:
        problems.append(f"the definition has {len(text):,} characters, and at most {MOST_CHARACTERS:,} are allowed")
    for run in (*_CHECKS, *(_CHECKS_IN_AWS if in_aws else ())):
        problems += run(definition)
    return problems


@check
def _requests_are_valid(definition: Definition) -> Iterator[str]:
    yield from check_requests(definition)


@check
def _rules_are_kept(definition: Definition) -> Iterator[str]:
    for step in resolved_steps(definition):
        yield from broken(step)


@check
def _steps_are_named(definition: Definition) -> Iterator[str]:
    names = [str(step["Name"]) for step in all_steps(definition)]
    for name in sorted(set(names)):
        if names.count(name) > 1:
            yield f"{names.count(name)} steps are called {name}: a name has to be of one step alone"
        if not _STEP_NAME.fullmatch(name):
            yield f"the step {name!r} has to have a name of at most 64 letters, digits, hyphens and underscores"


@check
def _parameters_are_used_and_defined(definition: Definition) -> Iterator[str]:
    defined = [str(parameter["Name"]) for parameter in definition.get("Parameters", ())]
    if len(defined) > MOST_PARAMETERS:
        yield f"{len(defined)} parameters, and at most {MOST_PARAMETERS} are allowed (API StartPipelineExecution)"
    used = {name for step in definition["Steps"] for kind, name in gets(step) if kind == "Parameters"}
    yield from (f"parameter {name} is used, and defined nowhere" for name in sorted(used - set(defined)))
    yield from (f"parameter {name} is used nowhere: remove it" for name in defined if name not in used)
    twice = sorted({name for name in defined if defined.count(name) > 1})
    yield from (f"parameter {name} is defined several times" for name in twice)
    yield from (f"parameter {name!r} has to be of letters, digits and hyphens" for name in defined if not _fits(name))


def _fits(name: str) -> bool:
    return _PARAMETER_NAME.fullmatch(name) is not None


@check
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


@check
def _steps_follow_known_steps(definition: Definition) -> Iterator[str]:
    steps = {str(step["Name"]): step for step in all_steps(definition)}
    for name, step in steps.items():
        for earlier in sorted(earlier_steps(step)):
            if earlier not in steps:
                yield f"{name} follows {earlier}, which is no step"
            elif steps[earlier]["Type"] == "Condition":
                yield f"{name} follows the condition {earlier}: nothing may, put it into one of its branches"
            elif earlier == name:
                yield f"{name} follows itself"


@check
def _nothing_waits_for_itself(definition: Definition) -> Iterator[str]:
    waiting = {str(step["Name"]): earlier_steps(step) - {str(step["Name"])} for step in all_steps(definition)}
    waiting = {name: {earlier for earlier in found if earlier in waiting} for name, found in waiting.items()}
    while free := [name for name, found in waiting.items() if not found]:
        waiting = {name: found - set(free) for name, found in waiting.items() if name not in free}
    if waiting:
        yield f"{', '.join(sorted(waiting))} wait for each other: none of them could ever start"


@check
def _property_files_are_written(definition: Definition) -> Iterator[str]:
    written = {}
    for step in all_steps(definition):
        outputs = {o["OutputName"] for o in step["Arguments"].get("ProcessingOutputConfig", {}).get("Outputs", ())}
        for file in step.get("PropertyFiles", ()):
            written[f"Steps.{step['Name']}.PropertyFiles.{file['PropertyFileName']}"] = file
            if file["OutputName"] not in outputs:
                yield f"{step['Name']} is to write {file['FilePath']} to {file['OutputName']}, which is no output of it"
    for step in definition["Steps"]:
        for told in sorted(property_files(step)):
            if told not in written:
                yield f"{step['Name']} reads {told}, which no step writes"


@check
def _nothing_hidden_is_given(definition: Definition) -> Iterator[str]:
    for step in all_steps(definition):
        arguments = step["Arguments"]
        given = {*outputs(arguments), *(name for kind, name in gets(arguments) if kind == "Parameters")}
        for seen in sorted(given & hidden_from(step["Name"])):
            yield f"{step['Name']} gets {seen}, which the table of steps hides from it"


@check
def _no_secret_is_in_it(definition: Definition) -> Iterator[str]:
    for step in definition["Steps"]:
        for path, value in texts(step, str(step["Name"])):
            if _SECRET.search(value):
                yield f"{path} looks like a secret: a definition can be read by many, keep it in Secrets Manager"
            elif _SECRET_NAME.search(path.rpartition(".")[2]) and value:
                yield f"{path} is named like a secret, and holds a text: keep it in Secrets Manager"


@check_in_aws
def _images_are_pinned(definition: Definition) -> Iterator[str]:
    for step in all_steps(definition):
        for path, value in texts(step["Arguments"], str(step["Name"])):
            is_branch = ".IfSteps[" in path or ".ElseSteps[" in path
            if path.rpartition(".")[2] in _IMAGES and not is_branch and not _PINNED.fullmatch(value):
                yield f"{path} is {value}: name the image with its digest, because a tag may mean another one tomorrow"


@check_in_aws
def _roles_are_of_an_account(definition: Definition) -> Iterator[str]:
    for step in all_steps(definition):
        role = step["Arguments"].get("RoleArn") or step["Arguments"].get("TrainingJobDefinition", {}).get("RoleArn", "")
        if isinstance(role, str) and ":000000000000:" in role:
            yield f"{step['Name']} runs under {role}, which is of no account"
