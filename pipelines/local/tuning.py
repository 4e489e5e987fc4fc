"""Tuning steps: rounds of training jobs whose hyperparameters a search proposes, and the best of them."""

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.local.cache import Cache, Record
from pipelines.local.errors import DefinitionError, StepFailed
from pipelines.local.events import TrialFinished, TrialStarted
from pipelines.local.files import read_json, write_json
from pipelines.local.metrics import metric_definitions
from pipelines.local.ranges import grid_size, parse_ranges
from pipelines.local.results import StoredOutput, outputs_as_json, outputs_from_json
from pipelines.local.runner import Machine
from pipelines.local.search import make_search
from pipelines.local.training import MODEL_ARCHIVE, Training, TrainingRequest, output_path
from pipelines.local.work import Outcome


@dataclass(frozen=True, slots=True)
class TrialMemory:
    """Where earlier trials may be found: the cache of the step's trials, None if caching is off."""

    execution_id: str
    cache: Cache | None
    expire_seconds: float | None


@dataclass(frozen=True, slots=True)
class Trial:
    """How one training job of the tuning ended. `kind` is that of the failure, for the step's RetryPolicies."""

    name: str
    tuned: Mapping[str, str]
    metrics: Mapping[str, float]
    objective: float | None
    outputs: Mapping[str, StoredOutput]
    seconds: float
    reason: str | None = None
    exit_code: int | None = None
    kind: str = ""


class Tuning:
    """One evaluated CreateHyperParameterTuningJob request, ready to run."""

    step_type = "Tuning"

    def __init__(
        self, step: str, job_name: str, arguments: Mapping[str, Any], machine: Machine, memory: TrialMemory
    ) -> None:
        self._step = step
        self._job_name = job_name
        self._arguments = arguments
        self._machine = machine
        self._memory = memory
        config, self._training = arguments["HyperParameterTuningJobConfig"], arguments["TrainingJobDefinition"]
        limits = config["ResourceLimits"]
        objective = config["HyperParameterTuningJobObjective"]
        self._ranges = parse_ranges(config.get("ParameterRanges") or {})
        self._strategy = config["Strategy"]
        self._jobs = whole_number(limits.get("MaxNumberOfTrainingJobs", 1), "MaxNumberOfTrainingJobs")
        if self._strategy == "Grid":
            self._jobs = grid_size(self._ranges)
        self._parallel = whole_number(limits.get("MaxParallelTrainingJobs", 1), "MaxParallelTrainingJobs")
        self._metric = objective["MetricName"]
        self._maximize = objective["Type"] == "Maximize"
        self._metrics = metric_definitions(self._training)
        if self._metric not in [metric.name for metric in self._metrics]:
            raise DefinitionError(
                f"the objective {self._metric!r} is in no MetricDefinitions, so no job could report it: "
                "define its regex"
            )
        # Without a seed each execution searches elsewhere, but a resumed one where it began.
        seed = config.get("RandomSeed")
        self._seed = (
            int(seed) if seed is not None else int(hashlib.sha256(memory.execution_id.encode()).hexdigest()[:8], 16)
        )
        self.hosts = int((self._training.get("ResourceConfig") or {}).get("InstanceCount", 1))
        self._static = dict(self._training.get("StaticHyperParameters") or {})
        settings = {
            "Strategy": self._strategy,
            "MaxNumberOfTrainingJobs": self._jobs,
            "MaxParallelTrainingJobs": self._parallel,
            "Objective": f"{objective['Type']} {self._metric}",
            "RandomSeed": seed,
            **{f"range {item.name}": str(item) for item in self._ranges},
        }
        base = self._trial(0, {}).components
        self.components = replace(base, step_type=self.step_type, settings={**base.settings, **settings})

    def run(self, root: Path) -> Outcome:
        search = make_search(self._strategy, self._ranges, jobs=self._jobs, maximize=self._maximize, seed=self._seed)
        trials: list[Trial] = []
        while len(trials) < self._jobs:
            proposals = search.ask(min(self._parallel, self._jobs - len(trials)))
            if not proposals:
                break
            with ThreadPoolExecutor(len(proposals)) as pool:
                # A stop or an executor's own error in one trial surfaces here; failures of jobs are results.
                done = list(pool.map(lambda item: self._one(root, *item), enumerate(proposals, start=len(trials))))
            search.tell([trial.objective for trial in done])
            trials += done
        return self._outcome(trials)

    def adopt(self, record: Record) -> Outcome:
        """Take over an earlier tuning; its archives are linked to where this request's S3OutputPath wants them."""
        here, outputs = output_path(self._training), {}
        for name, output in record.outputs.items():
            uri = f"{here}/{name}/output/{MODEL_ARCHIVE}"
            if uri != output.uri:
                self._machine.store.link(output.uri, uri)
            outputs[name] = StoredOutput(uri, output.digest)
        properties = {**record.properties, "TrainingJobDefinition": self._training}
        return Outcome(properties, outputs, record.details)

    def _trial(self, index: int, tuned: Mapping[str, str]) -> Training:
        shared = min(self._parallel, self._machine.max_parallel)
        request = TrainingRequest(
            step=self._step,
            job_name=self._name(index),
            arguments=self._training,
            hyperparameters={**self._static, **tuned},
            metrics=self._metrics,
            cores=max(1, self._machine.cores // shared),
            trial=self._name(index),
        )
        return Training(request, self._machine)

    def _name(self, index: int) -> str:
        return f"{self._job_name}-{index + 1:03d}"

    def _one(self, root: Path, index: int, tuned: Mapping[str, str]) -> Trial:
        name, emit = self._name(index), self._machine.emit
        training = self._trial(index, tuned)
        folder = root / "trials" / name
        emit(TrialStarted(self._step, name, tuned))
        trial = self._earlier(training, folder, name, tuned)
        reused = trial is not None
        if trial is None:
            trial = self._train(training, folder, name, tuned)
            write_json(folder / "result.json", _as_json(trial, training.components.key))
        emit(
            TrialFinished(
                self._step,
                name,
                tuned,
                trial.metrics,
                trial.objective,
                "Failed" if trial.objective is None else "Completed",
                reused,
                trial.seconds,
                trial.reason,
            )
        )
        return trial

    def _train(self, training: Training, folder: Path, name: str, tuned: Mapping[str, str]) -> Trial:
        began = time.monotonic()
        try:
            outcome = training.run(folder)
        except StepFailed as error:
            seconds = time.monotonic() - began
            return Trial(name, tuned, {}, None, {}, seconds, error.reason, error.exit_code, error.kind)
        seconds, metrics = time.monotonic() - began, outcome.details["metrics"]
        value = metrics.get(self._metric)
        if value is None or not math.isfinite(value):
            found = "printed no" if value is None else f"printed {value} as its"
            reason = f"the job {found} {self._metric}: the objective must be a finite number in its log"
            return Trial(name, tuned, metrics, None, outcome.outputs, seconds, reason)
        if self._memory.cache is not None:
            self._memory.cache.add(
                training.components,
                Record(
                    execution_id=self._memory.execution_id,
                    created=time.time(),
                    seconds=seconds,
                    components=training.components.as_json(),
                    properties={},
                    outputs=outcome.outputs,
                    details={"metrics": metrics},
                ),
            )
        return Trial(name, tuned, metrics, value, outcome.outputs, seconds)

    def _earlier(self, training: Training, folder: Path, name: str, tuned: Mapping[str, str]) -> Trial | None:
        """Return the trial as it ended in this execution before it was killed, or in an earlier execution."""
        document = read_json(folder / "result.json")
        if document is not None and document["key"] == training.components.key:
            trial = Trial(**{**document["trial"], "outputs": outputs_from_json(document["trial"]["outputs"])})
            # One that failed is tried again: the cause may have been the machine.
            if trial.objective is not None and all(
                self._machine.store.digest_or_empty(out.uri, out.keys) == out.digest for out in trial.outputs.values()
            ):
                return trial
        if self._memory.cache is None:
            return None
        record = self._memory.cache.find(training.components, self._memory.expire_seconds).record
        if record is None:
            return None
        outputs = {}
        for key, output in record.outputs.items():
            uri = f"{training.output_uri}/{key}.tar.gz"
            if uri != output.uri:
                self._machine.store.link(output.uri, uri)
            outputs[key] = StoredOutput(uri, output.digest)
        metrics = record.details["metrics"]
        trial = Trial(name, tuned, metrics, metrics[self._metric], outputs, record.seconds)
        write_json(folder / "result.json", _as_json(trial, training.components.key))
        return trial

    def _outcome(self, trials: Sequence[Trial]) -> Outcome:
        ranked = sorted(
            (trial for trial in trials if trial.objective is not None),
            key=lambda trial: (trial.objective or 0.0) * (-1 if self._maximize else 1),
        )
        failed = [trial for trial in trials if trial.objective is None]
        if not ranked:
            first = failed[0]
            raise StepFailed(
                self._step,
                f"all {len(trials)} training jobs failed; the first: {first.reason}",
                exit_code=first.exit_code,
                **({"kind": first.kind} if first.kind else {}),
            )
        summaries = [self._summary(trial) for trial in (*ranked, *failed)]
        properties = {
            **self._arguments,
            "HyperParameterTuningJobName": self._job_name,
            "HyperParameterTuningJobArn": (
                f"arn:aws:sagemaker:local:000000000000:hyper-parameter-tuning-job/{self._job_name}"
            ),
            "HyperParameterTuningJobStatus": "Completed",
            "TrainingJobStatusCounters": {"Completed": len(ranked), "NonRetryableError": len(failed)},
            "TrainingJobSummaries": summaries,
            "BestTrainingJob": summaries[0],
        }
        # All of the models that can be asked for by rank are part of the result.
        outputs = {trial.name: trial.outputs["model"] for trial in ranked}
        return Outcome(properties, outputs)

    def _summary(self, trial: Trial) -> dict[str, Any]:
        summary: dict[str, Any] = {
            "TrainingJobName": trial.name,
            "TrainingJobStatus": "Failed" if trial.objective is None else "Completed",
            "TunedHyperParameters": dict(trial.tuned),
        }
        if trial.objective is None:
            return {**summary, "FailureReason": trial.reason}
        objective = {"MetricName": self._metric, "Value": trial.objective}
        return {**summary, "FinalHyperParameterTuningJobObjectiveMetric": objective}


def whole_number(value: Any, what: str) -> int:
    """Return a limit, a number or the text of one; raises DefinitionError unless it is whole and at least 1."""
    try:
        number = int(str(value))
    except ValueError:
        number = 0
    if number < 1:
        raise DefinitionError(f"{what} is {value!r}: wanted a whole number of at least 1")
    return number


def _as_json(trial: Trial, key: str) -> dict[str, Any]:
    fields = {name: getattr(trial, name) for name in Trial.__slots__}
    return {"key": key, "trial": {**fields, "outputs": outputs_as_json(trial.outputs)}}
