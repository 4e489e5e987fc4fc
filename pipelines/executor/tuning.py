"""Tuning steps: rounds of training jobs whose hyperparameters a search proposes, and the best of them."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.executor.cache import Record
from pipelines.executor.errors import DefinitionError, StepFailed
from pipelines.executor.metrics import metric_definitions
from pipelines.executor.ranges import parse_ranges
from pipelines.executor.results import StoredOutput
from pipelines.executor.runner import Machine
from pipelines.executor.search import Search
from pipelines.executor.stopping import AUTO, NEVER, OFF, MedianRule
from pipelines.executor.training import MODEL_ARCHIVE, Training, TrainingRequest, output_path
from pipelines.executor.trials import COMPLETED, FAILED, STOPPED, Trial, TrialMemory, Trials
from pipelines.executor.warm import earlier_nights, nights_digest, parent_names
from pipelines.executor.work import Outcome


class Tuning:
    """One evaluated CreateHyperParameterTuningJob request, ready to run.

    `first` are hyperparameters to try before those that the search proposes, for which the request has no place.
    """

    step_type = "Tuning"

    def __init__(
        self,
        step: str,
        job_name: str,
        arguments: Mapping[str, Any],
        machine: Machine,
        memory: TrialMemory,
        *,
        first: Sequence[Mapping[str, str]] = (),
    ) -> None:
        self._step = step
        self._job_name = job_name
        self._arguments = arguments
        self._machine = machine
        config, self._training = arguments["HyperParameterTuningJobConfig"], arguments["TrainingJobDefinition"]
        limits = config["ResourceLimits"]
        objective = config["HyperParameterTuningJobObjective"]
        self._ranges = parse_ranges(config.get("ParameterRanges") or {})
        self._strategy = config["Strategy"]
        self._jobs = whole_number(limits.get("MaxNumberOfTrainingJobs", 1), "MaxNumberOfTrainingJobs")
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
        self._stops = config.get("TrainingJobEarlyStoppingType", OFF) == AUTO
        self._nights = earlier_nights(memory.runs, parent_names(arguments.get("WarmStartConfig")))
        self._first = [dict(tuned) for tuned in first]
        if self._nights and self._nights[0]:
            # What was best last night is worth a trial on tonight's data.
            best = (max if self._maximize else min)(self._nights[0], key=lambda trial: trial.objective)
            self._first.append(dict(best.tuned))
        self._trials = Trials(step, self._metric, maximize=self._maximize, machine=machine, memory=memory)
        self._static = dict(self._training.get("StaticHyperParameters") or {})
        settings = {
            "Strategy": self._strategy,
            "MaxNumberOfTrainingJobs": self._jobs,
            "MaxParallelTrainingJobs": self._parallel,
            "Objective": f"{objective['Type']} {self._metric}",
            "RandomSeed": seed,
            "TrainingJobEarlyStoppingType": AUTO if self._stops else OFF,
            "trials of earlier nights": nights_digest(self._nights)[:12] if self._nights else "none",
            **{f"first trial {number}": str(tuned) for number, tuned in enumerate(self._first, 1)},
            **{f"range {item.name}": str(item) for item in self._ranges},
        }
        base = Training(self._request(0, {}), machine).components
        self.components = replace(base, step_type=self.step_type, settings={**base.settings, **settings})

    def run(self, root: Path) -> Outcome:
        search = Search(
            self._strategy,
            self._ranges,
            jobs=self._jobs,
            maximize=self._maximize,
            seed=self._seed,
            first=self._first,
            nights=self._nights,
        )
        trials: list[Trial] = []
        while len(trials) < self._jobs:
            proposals = search.ask(min(self._parallel, self._jobs - len(trials)))
            curves = [trial.curve(self._metric) for trial in trials]
            rule = MedianRule(curves, maximize=self._maximize) if self._stops else NEVER
            with ThreadPoolExecutor(len(proposals)) as pool:
                # A stop or an executor's own error in one trial surfaces here; failures of jobs are results.
                jobs = [
                    pool.submit(self._one, root, index, tuned, rule)
                    for index, tuned in enumerate(proposals, start=len(trials))
                ]
                done = [job.result() for job in jobs]
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

    def _one(self, root: Path, index: int, tuned: Mapping[str, str], rule: MedianRule) -> Trial:
        return self._trials.run(self._request(index, tuned), tuned, root / "trials" / self._name(index), rule)

    def _request(self, index: int, tuned: Mapping[str, str]) -> TrainingRequest:
        shared = min(self._parallel, self._machine.max_parallel)
        return TrainingRequest(
            step=self._step,
            job_name=self._name(index),
            arguments=self._training,
            hyperparameters={**self._static, **tuned},
            metrics=self._metrics,
            cores=max(1, self._machine.cores // shared),
            trial=self._name(index),
        )

    def _name(self, index: int) -> str:
        return f"{self._job_name}-{index + 1:03d}"

    def _outcome(self, trials: Sequence[Trial]) -> Outcome:
        completed, stopped = self._ranked(trials, COMPLETED), self._ranked(trials, STOPPED)
        failed = [trial for trial in trials if trial.status == FAILED]
        if not completed:
            first = failed[0]
            raise StepFailed(
                self._step,
                f"all {len(trials)} training jobs failed; the first: {first.reason}",
                exit_code=first.exit_code,
                **({"kind": first.kind} if first.kind else {}),
            )
        # The best is one that completed: what was stopped has no model.
        summaries = [self._summary(trial) for trial in (*completed, *stopped, *failed)]
        properties = {
            **self._arguments,
            "HyperParameterTuningJobName": self._job_name,
            "HyperParameterTuningJobArn": (
                f"arn:aws:sagemaker:local:000000000000:hyper-parameter-tuning-job/{self._job_name}"
            ),
            "HyperParameterTuningJobStatus": "Completed",
            "TrainingJobStatusCounters": {
                "Completed": len(completed),
                "Stopped": len(stopped),
                "NonRetryableError": len(failed),
            },
            "TrainingJobSummaries": summaries,
            "BestTrainingJob": summaries[0],
        }
        # All of the models that can be asked for by rank are part of the result.
        outputs = {trial.name: trial.outputs["model"] for trial in completed}
        return Outcome(properties, outputs)

    def _ranked(self, trials: Sequence[Trial], status: str) -> list[Trial]:
        sign = -1 if self._maximize else 1
        return sorted((t for t in trials if t.status == status), key=lambda t: sign * (t.objective or 0.0))

    def _summary(self, trial: Trial) -> dict[str, Any]:
        summary: dict[str, Any] = {
            "TrainingJobName": trial.name,
            "TrainingJobStatus": trial.status,
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
