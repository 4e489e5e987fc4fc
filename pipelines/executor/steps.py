"""One step of a run: evaluated, looked up, run or taken over, and its result written down."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.executor import conditions
from pipelines.executor.cache import Cache
from pipelines.executor.definition import Step
from pipelines.executor.errors import DefinitionError, RunStopped, StepFailed, failures_of
from pipelines.executor.events import ConditionDecided, StepRetried, StepReused, StepStarted, StepSucceeded
from pipelines.executor.expressions import Path as JsonPath
from pipelines.executor.expressions import Scope, parse_path, walk
from pipelines.executor.files import read_json, write_json
from pipelines.executor.processing import Processing
from pipelines.executor.results import Outcome, StepResult
from pipelines.executor.runner import Machine, Runner
from pipelines.executor.store import LocalStore
from pipelines.executor.training import Training
from pipelines.executor.tuning import Tuning

RESULT = "result.json"
_LONGEST_JOB_NAME = 63
Register = Callable[[Mapping[str, Any], Path], Mapping[str, Any]]
"""Given the evaluated CreateModelPackage request and the model's file, return ModelPackageArn and -Version."""
FirstTrials = Mapping[str, Sequence[Mapping[str, str]]]
"""Hyperparameters that a tuning tries before any other, by the name of its step."""


@dataclass(frozen=True, slots=True)
class Stepper:
    """Runs single steps of one execution. Each method may be called from a thread of its own."""

    machine: Machine
    scope: Scope
    run_dir: Path
    cache_dir: Path
    register: Register | None
    first_trials: FirstTrials

    @property
    def execution_id(self) -> str:
        return self.run_dir.name

    def folder(self, step: Step) -> Path:
        return self.run_dir / "steps" / step.name

    def write(self, step: Step, result: StepResult, **more: Any) -> None:
        document = {"step": step.name, "type": step.type, **asdict(result), **more}
        write_json(self.folder(step) / RESULT, document)

    def taken_over(self, step: Step) -> StepResult | None:
        """Return the result that this execution already has of a step, if it is whole and its objects are there."""
        document = read_json(self.folder(step) / RESULT)
        if document is None or document["status"] != "Succeeded":
            return None
        result = StepResult.from_json(document)
        for name, output in result.outputs.items():
            if self.machine.store.digest_or_empty(output.uri, output.keys) != output.digest:
                return None
            if not result.reused:
                self.machine.claims.take(step.name, name, output.uri)
        return result

    def run(self, step: Step) -> StepResult:
        """Bring a step to its result; raises StepFailed or RunStopped."""
        kinds = {"Condition": self._condition, "Fail": self._fail, "RegisterModel": self._register}
        with failures_of(step.name):
            self.folder(step).mkdir(parents=True, exist_ok=True)
            began = time.monotonic()
            result = kinds.get(step.type, self._job)(step)
            if not result.reused:
                result = replace(result, seconds=time.monotonic() - began)
                self.machine.emit(StepSucceeded(step.name, step.type, result, result.seconds))
            self.write(step, result)
        return result

    def _started(self, step: Step, reason: str, arguments: Mapping[str, Any]) -> None:
        self.machine.emit(StepStarted(step.name, step.type, reason, arguments))

    def _job(self, step: Step) -> StepResult:
        arguments = self.scope.evaluate(step.arguments)
        cache = self._cache(step)
        try:
            work = self._prepared(step, arguments)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, DefinitionError):
                raise
            raise StepFailed(step.name, f"its {step.type} arguments are malformed: {error!r}") from error
        found, reason = cache.find(work.components) if step.cached else (None, "caching is off for this step")
        if found is not None:
            result = StepResult("Succeeded", found.properties, found.seconds, True, reason, found.outputs)
            self.machine.emit(StepReused(step.name, step.type, reason, found.execution_id, result, found.seconds))
            return result
        self._started(step, reason, arguments)
        began = time.monotonic()
        outcome = self._attempts(step, work.run)
        if step.cached:
            cache.add(work.components, outcome, time.monotonic() - began)
        return StepResult("Succeeded", outcome.properties, reason=reason, outputs=outcome.outputs)

    def _prepared(self, step: Step, arguments: Mapping[str, Any]) -> Processing | Training | Tuning:
        name, machine = self._job_name(step), self.machine
        if step.type == "Processing":
            return Processing(step.name, name, arguments, machine, self.execution_id)
        if step.type == "Training":
            hyperparameters = arguments.get("HyperParameters") or {}
            return Training(Runner(machine, step.name), name, arguments, hyperparameters, machine.cores)
        return Tuning(
            step.name,
            name,
            arguments,
            machine,
            trials=self._cache(step, "trials"),
            runs=self.run_dir.parent,
            first=self.first_trials.get(step.name, ()),
        )

    def _cache(self, step: Step, *parts: str) -> Cache:
        folder = self.cache_dir.joinpath(step.name, *parts)
        return Cache(
            folder, self.machine.store, self.execution_id, shared=step.cached, expire_seconds=step.expire_seconds
        )

    def _attempts(self, step: Step, work: Callable[[Path], Outcome]) -> Outcome:
        """Run a job until it succeeds or no policy allows another attempt; raises the last StepFailed.

        The first policy that names the failure's kind decides; each policy counts its own attempts.
        """
        root = self.folder(step)
        used = dict.fromkeys(step.retry_policies, 0)
        while True:
            log = root / "log.txt"
            if log.exists():
                log.rename(root / f"log.{sum(1 for _ in root.glob('log.*.txt')) + 1}.txt")
            try:
                with failures_of(step.name):
                    return work(root)
            except StepFailed as error:
                policy = next((policy for policy in step.retry_policies if error.kind in policy.kinds), None)
                if policy is None or used[policy] >= policy.max_attempts:
                    raise
                wait = policy.interval_seconds * policy.backoff_rate ** used[policy]
                used[policy] += 1
                number, most = sum(used.values()) + 1, policy.max_attempts + 1
                self.machine.emit(StepRetried(step.name, number, most, error.reason, wait))
            if self.machine.stop.wait(wait):
                raise RunStopped

    def _condition(self, step: Step) -> StepResult:
        self._started(step, "conditions are decided in each run", {})
        outcome, text = conditions.decide(step.arguments["Conditions"], self.scope)
        self.machine.emit(ConditionDecided(step.name, outcome, text))
        return StepResult("Succeeded", {"Outcome": outcome}, reason=text)

    def _fail(self, step: Step) -> StepResult:
        arguments = self.scope.evaluate(step.arguments)
        self._started(step, "the pipeline came to this step", arguments)
        raise StepFailed(step.name, str(arguments.get("ErrorMessage", "")))

    def _register(self, step: Step) -> StepResult:
        arguments = self.scope.evaluate(step.arguments)
        self._started(step, "a registration is done in each run", arguments)
        # CreateModelPackage's own idempotency token: a run killed between the two writes registers once.
        token = hashlib.sha256(f"{self.execution_id}/{step.name}".encode()).hexdigest()[:32]
        arguments = {"ClientToken": token, **arguments}
        containers = (arguments.get("InferenceSpecification") or {}).get("Containers") or [{}]
        uri, store = str(containers[0].get("ModelDataUrl")), self.machine.store
        if not store.exists(uri):
            raise StepFailed(step.name, f"its model {uri} does not exist: no step wrote {store.path(uri)}")
        if self.register is None:
            raise StepFailed(step.name, "this executor has no registry: give it a `register`")
        try:
            answer = self.register(arguments, store.path(uri))
        except Exception as error:
            raise StepFailed(step.name, f"the registry refused the model: {error}") from error
        return StepResult("Succeeded", {**arguments, **answer})

    def _job_name(self, step: Step) -> str:
        name = f"pipelines-{self.execution_id}-{step.name}"
        if len(name) <= _LONGEST_JOB_NAME:
            return name
        return name[: _LONGEST_JOB_NAME - 7] + "-" + hashlib.sha256(step.name.encode()).hexdigest()[:6]


def read_property_file(
    steps: Mapping[str, Step], properties: Mapping[str, Mapping[str, Any]], store: LocalStore
) -> Callable[[str, str, JsonPath], Any]:
    """Return what answers Std:JsonGet: it reads the step's committed output, and names what is not there."""

    def read(step: str, name: str, path: JsonPath) -> Any:
        wanted = steps[step].property_files[name]
        if step not in properties:
            raise DefinitionError(f"the property file {name!r} is of {step}, which did not run in this execution")
        where = f"ProcessingOutputConfig.Outputs['{wanted.output}'].S3Output.S3Uri"
        folder = walk(properties[step], parse_path(where), f"Steps.{step}.{where}")
        uri = f"{folder.rstrip('/')}/{wanted.file_path.lstrip('/')}"
        file = store.path(uri)
        if not file.is_file():
            raise DefinitionError(f"JsonGet wants {uri}, which no step wrote: {file} does not exist")
        document = read_json(file)
        if document is None:
            raise DefinitionError(f"JsonGet wants JSON in {uri}, but {file} is not JSON")
        return walk(document, path, f"JsonGet in {uri}")

    return read
