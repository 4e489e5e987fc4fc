"""One step of a run: evaluated, looked up, run or taken over, and its result written down."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.executor import conditions, retries
from pipelines.executor.cache import Cache, Lookup, Record
from pipelines.executor.definition import Step
from pipelines.executor.errors import DefinitionError, StepFailed
from pipelines.executor.events import ConditionDecided, StepRetried, StepReused, StepStarted, StepSucceeded
from pipelines.executor.expressions import Path as JsonPath
from pipelines.executor.expressions import Scope, parse_get, walk
from pipelines.executor.files import read_json, write_json
from pipelines.executor.metrics import metric_definitions
from pipelines.executor.processing import Processing
from pipelines.executor.results import StepResult
from pipelines.executor.runner import Machine, kind_of
from pipelines.executor.training import Training, TrainingRequest
from pipelines.executor.trials import TrialMemory
from pipelines.executor.tuning import Tuning
from pipelines.executor.work import Outcome, Work

RESULT = "result.json"
CACHING_OFF = "caching is off for this step"
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
    execution_id: str
    run_dir: Path
    cache_dir: Path
    register: Register | None
    sleep: retries.Sleep | None
    first_trials: FirstTrials

    def folder(self, step: Step) -> Path:
        return self.run_dir / "steps" / step.name

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
        kinds: Mapping[str, Callable[[Step, Scope], StepResult]] = {
            "Condition": self._condition,
            "Fail": self._fail,
            "RegisterModel": self._register,
        }
        try:
            scope = self.scope.for_job(self._job_name(step))
            self.folder(step).mkdir(parents=True, exist_ok=True)
            result = kinds.get(step.type, self._work)(step, scope)
            write_json(self.folder(step) / RESULT, {"step": step.name, "type": step.type, **result.as_json()})
        except DefinitionError as error:
            raise StepFailed(step.name, str(error)) from error
        except OSError as error:
            raise StepFailed(step.name, f"this machine failed: {error}", kind=kind_of(error)) from error
        return result

    def _work(self, step: Step, scope: Scope) -> StepResult:
        arguments = scope.evaluate(step.arguments)
        cache = Cache(self.cache_dir / step.name, self.machine.store)
        try:
            work = self._prepared(step, arguments)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, DefinitionError):
                raise
            raise StepFailed(step.name, f"its {step.type} arguments are malformed: {error!r}") from error
        found = cache.find(work.components, step.expire_seconds) if step.cached else Lookup(None, CACHING_OFF)
        if found.record is not None:
            outcome = work.adopt(found.record)
            result = _result(outcome, found.record.seconds, found.reason, reused=True)
            origin = found.record
            self.machine.emit(
                StepReused(step.name, step.type, found.reason, origin.execution_id, result, origin.seconds)
            )
            return result
        self.machine.emit(StepStarted(step.name, step.type, found.reason, arguments))
        began = time.monotonic()
        outcome = self._attempts(step, work)
        result = _result(outcome, time.monotonic() - began, found.reason, reused=False)
        if step.cached:
            cache.add(work.components, self._record(work, outcome, result.seconds))
        self.machine.emit(StepSucceeded(step.name, step.type, result, result.seconds))
        return result

    def _attempts(self, step: Step, work: Work) -> Outcome:
        root = self.folder(step)

        def once() -> Outcome:
            log = root / "log.txt"
            if log.exists():
                log.rename(root / f"log.{sum(1 for _ in root.glob('log.*.txt')) + 1}.txt")
            try:
                return work.run(root)
            except DefinitionError as error:
                raise StepFailed(step.name, str(error)) from error
            except OSError as error:
                raise StepFailed(step.name, f"this machine failed: {error}", kind=kind_of(error)) from error

        return retries.attempt(
            once,
            step.retry_policies,
            on_retry=lambda *told: self.machine.emit(StepRetried(step.name, *told)),
            sleep=self.sleep,
            stop=self.machine.stop,
        )

    def _prepared(self, step: Step, arguments: Mapping[str, Any]) -> Work:
        name = self._job_name(step)
        if step.type == "Processing":
            return Processing(step.name, name, arguments, self.machine, self.execution_id)
        if step.type == "Tuning":
            trials = Cache(self.cache_dir / step.name / "trials", self.machine.store) if step.cached else None
            memory = TrialMemory(self.execution_id, trials, step.expire_seconds, self.run_dir.parent)
            first = self.first_trials.get(step.name, ())
            return Tuning(step.name, name, arguments, self.machine, memory, first=first)
        request = TrainingRequest(
            step=step.name,
            job_name=name,
            arguments=arguments,
            hyperparameters=arguments.get("HyperParameters") or {},
            metrics=metric_definitions(arguments),
            cores=self.machine.cores,
        )
        return Training(request, self.machine)

    def _record(self, work: Work, outcome: Outcome, seconds: float) -> Record:
        return Record(
            execution_id=self.execution_id,
            created=time.time(),
            seconds=seconds,
            components=work.components.as_json(),
            properties=outcome.properties,
            outputs=outcome.outputs,
            details=outcome.details,
        )

    def _condition(self, step: Step, scope: Scope) -> StepResult:
        self.machine.emit(StepStarted(step.name, step.type, "conditions are decided in each run", {}))
        outcome, text = conditions.decide(step.arguments["Conditions"], scope)
        self.machine.emit(ConditionDecided(step.name, outcome, text))
        result = StepResult("Succeeded", {"Outcome": outcome}, reason=text)
        self.machine.emit(StepSucceeded(step.name, step.type, result, 0.0))
        return result

    def _fail(self, step: Step, scope: Scope) -> StepResult:
        arguments = scope.evaluate(step.arguments)
        self.machine.emit(StepStarted(step.name, step.type, "the pipeline came to this step", arguments))
        raise StepFailed(step.name, str(arguments.get("ErrorMessage", "")))

    def _register(self, step: Step, scope: Scope) -> StepResult:
        arguments = scope.evaluate(step.arguments)
        self.machine.emit(StepStarted(step.name, step.type, "a registration is done in each run", arguments))
        began = time.monotonic()
        # CreateModelPackage's own idempotency token: a run killed between the two writes registers once.
        token = hashlib.sha256(f"{self.execution_id}/{step.name}".encode()).hexdigest()[:32]
        arguments = {"ClientToken": token, **arguments}
        model_data = self._model_data(step, arguments)
        if self.register is None:
            raise StepFailed(step.name, "this executor has no registry: give it a `register`")
        try:
            answer = self.register(arguments, model_data)
        except Exception as error:
            raise StepFailed(step.name, f"the registry refused the model: {error}") from error
        result = StepResult("Succeeded", {**arguments, **answer}, time.monotonic() - began)
        self.machine.emit(StepSucceeded(step.name, step.type, result, result.seconds))
        return result

    def _model_data(self, step: Step, arguments: Mapping[str, Any]) -> Path:
        containers = (arguments.get("InferenceSpecification") or {}).get("Containers") or []
        uris = [
            str(
                container.get("ModelDataUrl")
                or ((container.get("ModelDataSource") or {}).get("S3DataSource") or {}).get("S3Uri")
            )
            for container in containers
        ]
        if not uris:
            raise StepFailed(step.name, "it has no InferenceSpecification.Containers: there is no model to register")
        for uri in uris:
            if not self.machine.store.exists(uri):
                raise StepFailed(
                    step.name, f"its model {uri} does not exist: no step wrote {self.machine.store.path(uri)}"
                )
        return self.machine.store.path(uris[0])

    def _job_name(self, step: Step) -> str:
        name = f"pipelines-{self.execution_id}-{step.name}"
        if len(name) <= _LONGEST_JOB_NAME:
            return name
        return name[: _LONGEST_JOB_NAME - 7] + "-" + hashlib.sha256(step.name.encode()).hexdigest()[:6]


def _result(outcome: Outcome, seconds: float, reason: str, *, reused: bool) -> StepResult:
    return StepResult("Succeeded", outcome.properties, seconds, reused, reason, outcome.outputs)


def read_property_file(
    steps: Mapping[str, Step], properties: Mapping[str, Mapping[str, Any]], machine: Machine
) -> Callable[[str, str, JsonPath], Any]:
    """Return what answers Std:JsonGet of a property file: it reads the step's committed output."""

    def read(step: str, name: str, path: JsonPath) -> Any:
        wanted = steps[step].property_files[name]
        if step not in properties:
            raise DefinitionError(f"the property file {name!r} is of {step}, which did not run in this execution")
        where = f"Steps.{step}.ProcessingOutputConfig.Outputs['{wanted.output}'].S3Output.S3Uri"
        uri = walk(properties[step], parse_get(where).path, where)
        return read_object(machine)(f"{uri.rstrip('/')}/{wanted.file_path.lstrip('/')}", path)

    return read


def read_object(machine: Machine) -> Callable[[str, JsonPath], Any]:
    """Return what answers Std:JsonGet of an object: it names the object and the path when either is not there."""

    def read(uri: str, path: JsonPath) -> Any:
        file = machine.store.path(uri)
        if not file.is_file():
            raise DefinitionError(f"JsonGet wants {uri}, which no step wrote: {file} does not exist")
        document = read_json(file)
        if document is None:
            raise DefinitionError(f"JsonGet wants JSON in {uri}, but {file} is not JSON")
        return walk(document, path, f"JsonGet in {uri}")

    return read
