"""The steps that learn: TuneHyperparameters searches, and TrainModel trains with the best that was found."""

from collections.abc import Mapping, Sequence
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
_NUMBER = r"([-+0-9.eE]+)"


class _TuningStep(TuningStep):  # type: ignore[misc]
    """A TuningStep with pipeline parameters where the SDK's tuner accepts literals only.

    `limits` are the numbers of jobs, `parents` the names of the tuning jobs that it starts warm from, none for a cold
    start. A definition has one list of parents: how many there are is fixed when it is compiled, which, at its start.
    `training` and `machines` belong to each training job; the tuner does not take them over from its trainer.
    """

    def __init__(
        self,
        *args: Any,
        limits: Mapping[str, Any],
        parents: Sequence[Any],
        training: Mapping[str, Any],
        machines: Mapping[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._limits, self._parents, self._training, self._machines = limits, parents, training, machines

    @property
    def arguments(self) -> Any:
        request = super().arguments
        request["HyperParameterTuningJobConfig"]["ResourceLimits"] = dict(self._limits)
        job = request["TrainingJobDefinition"]
        job.update(self._training)
        job["ResourceConfig"].update(self._machines)
        if self._parents:
            request["WarmStartConfig"] = {
                "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": name} for name in self._parents],
                # Tonight's data and image are others than the parents'.
                "WarmStartType": "TransferLearning",
            }
        return request


def tuning_step(jobs: Jobs, channels: Sequence[Any]) -> Any:
    tuner = HyperparameterTuner(
        jobs.trainer(TUNE, "tuning", {"refit": "0", "_search": jobs.text("Search")}),
        OBJECTIVE,
        {tuned.name: _range(jobs, tuned) for tuned in TUNED},
        metric_definitions=_metric_definitions(),
        strategy="Bayesian",
        objective_type="Maximize",
        max_jobs=2,
        max_parallel_jobs=2,
        early_stopping_type="Auto",
        random_seed=SEED,
        base_tuning_job_name=jobs.settings.name,
    )
    limits = {
        "MaxNumberOfTrainingJobs": jobs.parameters["MaxTuningJobs"],
        "MaxParallelTrainingJobs": jobs.parameters["MaxParallelTuningJobs"],
    }
    return _TuningStep(
        TUNE.name,
        step_args=tuner.tune(inputs=list(channels)),
        limits=limits,
        parents=[jobs.parameters[name] for name in warm_start_names(jobs.settings.warm_start_parents)],
        training=if_given(
            CheckpointConfig={"S3Uri": jobs.checkpoints("tuning")},
            EnableNetworkIsolation=jobs.settings.network_isolation,
            EnableInterContainerTrafficEncryption=jobs.settings.encrypt_traffic,
        ),
        machines=if_given(VolumeKmsKeyId=jobs.volume_key, KeepAlivePeriodInSeconds=jobs.settings.warm_pool_seconds),
        cache_config=jobs.cache,
        retry_policies=jobs.retry,
    )


def training_step(jobs: Jobs, channels: Sequence[Any], tune: Any) -> Any:
    best = tune.properties.BestTrainingJob.TunedHyperParameters
    trainer = jobs.trainer(
        TRAIN,
        "training",
        {
            **{tuned.name: best[tuned.name] for tuned in TUNED},
        },
    )
    trainer.with_metric_definitions([MetricDefinition(name=m["Name"], regex=m["Regex"]) for m in _metric_definitions()])
    step_args = trainer.train(input_data_config=list(channels))
    return TrainingStep(TRAIN.name, step_args=step_args, cache_config=jobs.cache, retry_policies=jobs.retry)


def _range(jobs: Jobs, tuned: Tuned) -> Any:
    low, high = [jobs.text(name) for name in BOUNDS[tuned.name]] if tuned.name in BOUNDS else (tuned.low, tuned.high)
    if tuned.whole:
        return IntegerParameter(int(low), int(high), scaling_type=tuned.scale)
    return ContinuousParameter(low, high, scaling_type=tuned.scale)


def _metric_definitions() -> list[dict[str, str]]:
    # The last match is the one that counts: the program's closing line tells the kept epoch's values.
    return [{"Name": name, "Regex": f"{name}={_NUMBER};"} for name in _METRICS]
