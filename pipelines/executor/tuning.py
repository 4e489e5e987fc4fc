"""Tuning steps: rounds of training jobs whose hyperparameters a search proposes, and the best of them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipelines.executor.cache import Cache
from pipelines.executor.errors import DefinitionError, StepFailed
from pipelines.executor.results import Outcome
from pipelines.executor.runner import Enough, Machine, Runner
from pipelines.executor.search import OBJECTIVE, Search, earlier_night, nights_digest, parse_ranges
from pipelines.executor.stopping import AUTO, OFF, MedianRule
from pipelines.executor.training import Training
from pipelines.executor.trials import COMPLETED, FAILED, STOPPED, Trial, Trials


class Tuning:
    """One evaluated CreateHyperParameterTuningJob request, ready to run.

    `trials` remembers the step's trials; `runs` is the folder of all runs. `first` are hyperparameters to try before
    those that the search proposes, for which the request has no place.
    """

    def __init__(
        self,
        step: str,
        job_name: str,
        arguments: Mapping[str, Any],
        machine: Machine,
        *,
        trials: Cache,
        runs: Path,
        first: Sequence[Mapping[str, str]],
    ) -> None:
        self._step = step
        self._job_name = job_name
        self._arguments = arguments
        self._machine = machine
        config, self._training = arguments["HyperParameterTuningJobConfig"], arguments["TrainingJobDefinition"]
        limits = config["ResourceLimits"]
        self._ranges = parse_ranges(config["ParameterRanges"])
        bounds = {item.name: str(item) for item in self._ranges}
        self._jobs = _whole_number(limits, "MaxNumberOfTrainingJobs")
        self._parallel = _whole_number(limits, "MaxParallelTrainingJobs")
        self._metric = config["HyperParameterTuningJobObjective"]["MetricName"]
        self._seed = int(config["RandomSeed"])
        self._stops = config.get("TrainingJobEarlyStoppingType", OFF) == AUTO
        warm = arguments.get("WarmStartConfig") or {}
        parents = [parent["HyperParameterTuningJobName"] for parent in warm.get("ParentHyperParameterTuningJobs") or ()]
        self._nights = [earlier_night(runs, name) for name in parents]
        self._first = [dict(tuned) for tuned in first]
        if self._nights and self._nights[0]:
            # The best of last night is tried on tonight's data as well.
            self._first.append(dict(max(self._nights[0], key=lambda trial: trial.objective).tuned))
        self._trials = Trials(machine, step, self._metric, trials)
        training = self._training_of(0, {}).components
        self.components = {
            **training,
            "type": "Tuning",
            "settings": {
                **training["settings"],
                "Strategy": config["Strategy"],
                "MaxNumberOfTrainingJobs": self._jobs,
                "MaxParallelTrainingJobs": self._parallel,
                "Objective": self._metric,
                "RandomSeed": self._seed,
                "TrainingJobEarlyStoppingType": AUTO if self._stops else OFF,
                "trials of earlier nights": nights_digest(self._nights)[:12] if self._nights else "none",
                **{f"first trial {number}": str(tuned) for number, tuned in enumerate(self._first, 1)},
                **{f"range {name}": text for name, text in bounds.items()},
            },
        }

    def run(self, root: Path) -> Outcome:
        search = Search(self._ranges, jobs=self._jobs, seed=self._seed, first=self._first, nights=self._nights)
        trials: list[Trial] = []
        while len(trials) < self._jobs:
            proposals = search.ask(min(self._parallel, self._jobs - len(trials)))
            curves = [trial.curves.get(self._metric, ()) for trial in trials]
            rule = MedianRule(curves if self._stops else ())
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

    def _one(self, root: Path, index: int, tuned: Mapping[str, str], rule: MedianRule) -> Trial:
        def enough(metric: str, curve: Sequence[float]) -> bool:
            return metric == self._metric and rule.stops_at(curve) is not None

        name = self._name(index)
        training = self._training_of(index, tuned, enough)
        return self._trials.run(training, Trial(name, tuned), root / "trials" / name, rule)

    def _training_of(self, index: int, tuned: Mapping[str, str], enough: Enough | None = None) -> Training:
        return Training(
            Runner(self._machine, self._step, self._name(index), enough),
            self._name(index),
            self._training,
            {**(self._training.get("StaticHyperParameters") or {}), **tuned},
            self._machine.cores // min(self._parallel, self._machine.max_parallel),
        )

    def _name(self, index: int) -> str:
        return f"{self._job_name}-{index + 1:03d}"

    def _outcome(self, trials: Sequence[Trial]) -> Outcome:
        # The best is one that completed: what was stopped has no model.
        best_first = sorted(trials, key=lambda trial: trial.objective or 0.0, reverse=True)
        ranked = [trial for status in (COMPLETED, STOPPED, FAILED) for trial in best_first if trial.status == status]
        if ranked[0].status != COMPLETED:
            first = next(trial for trial in trials if trial.status == FAILED)
            reason = f"all {len(trials)} training jobs failed; the first: {first.reason}"
            raise StepFailed(self._step, reason, exit_code=first.exit_code, kind=first.kind)
        summaries = [self._summary(trial) for trial in ranked]
        properties = {
            **self._arguments,
            "HyperParameterTuningJobName": self._job_name,
            "TrainingJobSummaries": summaries,
            "BestTrainingJob": summaries[0],
        }
        return Outcome(properties, {trial.name: trial.outputs["model"] for trial in ranked if trial.outputs})

    def _summary(self, trial: Trial) -> dict[str, Any]:
        summary: dict[str, Any] = {
            "TrainingJobName": trial.name,
            "TrainingJobStatus": trial.status,
            "TunedHyperParameters": dict(trial.tuned),
        }
        if trial.objective is None:
            return {**summary, "FailureReason": trial.reason}
        return {**summary, OBJECTIVE: {"MetricName": self._metric, "Value": trial.objective}}


def _whole_number(limits: Mapping[str, Any], name: str) -> int:
    """Return a limit, a number or the text of one; raises DefinitionError unless it is whole and at least 1."""
    value = str(limits.get(name, 1))
    if not value.isdecimal() or int(value) < 1:
        raise DefinitionError(f"{name} is {value}: wanted a whole number of at least 1")
    return int(value)
