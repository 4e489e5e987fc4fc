# ruff: noqa: E402 (the SDK reads the environment, warnings and logging while it is imported)
"""Run as a program: compile a foreign pipeline with the real SDK v3, offline, and bring its uploads along.

sdk_definition.py DEFINITION.json STORE writes the definition, and what the SDK uploads to S3 under STORE/<bucket>/.
"""

import json
import logging
import os
import sys
import warnings
from pathlib import Path

os.environ.update(
    AWS_ACCESS_KEY_ID="testing",
    AWS_SECRET_ACCESS_KEY="testing",  # noqa: S106 (moto wants some)
    AWS_DEFAULT_REGION="eu-west-1",
    SAGEMAKER_VALIDATE_ROLE="false",
    AWS_EC2_METADATA_DISABLED="true",
)
os.environ.pop("AWS_PROFILE", None)
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

import boto3
import sagemaker.core.telemetry.telemetry_logging as telemetry
from moto import mock_aws

telemetry._send_telemetry_request = lambda *_, **__: None

from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.parameter import ContinuousParameter, IntegerParameter
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.shapes import (
    OutputDataConfig,
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
)
from sagemaker.core.workflow.conditions import ConditionEquals, ConditionGreaterThanOrEqualTo, ConditionOr
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow import (
    CacheConfig,
    ConditionStep,
    FailStep,
    ModelStep,
    Pipeline,
    ProcessingStep,
    TrainingStep,
    TuningStep,
)
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, StoppingCondition
from sagemaker.train.tuner import HyperparameterTuner

BUCKET = "wine"
IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/wine:3"
ROLE = "arn:aws:iam::111122223333:role/Wine"


def build(session):
    """Split → (tune, train) → judge → publish or reject."""
    cellar = ParameterString("Cellar", default_value=f"s3://{BUCKET}/cellar")
    floor = ParameterFloat("Floor", default_value=0.5)
    rows = ParameterInteger("Rows", default_value=8)
    cache = CacheConfig(enable_caching=True, expire_after="P7D")
    compute = Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=30)

    def place(step, name, path):
        uri = Join(on="/", values=["s3:/", BUCKET, ExecutionVariables.PIPELINE_EXECUTION_ID, step, name])
        return ProcessingOutput(
            output_name=name, s3_output=ProcessingS3Output(s3_uri=uri, local_path=path, s3_upload_mode="EndOfJob")
        )

    def source(name, uri, path):
        return ProcessingInput(
            input_name=name,
            s3_input=ProcessingS3Input(s3_uri=uri, local_path=path, s3_data_type="S3Prefix", s3_input_mode="File"),
        )

    def processor():
        return ScriptProcessor(
            image_uri=IMAGE,
            role=ROLE,
            command=["python3"],
            instance_count=1,
            instance_type="ml.m5.large",
            sagemaker_session=session,
            env={"PLACE": "/opt/ml/processing"},
        )

    split = ProcessingStep(
        "Split",
        step_args=processor().run(
            code=f"s3://{BUCKET}/code/split.py",
            inputs=[source("cellar", cellar, "/opt/ml/processing/in")],
            outputs=[place("Split", "rows", "/opt/ml/processing/out/rows")],
            arguments=["--rows", rows.to_string(), "--to=/opt/ml/processing/out/rows"],
        ),
        cache_config=cache,
    )
    data = [
        InputData(
            channel_name="rows", data_source=split.properties.ProcessingOutputConfig.Outputs["rows"].S3Output.S3Uri
        )
    ]

    def trainer(out, hyperparameters):
        return ModelTrainer(
            training_image=IMAGE,
            role=ROLE,
            sagemaker_session=session,
            compute=compute,
            base_job_name="wine",
            stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
            output_data_config=OutputDataConfig(s3_output_path=f"s3://{BUCKET}/{out}"),
            hyperparameters=hyperparameters,
        )

    tuner = HyperparameterTuner(
        trainer("tuned", {"depth": "2"}),
        "quality",
        {
            "sugar": ContinuousParameter(0.1, 0.9, scaling_type="Linear"),
            "grape": IntegerParameter(1, 2, scaling_type="Linear"),
        },
        metric_definitions=[{"Name": "quality", "Regex": r"quality: ([0-9.]+)"}],
        strategy="Bayesian",
        max_jobs=3,
        max_parallel_jobs=2,
        random_seed=3,
    )
    tune = TuningStep("Tune", step_args=tuner.tune(inputs=data), cache_config=cache)
    best = tune.properties.BestTrainingJob.TunedHyperParameters
    fit = TrainingStep(
        "Fit",
        step_args=trainer("fitted", {"sugar": best["sugar"], "depth": "2"}).train(input_data_config=data),
        cache_config=cache,
    )
    name = tune.properties.BestTrainingJob.TrainingJobName
    top = Join(on="/", values=["s3:/", BUCKET, "tuned", name, "output/model.tar.gz"])
    report = PropertyFile(name="Verdict", output_name="verdict", path="deep/verdict.json")
    judge = ProcessingStep(
        "Judge",
        step_args=processor().run(
            code=f"s3://{BUCKET}/code/judge.py",
            inputs=[
                source("model", fit.properties.ModelArtifacts.S3ModelArtifacts, "/opt/ml/processing/model"),
                source("top", top, "/opt/ml/processing/top"),
            ],
            outputs=[place("Judge", "verdict", "/opt/ml/processing/verdict")],
        ),
        property_files=[report],
    )
    taste = JsonGet(step_name="Judge", property_file=report, json_path="scores['of bottles'].taste")
    builder = ModelBuilder(
        image_uri=IMAGE,
        s3_model_data_url=fit.properties.ModelArtifacts.S3ModelArtifacts,
        role_arn=ROLE,
        sagemaker_session=session,
    )
    where = Join(
        on="/",
        values=[judge.properties.ProcessingOutputConfig.Outputs["verdict"].S3Output.S3Uri, "deep/verdict.json"],
    )
    metrics = ModelMetrics(model_statistics=MetricsSource(content_type="application/json", s3_uri=where))
    publish = ModelStep(
        "Publish",
        step_args=builder.register(
            model_package_group_name="wine",
            content_types=["text/csv"],
            response_types=["text/csv"],
            approval_status="PendingManualApproval",
            model_metrics=metrics,
        ),
    )
    reject = FailStep("Reject", error_message=Join(on=" ", values=["taste below", floor.to_string()]))
    gate = ConditionStep(
        "Gate",
        conditions=[
            ConditionGreaterThanOrEqualTo(left=taste, right=floor),
            ConditionOr(conditions=[ConditionEquals(left=best["grape"], right=grape) for grape in ("1", "2")]),
        ],
        if_steps=[publish],
        else_steps=[reject],
    )
    return Pipeline(
        "wine", parameters=[cellar, floor, rows], steps=[split, tune, fit, judge, gate], sagemaker_session=session
    )


def main(definition, store):
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        session = PipelineSession(
            boto_session=boto3.Session(region_name="eu-west-1"), default_bucket=BUCKET, sagemaker_config={}
        )
        session._default_bucket = BUCKET
        Path(definition).write_text(build(session).definition())
        for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            target = Path(store, BUCKET, item["Key"])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read())
    json.loads(Path(definition).read_text())


if __name__ == "__main__":
    main(*sys.argv[1:])
