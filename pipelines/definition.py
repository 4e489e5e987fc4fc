"""The DAG, built with the SageMaker Python SDK v3. Import it only through `pipelines.compiler`, which prepares the SDK.

ValidateData -> PreprocessTiles -> IndexTiles -> TuneHyperparameters -> TrainModel -> EvaluateModel ->
CheckFalsePositiveRate, which leads to ConvertToTFLite and RegisterModel, or to RejectModel.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.network import NetworkConfig
from sagemaker.core.parameter import ContinuousParameter
from sagemaker.core.processing import Processor
from sagemaker.core.shapes import (
    Channel,
    DataSource,
    OutputDataConfig,
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
    S3DataSource,
)
from sagemaker.core.workflow.conditions import ConditionEquals
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow import (
    CacheConfig,
    ConditionStep,
    FailStep,
    ModelStep,
    Pipeline,
    ProcessingStep,
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
    TrainingStep,
    TuningStep,
)
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import (
    CheckpointConfig,
    Compute,
    InputData,
    MetricDefinition,
    Networking,
    StoppingCondition,
)
from sagemaker.train.tuner import HyperparameterTuner

from pipelines.parameters import BOUNDS, FINAL, LEDGER, STATIC, pipeline_parameters, warm_start_names
from pipelines.settings import Settings
from steps.core.plan import CUT_OBJECTS, FACTS, INDEX_OBJECTS, INSPECTOR, SHARDS_MANIFEST, TILES, VALIDATE_OBJECTS
from steps.core.search_space import TUNED, Tuned
from steps.core.summary import SUMMARY, SUMMARY_FILE

OBJECTIVE = "validation:tpr_at_fpr"
_METRICS = (OBJECTIVE, "validation:auc", "validation:loss", "train:loss")
_NUMBER = r"([-+0-9.eE]+)"
_INPUT = "/opt/ml/processing/input"
_OUTPUT = "/opt/ml/processing/output"
_KINDS = {str: ParameterString, int: ParameterInteger, float: ParameterFloat}
_SEED = 17
# What both judging programs are told, by their flags.
_LIMITS = {
    "max-fpr": "MaxFpr",
    "min-tpr": "MinTpr",
    "champion-rule": "ChampionRule",
    "max-fpr-increase": "MaxFprIncrease",
    "max-tpr-decrease": "MaxTprDecrease",
    "phones": "Phones",
    "screenshots-per-day": "ScreenshotsPerDay",
    "review-seconds": "ReviewSeconds",
}
# Given as lists of objects, so that a job downloads what it needs of the store and nothing else.
_LISTED = ("store", "shards", "images")
# Given to each of several instances in part.
_SHARED_OUT = ("images",)
# Programs that do without TensorFlow.
_WITHOUT_TENSORFLOW = ("preprocess", "index")


class _TuningStep(TuningStep):  # type: ignore[misc]
    """A TuningStep with pipeline parameters where the SDK's tuner accepts literals only.

    `limits` are the numbers of jobs, `parents` the names of the tuning jobs that it starts warm from, none for a cold
    start. A definition has one list of parents: how many there are is fixed when it is compiled, which, at its start.
    `training` and `volume_key` belong to each training job; the tuner does not take them over from its trainer.
    """

    def __init__(
        self,
        *args: Any,
        limits: Mapping[str, Any],
        parents: Sequence[Any],
        training: Mapping[str, Any],
        volume_key: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._limits, self._parents, self._training, self._volume_key = limits, parents, training, volume_key

    @property
    def arguments(self) -> Any:
        request = super().arguments
        request["HyperParameterTuningJobConfig"]["ResourceLimits"] = dict(self._limits)
        job = request["TrainingJobDefinition"]
        job.update(self._training)
        if self._volume_key:
            job["ResourceConfig"]["VolumeKmsKeyId"] = self._volume_key
        if self._parents:
            request["WarmStartConfig"] = {
                "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": name} for name in self._parents],
                # Tonight's data and image are others than the parents'.
                "WarmStartType": "TransferLearning",
            }
        return request


class _Dag:
    """The pieces of the pipeline, built once in the order in which they depend on each other."""

    def __init__(self, settings: Settings, session: Any) -> None:
        self.settings, self.session = settings, session
        self.parameters = {p.name: _KINDS[p.kind](p.name, **self._options(p)) for p in pipeline_parameters(settings)}
        self.cache = CacheConfig(enable_caching=True, expire_after="P30D")

    @staticmethod
    def _options(parameter: Any) -> dict[str, Any]:
        options = {} if parameter.default is None else {"default_value": parameter.default}
        return options | ({"enum_values": list(parameter.choices)} if parameter.choices else {})

    def text(self, name: str) -> Any:
        """Return a parameter as the string that arguments and hyperparameters have to be."""
        parameter = self.parameters[name]
        return parameter if isinstance(parameter, ParameterString) else parameter.to_string()

    @property
    def retry_call(self) -> Any:
        faults = [StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING]
        return StepRetryPolicy(faults, interval_seconds=5, max_attempts=3)

    @property
    def retry(self) -> list[Any]:
        return [
            self.retry_call,
            SageMakerJobStepRetryPolicy(
                exception_types=[SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT],
                failure_reason_types=[
                    SageMakerJobExceptionTypeEnum.INTERNAL_ERROR,
                    SageMakerJobExceptionTypeEnum.CAPACITY_ERROR,
                ],
                interval_seconds=60,
                max_attempts=3,
            ),
        ]

    def processing(
        self,
        name: str,
        module: str,
        *,
        inputs: Mapping[str, Any],
        outputs: Sequence[str],
        arguments: Mapping[str, Any],
        files: Sequence[PropertyFile] = (),
        instances: Any = 1,
        after: Sequence[Any] = (),
    ) -> Any:
        """Return a ProcessingStep that runs `python3 -m steps.<module>`; every path is an argument of the program."""
        image = self.settings.data_image if module in _WITHOUT_TENSORFLOW else self.settings.model_image
        judges = module in ("evaluate", "convert")
        role = self.settings.judge_role_arn if judges else self.settings.data_role_arn
        processor = Processor(
            role=role or self.settings.role_arn,
            image_uri=image,
            entrypoint=["python3", "-m", f"steps.{module}"],
            instance_count=instances,
            instance_type=self.parameters["ProcessingInstanceType"],
            volume_size_in_gb=self.settings.volume_gb,
            max_runtime_in_seconds=self.settings.max_runtime_seconds,
            sagemaker_session=self.session,
            volume_kms_key=self.settings.kms_key_arn or None,
            output_kms_key=self.settings.kms_key_arn or None,
            network_config=self._network(),
        )
        paths = {**{i: f"{_INPUT}/{i}" for i in inputs}, **{o: f"{_OUTPUT}/{o}" for o in outputs}}
        flags = {**{i: paths[i] for i in inputs}, "message": "/opt/ml/output/message", **arguments}
        step_args = processor.run(
            inputs=[self._input(key, uri, paths[key]) for key, uri in inputs.items()],
            outputs=[self._output(name, key, paths[key]) for key in outputs],
            arguments=[word for key, value in flags.items() for word in (f"--{key}", value)],
        )
        return ProcessingStep(
            name,
            step_args=step_args,
            property_files=list(files),
            depends_on=list(after),
            cache_config=self.cache,
            retry_policies=self.retry,
        )

    def _network(self) -> Any:
        settings = self.settings
        if not (settings.network_isolation or settings.subnets):
            return None
        return NetworkConfig(
            enable_network_isolation=settings.network_isolation,
            encrypt_inter_container_traffic=settings.encrypt_traffic,
            subnets=list(settings.subnets) or None,
            security_group_ids=list(settings.security_groups) or None,
        )

    @staticmethod
    def _input(name: str, uri: Any, path: str) -> Any:
        kind = "ManifestFile" if name in _LISTED else "S3Prefix"
        source = ProcessingS3Input(
            s3_uri=uri,
            local_path=path,
            s3_data_type=kind,
            s3_input_mode="File",
            s3_data_distribution_type="ShardedByS3Key" if name in _SHARED_OUT else "FullyReplicated",
        )
        return ProcessingInput(input_name=name, s3_input=source)

    def _output(self, step: str, name: str, path: str) -> Any:
        run = [self.settings.artifact_uri("runs"), ExecutionVariables.PIPELINE_EXECUTION_ID, step, name]
        # What is named by its content belongs to every run, so that no night does an earlier one's work again.
        shared = {
            "new-facts": self.settings.uri(FACTS, INSPECTOR),
            "new-tiles": self.settings.uri(TILES),
            "new-ledger": self.settings.artifact_uri(LEDGER, step),
        }
        uri = shared.get(name) or Join(on="/", values=run)
        # A report is wanted most when its job fails, a rejected model was looked at all the same, and at its end a
        # failed job uploads nothing.
        mode = "Continuous" if name in ("report", "new-ledger") else "EndOfJob"
        target = ProcessingS3Output(s3_uri=uri, local_path=path, s3_upload_mode=mode)
        return ProcessingOutput(output_name=name, s3_output=target)

    def _job_networking(self) -> Any:
        settings = self.settings
        if not (settings.network_isolation or settings.subnets):
            return None
        return Networking(
            **_if_given(subnets=list(settings.subnets), security_group_ids=list(settings.security_groups)),
            enable_network_isolation=settings.network_isolation,
            enable_inter_container_traffic_encryption=settings.encrypt_traffic,
        )

    @property
    def volume_key(self) -> str:
        return self.settings.kms_key_arn if self.settings.training_volume_key else ""

    def checkpoints(self, name: str) -> str:
        """Return where trainings keep their checkpoints, each in a folder named by what it depends on.

        The URI is part of the step cache's key: one of this execution would make every training a new one.
        """
        return self.settings.artifact_uri("checkpoints", name)

    def trainer(self, name: str, hyperparameters: Mapping[str, Any]) -> Any:
        """Return a trainer of its own for a step: the tuner writes into the one it is given."""
        return ModelTrainer(
            training_image=self.settings.model_image,
            role=self.settings.training_role_arn or self.settings.role_arn,
            sagemaker_session=self.session,
            base_job_name=name,
            compute=Compute(
                instance_type=self.parameters["TrainingInstanceType"],
                instance_count=self.parameters["TrainingInstanceCount"],
                volume_size_in_gb=self.settings.volume_gb,
                **_if_given(enable_managed_spot_training=self.settings.spot),
                **_if_given(volume_kms_key_id=self.volume_key),
            ),
            **_if_given(networking=self._job_networking()),
            stopping_condition=StoppingCondition(
                max_runtime_in_seconds=self.settings.max_runtime_seconds,
                **_if_given(max_wait_time_in_seconds=self.settings.spot and self.settings.max_wait_seconds),
            ),
            checkpoint_config=CheckpointConfig(s3_uri=self.checkpoints(name)),
            output_data_config=OutputDataConfig(
                s3_output_path=self.settings.artifact_uri(name),
                **_if_given(kms_key_id=self.settings.kms_key_arn),
            ),
            hyperparameters={
                **{wire: self.text(name) for wire, name in STATIC.items()},
                "seed": str(_SEED),
                **hyperparameters,
            },
        )


def _if_given(**fields: Any) -> dict[str, Any]:
    """Return the fields that have a value: the SDK takes an empty one for a choice."""
    return {name: value for name, value in fields.items() if value}


def _output_of(step: Any, name: str) -> Any:
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri


def _listed_channel(name: str, manifest: Any, mode: str) -> Any:
    """Return a channel of the objects that a ManifestFile lists; the SDK's InputData knows prefixes only."""
    source = S3DataSource(s3_uri=manifest, s3_data_type="ManifestFile", s3_data_distribution_type="FullyReplicated")
    return Channel(channel_name=name, data_source=DataSource(s3_data_source=source), input_mode=mode)


def _metric_definitions() -> list[dict[str, str]]:
    # The last match is the one that counts: the program's closing line tells the kept epoch's values.
    return [{"Name": name, "Regex": f"{name}={_NUMBER};"} for name in _METRICS]


def build_pipeline(settings: Settings, session: Any) -> Any:
    """Return the SDK's Pipeline; `session` is a PipelineSession that makes no call."""
    dag = _Dag(settings, session)
    parameters = dag.parameters
    plan = parameters["PlanUri"]
    validate = dag.processing(
        "ValidateData",
        "validate",
        inputs={
            "plan": plan,
            "store": Join(on="/", values=[plan, VALIDATE_OBJECTS]),
            "pretrained": parameters["PretrainedWeightsUri"],
        },
        outputs=["screenshots", "development", "report", "new-facts"],
        arguments={
            "output": f"{_OUTPUT}/screenshots",
            "development": f"{_OUTPUT}/development",
            "report": f"{_OUTPUT}/report",
            "new-facts": f"{_OUTPUT}/new-facts",
            "classes": dag.text("Classes"),
            "label-attribute": dag.text("LabelAttribute"),
            "backbone": dag.text("Backbone"),
            "max-label-changes": dag.text("MaxLabelChanges"),
        },
    )
    screenshots = _output_of(validate, "screenshots")
    preprocess = dag.processing(
        "PreprocessTiles",
        "preprocess",
        inputs={"plan": plan, "images": Join(on="/", values=[plan, CUT_OBJECTS])},
        outputs=["cut"],
        arguments={"output": f"{_OUTPUT}/cut", "tile-size": dag.text("TileSize")},
        instances=parameters["ProcessingInstanceCount"],
        after=[validate],
    )
    index = dag.processing(
        "IndexTiles",
        "index",
        inputs={
            "dataset": screenshots,
            "plan": plan,
            "store": Join(on="/", values=[plan, INDEX_OBJECTS]),
            "cut": _output_of(preprocess, "cut"),
        },
        outputs=["tiles", "new-tiles"],
        arguments={
            "output": f"{_OUTPUT}/tiles",
            "new-tiles": f"{_OUTPUT}/new-tiles",
            "tiles-uri": settings.uri(TILES),
            "tile-size": dag.text("TileSize"),
        },
    )
    tiles = _output_of(index, "tiles")
    shards = Join(on="/", values=[tiles, SHARDS_MANIFEST])
    channels = [
        InputData(channel_name="tiles", data_source=tiles),
        _listed_channel("shards", shards, settings.input_mode),
        InputData(channel_name="dataset", data_source=_output_of(validate, "development")),
        InputData(channel_name="pretrained", data_source=parameters["PretrainedWeightsUri"]),
    ]
    tune = _tuning(dag, channels)
    train = _training(dag, channels, tune)
    held_out = {
        "model": train.properties.ModelArtifacts.S3ModelArtifacts,
        "tiles": tiles,
        "shards": shards,
        "dataset": screenshots,
        "validation": _output_of(validate, "report"),
        "champion": parameters["ChampionUri"],
        "ledger": parameters["LedgerUri"],
    }
    limits = {flag: dag.text(name) for flag, name in _LIMITS.items()} | {"new-ledger": f"{_OUTPUT}/new-ledger"}
    verdict = PropertyFile(name="Evaluation", output_name="evaluation", path="evaluation.json")
    evaluate = dag.processing(
        "EvaluateModel",
        "evaluate",
        inputs=held_out,
        outputs=["evaluation", "new-ledger"],
        arguments={"output": f"{_OUTPUT}/evaluation", **limits},
        files=[verdict],
    )
    check = ConditionStep(
        "CheckFalsePositiveRate",
        conditions=[
            ConditionEquals(left=JsonGet(evaluate.name, property_file=verdict, json_path="gate.failed_checks"), right=0)
        ],
        if_steps=_conversion_and_registration(dag, held_out, limits, evaluate),
        else_steps=[
            FailStep(
                "RejectModel", error_message=JsonGet(evaluate.name, property_file=verdict, json_path="gate.message")
            )
        ],
    )
    return Pipeline(
        name=settings.name,
        parameters=list(parameters.values()),
        steps=[validate, preprocess, index, tune, train, evaluate, check],
        sagemaker_session=session,
    )


def _tuning(dag: _Dag, channels: Sequence[Any]) -> Any:
    tuner = HyperparameterTuner(
        dag.trainer("tuning", {"fine-tune-epochs": dag.text("TuningEpochs")}),
        OBJECTIVE,
        {tuned.name: _range(dag, tuned) for tuned in TUNED},
        metric_definitions=_metric_definitions(),
        strategy="Bayesian",
        objective_type="Maximize",
        max_jobs=2,
        max_parallel_jobs=2,
        early_stopping_type="Auto",
        random_seed=_SEED,
        base_tuning_job_name=dag.settings.name,
    )
    limits = {
        "MaxNumberOfTrainingJobs": dag.parameters["MaxTuningJobs"],
        "MaxParallelTrainingJobs": dag.parameters["MaxParallelTuningJobs"],
    }
    return _TuningStep(
        "TuneHyperparameters",
        step_args=tuner.tune(inputs=list(channels)),
        limits=limits,
        parents=[dag.parameters[name] for name in warm_start_names(dag.settings.warm_start_parents)],
        training=_if_given(
            CheckpointConfig={"S3Uri": dag.checkpoints("tuning")},
            EnableNetworkIsolation=dag.settings.network_isolation,
            EnableInterContainerTrafficEncryption=dag.settings.encrypt_traffic,
        ),
        volume_key=dag.volume_key,
        cache_config=dag.cache,
        retry_policies=dag.retry,
    )


def _range(dag: _Dag, tuned: Tuned) -> Any:
    low, high = [dag.text(name) for name in BOUNDS[tuned.name]] if tuned.name in BOUNDS else (tuned.low, tuned.high)
    return ContinuousParameter(low, high, scaling_type=tuned.scale)


def _training(dag: _Dag, channels: Sequence[Any], tune: Any) -> Any:
    best = tune.properties.BestTrainingJob.TunedHyperParameters
    trainer = dag.trainer(
        "training",
        {
            **{wire: dag.text(name) for wire, name in FINAL.items()},
            **{tuned.name: best[tuned.name] for tuned in TUNED},
        },
    )
    trainer.with_metric_definitions([MetricDefinition(name=m["Name"], regex=m["Regex"]) for m in _metric_definitions()])
    step_args = trainer.train(input_data_config=list(channels))
    return TrainingStep("TrainModel", step_args=step_args, cache_config=dag.cache, retry_policies=dag.retry)


def _conversion_and_registration(
    dag: _Dag, held_out: Mapping[str, Any], limits: Mapping[str, Any], evaluate: Any
) -> list[Any]:
    summary = PropertyFile(name="Summary", output_name="bundle", path=SUMMARY_FILE)
    evaluation = _output_of(evaluate, "evaluation")
    convert = dag.processing(
        "ConvertToTFLite",
        "convert",
        inputs={**held_out, "evaluation": evaluation},
        outputs=["bundle", "new-ledger"],
        arguments={
            "output": f"{_OUTPUT}/bundle",
            "variants": dag.text("Variants"),
            "prefer": dag.text("Prefer"),
            "max-flipped": dag.text("MaxFlipped"),
            **limits,
        },
        files=[summary],
    )
    bundle = _output_of(convert, "bundle")
    builder = ModelBuilder(
        image_uri=dag.settings.model_image,
        s3_model_data_url=Join(on="/", values=[bundle, "model.tar.gz"]),
        role_arn=dag.settings.role_arn,
        sagemaker_session=dag.session,
    )
    told = {key: JsonGet(convert.name, property_file=summary, json_path=key) for key in SUMMARY}
    metrics = MetricsSource(
        content_type="application/json",
        content_digest=told.pop("evaluation_digest"),
        s3_uri=Join(on="/", values=[bundle, "bundle", "evaluation.json"]),
    )
    register = ModelStep(
        "RegisterModel",
        step_args=builder.register(
            model_package_group_name=dag.settings.model_package_group,
            content_types=["application/octet-stream"],
            response_types=["application/json"],
            approval_status="PendingManualApproval",
            model_metrics=ModelMetrics(model_statistics=metrics),
            description="Screenshot classifier, TFLite bundle",
            customer_metadata_properties={
                "execution": ExecutionVariables.PIPELINE_EXECUTION_ID,
                "dataset": dag.parameters["DatasetUri"],
                "champion": dag.parameters["ChampionUri"],
                "data_image": dag.settings.data_image,
                "model_image": dag.settings.model_image,
                **told,
            },
        ),
        retry_policies=[dag.retry_call],
    )
    return [convert, register]
