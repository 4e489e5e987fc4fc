"""The DAG, built with the SageMaker Python SDK v3. Import it only through the compiler, which prepares the SDK.

ValidateData -> PreprocessTiles -> IndexTiles -> TuneHyperparameters -> TrainModel -> EvaluateModel ->
CheckFalsePositiveRate, which leads to ConvertToTFLite and RegisterModel, or to RejectModel.
"""

from collections.abc import Mapping
from typing import Any

from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.workflow.conditions import (
    ConditionEquals,
    ConditionGreaterThanOrEqualTo,
    ConditionLessThanOrEqualTo,
    ConditionOr,
)
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow import ConditionStep, FailStep, ModelStep, Pipeline
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train.configs import InputData

from pipelines.definition.jobs import Jobs, listed_channel, output_of
from pipelines.definition.settings import Settings
from pipelines.definition.step_table import (
    CHECK,
    CHECK_DATA,
    CONVERT,
    EVALUATE,
    INDEX,
    PREPROCESS,
    REGISTER,
    REJECT,
    REJECT_DATA,
    VALIDATE,
)
from pipelines.definition.tuning_and_training import training_step, tuning_step
from steps.convert.summary import SUMMARY, SUMMARY_FILE
from steps.core.common.choices import YES
from steps.core.dataset.plan import (
    CUT_OBJECTS,
    FEATURES,
    FEATURES_MANIFEST,
    INDEX_OBJECTS,
    SHARDS_MANIFEST,
    TILES,
    VALIDATE_OBJECTS,
)
from steps.core.dataset.tables import VALIDATION

# What both programs of the gate get.
_LIMITS = (
    "MaxFpr",
    "MinTpr",
    "ChampionRule",
    "MaxFprIncrease",
    "MaxTprDecrease",
    "Phones",
    "ScreenshotsPerDay",
    "ReviewSeconds",
)
_FACTS = PropertyFile(name="Validation", output_name="report", path=VALIDATION)


def build_pipeline(settings: Settings, session: Any) -> Any:
    """Return the SDK's Pipeline; `session` is a PipelineSession that makes no call."""
    jobs = Jobs(settings, session)
    validate, preprocess, index = _data_steps(jobs)
    tiles = output_of(index, "tiles")
    shards = Join(on="/", values=[tiles, SHARDS_MANIFEST])
    features = Join(on="/", values=[tiles, FEATURES_MANIFEST])
    channels = [
        InputData(channel_name="tiles", data_source=tiles),
        listed_channel("shards", shards),
        listed_channel("features", features),
        InputData(channel_name="dataset", data_source=output_of(validate, "development")),
        InputData(channel_name="pretrained", data_source=jobs.parameters["PretrainedWeightsUri"]),
    ]
    tune = tuning_step(jobs, channels)
    train = training_step(jobs, channels, tune)
    held_out = {
        "model": train.properties.ModelArtifacts.S3ModelArtifacts,
        "tiles": tiles,
        "shards": shards,
        "dataset": output_of(validate, "screenshots"),
        "validation": output_of(validate, "report"),
        "champion": jobs.parameters["ChampionUri"],
        "ledger": jobs.parameters["LedgerUri"],
    }
    return Pipeline(
        name=settings.name,
        parameters=list(jobs.parameters.values()),
        steps=[
            validate,
            _check_data(jobs, validate),
            preprocess,
            index,
            tune,
            train,
            *_gate_steps(jobs, held_out, features),
        ],
        # By default it would make an experiment and a trial, which the pipeline's role may not.
        pipeline_experiment_config=None,
        sagemaker_session=session,
    )


def _data_steps(jobs: Jobs) -> tuple[Any, Any, Any]:
    """Return the validate, preprocess and index steps."""
    plan = jobs.parameters["PlanUri"]
    validate = jobs.processing(
        VALIDATE,
        inputs={
            "plan": plan,
            "store": Join(on="/", values=[plan, VALIDATE_OBJECTS]),
            "pretrained": jobs.parameters["PretrainedWeightsUri"],
        },
        outputs=["screenshots", "development", "report", "new-facts"],
        parameters=["Classes", "LabelAttribute", "Backbone", "MaxLabelChanges"],
        files=[_FACTS],
    )
    preprocess = jobs.processing(
        PREPROCESS,
        inputs={"plan": plan, "images": Join(on="/", values=[plan, CUT_OBJECTS])},
        outputs=["cut"],
        parameters=["TileSize"],
        after=[validate],
    )
    index = jobs.processing(
        INDEX,
        inputs={
            "dataset": output_of(validate, "screenshots"),
            "plan": plan,
            "store": Join(on="/", values=[plan, INDEX_OBJECTS]),
            "cut": output_of(preprocess, "cut"),
            "pretrained": jobs.parameters["PretrainedWeightsUri"],
        },
        outputs=["tiles", "new-tiles", "new-features"],
        arguments={"tiles-uri": jobs.settings.uri(TILES), "features-uri": jobs.settings.uri(FEATURES)},
        parameters=["TileSize", "Backbone"],
    )
    return validate, preprocess, index


def _check_data(jobs: Jobs, validate: Any) -> Any:
    """Return the condition that ends the run where no model could prove the limits on these data."""

    def proves(kind: Any, what: str, limit: str) -> Any:
        anyway = ConditionEquals(left=jobs.parameters["TrainAnyway"], right=YES)
        figure = JsonGet(validate.name, property_file=_FACTS, json_path=f"provable.{what}")
        return ConditionOr(conditions=[anyway, kind(left=figure, right=jobs.parameters[limit])])

    return ConditionStep(
        CHECK_DATA,
        conditions=[
            proves(ConditionLessThanOrEqualTo, "max_fpr", "MaxFpr"),
            proves(ConditionGreaterThanOrEqualTo, "min_tpr", "MinTpr"),
        ],
        if_steps=[],
        else_steps=[FailStep(REJECT_DATA, error_message=_sentence_of(validate, _FACTS, "provable.message"))],
    )


def _sentence_of(step: Any, file: PropertyFile, path: str) -> Join:
    """Return a sentence that a step has written as a FailStep takes it: for that a Join is documented, no JsonGet."""
    return Join(on="", values=[JsonGet(step.name, property_file=file, json_path=path)])


def _gate_steps(jobs: Jobs, held_out: Mapping[str, Any], features: Any) -> list[Any]:
    """Return the gate: EvaluateModel, and the condition that leads to the rest or ends the run."""
    verdict = PropertyFile(name="Evaluation", output_name="evaluation", path="evaluation.json")
    evaluate = jobs.processing(
        EVALUATE,
        inputs={**held_out, "features": features},
        outputs=["evaluation", "new-ledger"],
        parameters=_LIMITS,
        files=[verdict],
    )
    check = ConditionStep(
        CHECK,
        conditions=[
            ConditionEquals(left=JsonGet(evaluate.name, property_file=verdict, json_path="gate.failed_checks"), right=0)
        ],
        if_steps=_conversion_and_registration(jobs, held_out, evaluate),
        else_steps=[FailStep(REJECT, error_message=_sentence_of(evaluate, verdict, "gate.message"))],
    )
    return [evaluate, check]


def _conversion_and_registration(jobs: Jobs, held_out: Mapping[str, Any], evaluate: Any) -> list[Any]:
    """Return ConvertToTFLite, and RegisterModel with the figures and digests of what that has made."""
    summary = PropertyFile(name="Summary", output_name="bundle", path=SUMMARY_FILE)
    convert = jobs.processing(
        CONVERT,
        inputs={**held_out, "evaluation": output_of(evaluate, "evaluation")},
        outputs=["bundle", "new-ledger"],
        arguments={"job": "/opt/ml/config/processingjobconfig.json"},
        parameters=["Variants", "MaxFlipped", *_LIMITS],
        files=[summary],
    )
    bundle = output_of(convert, "bundle")
    builder = ModelBuilder(
        image_uri=jobs.settings.model_image,
        s3_model_data_url=Join(on="/", values=[bundle, "model.tar.gz"]),
        role_arn=jobs.settings.role_arn,
        sagemaker_session=jobs.session,
    )
    figures = {key: JsonGet(convert.name, property_file=summary, json_path=key) for key in SUMMARY}
    metrics = MetricsSource(
        content_type="application/json",
        content_digest=figures.pop("evaluation_digest"),
        s3_uri=Join(on="/", values=[bundle, "bundle", "evaluation.json"]),
    )
    register = ModelStep(
        REGISTER,
        step_args=builder.register(
            model_package_group_name=jobs.settings.model_package_group,
            content_types=["application/octet-stream"],
            response_types=["application/json"],
            approval_status="PendingManualApproval",
            model_metrics=ModelMetrics(model_statistics=metrics),
            description="Screenshot classifier, TFLite bundle",
            customer_metadata_properties={
                "execution": ExecutionVariables.PIPELINE_EXECUTION_ID,
                "dataset": jobs.parameters["DatasetUri"],
                "champion": jobs.parameters["ChampionUri"],
                "data_image": jobs.settings.data_image,
                "model_image": jobs.settings.model_image,
                **figures,
            },
        ),
        retry_policies=[jobs.retry_call],
    )
    return [convert, register]
