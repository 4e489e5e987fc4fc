"""A pipeline definition, read and checked before anything of it runs."""

import graphlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.executor.errors import DefinitionError
from pipelines.executor.expressions import references

STEP_TYPES = ("Processing", "Training", "Tuning", "Condition", "Fail", "RegisterModel")
BRANCHES = ("IfSteps", "ElseSteps")
_DURATION = re.compile(
    r"P?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?",
    re.IGNORECASE,
)
_SECONDS = {"weeks": 604_800, "days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}


@dataclass(frozen=True, slots=True)
class PropertyFile:
    output: str
    file_path: str


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Up to `max_attempts` retries of a failure of one of these kinds."""

    kinds: frozenset[str]
    interval_seconds: float
    backoff_rate: float
    max_attempts: int


@dataclass(frozen=True, slots=True)
class Branch:
    """The place of a step inside a Condition: `condition` must have come out as `outcome`."""

    condition: str
    outcome: bool


@dataclass(frozen=True, slots=True)
class Step:
    """`depends_on` holds the names of DependsOn, of each reference and of the enclosing Condition.

    `arguments` are those of the step itself: without the steps of a Condition's branches.
    """

    name: str
    type: str
    arguments: Mapping[str, Any]
    depends_on: frozenset[str]
    branch: Branch | None
    cached: bool
    expire_seconds: float | None
    retry_policies: tuple[RetryPolicy, ...]
    property_files: Mapping[str, PropertyFile]


@dataclass(frozen=True, slots=True)
class Definition:
    """The steps of all branches by name, in the order of the document."""

    steps: Mapping[str, Step]
    parameters: tuple[Mapping[str, Any], ...]
    digest: str


def parse(document: Mapping[str, Any]) -> Definition:
    """Read a definition; raises DefinitionError for the first thing in it that could not run."""
    try:
        return _parse(document)
    except RecursionError:
        raise DefinitionError("the definition is nested more deeply than any pipeline is: give another") from None


def seconds_of(text: str) -> int:
    """Return the seconds of an ISO 8601 duration, as CacheConfig.ExpireAfter has them; raises DefinitionError.

    As in SageMaker the P may be missing and the letters small: 30dT5h. Years and months have no fixed length and are
    refused.
    """
    match = _DURATION.fullmatch(str(text))
    parts = {unit: int(count) for unit, count in match.groupdict().items() if count} if match else {}
    if not parts:
        raise DefinitionError(f"the duration {text!r} is not readable: write days, hours or minutes as P30D or PT12H")
    return sum(_SECONDS[unit] * count for unit, count in parts.items())


def _parse(document: Mapping[str, Any]) -> Definition:
    if not isinstance(document.get("Steps"), list) or not document["Steps"]:
        raise DefinitionError("the definition has no list of Steps: give the JSON that Pipeline.definition() returns")
    steps: dict[str, Step] = {}
    for step in _steps(document["Steps"], None):
        if step.name in steps:
            raise DefinitionError(f"two steps are called {step.name!r}: give each step a name of its own")
        steps[step.name] = step
    parameters = tuple(document.get("Parameters") or ())
    _check_references(steps, {str(parameter.get("Name")) for parameter in parameters})
    try:
        graphlib.TopologicalSorter({name: step.depends_on for name, step in steps.items()}).prepare()
    except graphlib.CycleError as error:
        circle = _listed(set(error.args[1]))
        raise DefinitionError(f"the steps {circle} wait for each other in a circle: remove one dependency") from None
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return Definition(steps, parameters, hashlib.sha256(canonical.encode()).hexdigest())


def _steps(documents: list[Any], branch: Branch | None) -> Iterator[Step]:
    for document in documents:
        step = _step(document, branch)
        yield step
        for key in BRANCHES if step.type == "Condition" else ():
            inside = (document.get("Arguments") or {}).get(key) or []
            yield from _steps(inside, Branch(step.name, key == "IfSteps"))


def _step(document: Mapping[str, Any], branch: Branch | None) -> Step:
    name, kind = document.get("Name"), document.get("Type")
    if not isinstance(name, str) or not name or any(part in name for part in "./\\\0"):
        raise DefinitionError(f"a step is called {name!r}: wanted a name of letters, digits, '-' and '_'")
    if kind not in STEP_TYPES:
        raise DefinitionError(
            f"the step {name} is of type {kind!r}, which does not run on one machine: supported are "
            f"{', '.join(STEP_TYPES)}"
        )
    arguments = {
        key: value
        for key, value in (document.get("Arguments") or {}).items()
        if not (kind == "Condition" and key in BRANCHES)
    }
    cache = document.get("CacheConfig") or {}
    try:
        needed = {reference.name for reference in references(arguments) if reference.kind == "Steps"}
        return Step(
            name=name,
            type=kind,
            arguments=arguments,
            depends_on=frozenset(
                {*needed, *(document.get("DependsOn") or ()), *([branch.condition] if branch else ())}
            ),
            branch=branch,
            cached=bool(cache.get("Enabled")),
            expire_seconds=seconds_of(cache["ExpireAfter"]) if cache.get("ExpireAfter") else None,
            retry_policies=tuple(_retry_policy(policy) for policy in document.get("RetryPolicies") or ()),
            property_files={
                item["PropertyFileName"]: PropertyFile(item["OutputName"], item["FilePath"])
                for item in document.get("PropertyFiles") or ()
            },
        )
    except DefinitionError as error:
        raise DefinitionError(f"step {name}: {error}") from None
    except KeyError as error:
        raise DefinitionError(f"step {name}: a property file or retry policy lacks {error}") from None


def _retry_policy(policy: Mapping[str, Any]) -> RetryPolicy:
    if "ExpireAfterMin" in policy or not isinstance(policy.get("MaxAttempts"), int):
        raise DefinitionError("a retry policy that ends by time does not run on one machine: give MaxAttempts alone")
    return RetryPolicy(
        kinds=frozenset(policy["ExceptionType"]),
        interval_seconds=float(policy.get("IntervalSeconds", 1)),
        backoff_rate=float(policy.get("BackoffRate", 2.0)),
        max_attempts=policy["MaxAttempts"],
    )


def _check_references(steps: Mapping[str, Step], parameters: set[str]) -> None:
    for step in steps.values():
        for name in sorted(step.depends_on - steps.keys()):
            raise DefinitionError(
                f"step {step.name} depends on {name!r}, which is no step of the definition: it has {_listed(steps)}"
            )
        for reference in references(step.arguments):
            if reference.kind == "Parameters" and reference.name not in parameters:
                raise DefinitionError(
                    f"step {step.name} refers to the parameter {reference.name!r}, which the definition does not "
                    f"declare: it has {_listed(parameters)}"
                )
            if reference.kind == "Steps" and reference.path[0] == "PropertyFiles":
                wanted = ".".join(reference.path[1:])
                if wanted not in steps[reference.name].property_files:
                    raise DefinitionError(
                        f"step {step.name} reads the property file {wanted!r} of {reference.name}, which has "
                        f"{_listed(steps[reference.name].property_files)}: declare it in that step's PropertyFiles"
                    )


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"
