"""The steps that learn: TuneHyperparameters searches, and TrainModel trains with the best that was found."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from sagemaker.core.parameter import ContinuousParameter, IntegerParameter
from sagemaker.mlops.workflow import TrainingStep, TuningStep
from sagemaker.train.configs import MetricDefinition
from sagemaker.train.tuner import HyperparameterTuner

from pipelines.definition.jobs import Jobs, if_given
from pipelines.definition.parameters import BOUNDS, SEED, warm_start_names
from pipelines.definition.step_table import TRAIN, TUNE
from steps.train.hyperparameters import TUNED, Tuned

OBJECTIVE = "validation:objective"
_METRICS = (OBJECTIVE, "validation:pauc", "validation:auc", "validation:loss", "train:loss")
# The last match is the one that counts: the program's closing line tells the kept epoch's values.
_METRIC_DEFINITIONS = [{"Name": name, "Regex": f"{name}=([-+0-9.eE]+);"} for name in _METRICS]


class _TuningStep(TuningStep):  # type: ignore[misc]
    """A TuningStep whose request is completed by `complete`, where the SDK's tuner accepts too little."""

    def __init__(self, *args: Any, complete: Callable[[Any], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._complete = complete

    @property
    def arguments(self) -> Any:
        request = super().arguments
        self._complete(request)
        return request


def tuning_step(jobs: Jobs, channels: Sequence[Any]) -> Any:
    tuner = HyperparameterTuner(
        jobs.trainer(TUNE, "tuning", {"refit": "0", "_search": jobs.text("Search")}),
        OBJECTIVE,
        {tuned.name: _range(jobs, tuned) for tuned in TUNED},
        metric_definitions=_METRIC_DEFINITIONS,
        strategy="Bayesian",
        objective_type="Maximize",
        max_jobs=2,
        max_parallel_jobs=2,
        early_stopping_type="Auto",
        random_seed=SEED,
        base_tuning_job_name=jobs.settings.name,
    )
    return _TuningStep(
        TUNE.name,
        step_args=tuner.tune(inputs=list(channels)),
        complete=functools.partial(_complete, jobs),
        cache_config=jobs.cache,
        retry_policies=jobs.retry,
    )


def _complete(jobs: Jobs, request: Any) -> None:
    """Add pipeline parameters where the tuner takes literals only, and what it does not take over from its trainer."""
    settings = jobs.settings
    request["HyperParameterTuningJobConfig"]["ResourceLimits"] = {
        "MaxNumberOfTrainingJobs": jobs.parameters["MaxTuningJobs"],
        "MaxParallelTrainingJobs": jobs.parameters["MaxParallelTuningJobs"],
    }
    job = request["TrainingJobDefinition"]
    job |= if_given(
        CheckpointConfig={"S3Uri": jobs.checkpoints("tuning")},
        EnableNetworkIsolation=settings.is_isolated,
        EnableInterContainerTrafficEncryption=settings.is_isolated,
    )
    job["ResourceConfig"] |= if_given(
        VolumeKmsKeyId=jobs.volume_key, KeepAlivePeriodInSeconds=settings.warm_pool_seconds
    )
    # A definition has one list of parents: how many there are is fixed when it is compiled, which, at its start.
    parents = [jobs.parameters[name] for name in warm_start_names(settings.warm_start_parents)]
    if parents:
        request["WarmStartConfig"] = {
            "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": name} for name in parents],
            # Tonight's data and image are others than the parents'.
            "WarmStartType": "TransferLearning",
        }


def training_step(jobs: Jobs, channels: Sequence[Any], tune: Any) -> Any:
    best = tune.properties.BestTrainingJob.TunedHyperParameters
    trainer = jobs.trainer(TRAIN, "training", {tuned.name: best[tuned.name] for tuned in TUNED})
    trainer.with_metric_definitions([MetricDefinition(name=m["Name"], regex=m["Regex"]) for m in _METRIC_DEFINITIONS])
    step_args = trainer.train(input_data_config=list(channels))
    return TrainingStep(TRAIN.name, step_args=step_args, cache_config=jobs.cache, retry_policies=jobs.retry)


def _range(jobs: Jobs, tuned: Tuned) -> Any:
    low, high = [jobs.text(name) for name in BOUNDS[tuned.name]] if tuned.name in BOUNDS else (tuned.low, tuned.high)
    if tuned.whole:
        return IntegerParameter(int(low), int(high), scaling_type=tuned.scale)
    return ContinuousParameter(low, high, scaling_type=tuned.scale)
