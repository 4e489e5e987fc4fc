"""The DAG, built with the SageMaker Python SDK v3. Import it only through `pipelines.compiler`, which prepares the SDK.

ValidateData -> PreprocessTiles -> TuneHyperparameters -> TrainModel -> EvaluateModel -> CheckFalsePositiveRate, which
leads to ConvertToTFLite and RegisterModel, or to RejectModel.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
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
from sagemaker.train.configs import Compute, InputData, MetricDefinition, StoppingCondition
from sagemaker.train.tuner import HyperparameterTuner

from pipelines.parameters import BOUNDS, FINAL, LEDGER, STATIC, pipeline_parameters, warm_start_names
from pipelines.settings import Settings
from steps.core.plan import FACTS, INSPECTOR, PREPROCESS_OBJECTS, SHARDS_MANIFEST, TILES, VALIDATE_OBJECTS
from steps.core.search_space import TUNED, Tuned

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
_LISTED = ("store", "shards")


class _TuningStep(TuningStep):  # type: ignore[misc]
    """A TuningStep with pipeline parameters where the SDK's tuner accepts literals only.

    `limits` are the numbers of jobs, `parents` the names of the tuning jobs that it starts warm from, none for a cold
    start. A definition has one list of parents: how many there are is fixed when it is compiled, which, at its start.
    """

    def __init__(self, *args: Any, limits: Mapping[str, Any], parents: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits, self._parents = limits, parents

    @property
    def arguments(self) -> Any:
        request = super().arguments
        request["HyperParameterTuningJobConfig"]["ResourceLimits"] = dict(self._limits)
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
    ) -> Any:
        """Return a ProcessingStep that runs `python3 -m steps.<module>`; every path is an argument of the program."""
        image = self.settings.data_image if module == "preprocess" else self.settings.model_image
        processor = Processor(
            role=self.settings.role_arn,
            image_uri=image,
            entrypoint=["python3", "-m", f"steps.{module}"],
            instance_count=1,
            instance_type=self.parameters["ProcessingInstanceType"],
            volume_size_in_gb=self.settings.volume_gb,
            max_runtime_in_seconds=self.settings.max_runtime_seconds,
            sagemaker_session=self.session,
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
            cache_config=self.cache,
            retry_policies=self.retry,
        )

    @staticmethod
    def _input(name: str, uri: Any, path: str) -> Any:
        kind = "ManifestFile" if name in _LISTED else "S3Prefix"
        source = ProcessingS3Input(
            s3_uri=uri,
            local_path=path,
            s3_data_type=kind,
            s3_input_mode="File",
            s3_data_distribution_type="FullyReplicated",
        )
        return ProcessingInput(input_name=name, s3_input=source)

    def _output(self, step: str, name: str, path: str) -> Any:
        run = ["s3:/", self.settings.bucket, "runs", ExecutionVariables.PIPELINE_EXECUTION_ID, step, name]
        # What is named by its content belongs to every run, so that no night does an earlier one's work again.
        shared = {
            "new-facts": self.settings.uri(FACTS, INSPECTOR),
            "new-tiles": self.settings.uri(TILES),
            "new-ledger": self.settings.uri(LEDGER, step),
        }
        uri = shared.get(name) or Join(on="/", values=run)
        # A report is wanted most when its job fails, a rejected model was looked at all the same, and at its end a
        # failed job uploads nothing.
        mode = "Continuous" if name in ("report", "new-ledger") else "EndOfJob"
        target = ProcessingS3Output(s3_uri=uri, local_path=path, s3_upload_mode=mode)
        return ProcessingOutput(output_name=name, s3_output=target)

    def trainer(self, name: str, hyperparameters: Mapping[str, Any]) -> Any:
        """Return a trainer of its own for a step: the tuner writes into the one it is given."""
        return ModelTrainer(
            training_image=self.settings.model_image,
            role=self.settings.role_arn,
            sagemaker_session=self.session,
            base_job_name=name,
            compute=Compute(
                instance_type=self.parameters["TrainingInstanceType"],
                instance_count=1,
                volume_size_in_gb=self.settings.volume_gb,
            ),
            stopping_condition=StoppingCondition(max_runtime_in_seconds=self.settings.max_runtime_seconds),
            output_data_config=OutputDataConfig(s3_output_path=self.settings.uri(name)),
            hyperparameters={
                **{wire: self.text(name) for wire, name in STATIC.items()},
                "seed": str(_SEED),
                **hyperparameters,
            },
        )


def _output_of(step: Any, name: str) -> Any:
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri


def _listed_channel(name: str, manifest: Any) -> Any:
    """Return a channel of the objects that a ManifestFile lists; the SDK's InputData knows prefixes only."""
    source = S3DataSource(s3_uri=manifest, s3_data_type="ManifestFile", s3_data_distribution_type="FullyReplicated")
    return Channel(channel_name=name, data_source=DataSource(s3_data_source=source))


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
        inputs={
            "dataset": screenshots,
            "plan": plan,
            "store": Join(on="/", values=[plan, PREPROCESS_OBJECTS]),
        },
        outputs=["tiles", "new-tiles"],
        arguments={
            "output": f"{_OUTPUT}/tiles",
            "new-tiles": f"{_OUTPUT}/new-tiles",
            "tiles-uri": settings.uri(TILES),
            "tile-size": dag.text("TileSize"),
        },
    )
    tiles = _output_of(preprocess, "tiles")
    shards = Join(on="/", values=[tiles, SHARDS_MANIFEST])
    channels = [
        InputData(channel_name="tiles", data_source=tiles),
        _listed_channel("shards", shards),
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
        steps=[validate, preprocess, tune, train, evaluate, check],
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
    summary = PropertyFile(name="Summary", output_name="bundle", path="summary.json")
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
    metrics = MetricsSource(
        content_type="application/json", s3_uri=Join(on="/", values=[bundle, "bundle", "evaluation.json"])
    )
    summary_keys = ("tflite_sha256", "tflite_bytes", "threshold", "fpr", "fpr_upper", "max_fpr", "tpr", "tpr_lower")
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
                **{key: JsonGet(convert.name, property_file=summary, json_path=key) for key in summary_keys},
            },
        ),
        retry_policies=[dag.retry_call],
    )
    return [convert, register]
