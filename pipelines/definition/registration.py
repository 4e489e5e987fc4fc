"""What follows a passed gate: ConvertToTFLite, and RegisterModel with the figures and digests of what it made."""

from collections.abc import Mapping
from typing import Any

from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow import ModelStep
from sagemaker.serve.model_builder import ModelBuilder

from pipelines.definition.jobs import OUTPUT, Jobs, output_of
from pipelines.definition.step_table import CONVERT, REGISTER
from steps.convert.summary import SUMMARY, SUMMARY_FILE


def conversion_and_registration(
    jobs: Jobs, held_out: Mapping[str, Any], limits: Mapping[str, Any], evaluate: Any
) -> list[Any]:
    summary = PropertyFile(name="Summary", output_name="bundle", path=SUMMARY_FILE)
    evaluation = output_of(evaluate, "evaluation")
    convert = jobs.processing(
        CONVERT,
        inputs={**held_out, "evaluation": evaluation},
        outputs=["bundle", "new-ledger"],
        arguments={
            "output": f"{OUTPUT}/bundle",
            "job": "/opt/ml/config/processingjobconfig.json",
            "variants": jobs.text("Variants"),
            "prefer": jobs.text("Prefer"),
            "max-flipped": jobs.text("MaxFlipped"),
            **limits,
        },
        files=[summary],
    )
    bundle = output_of(convert, "bundle")
    builder = ModelBuilder(
        image_uri=jobs.settings.model_image,
        s3_model_data_url=Join(on="/", values=[bundle, "model.tar.gz"]),
        role_arn=jobs.settings.role_arn,
        sagemaker_session=jobs.session,
    )
    told = {key: JsonGet(convert.name, property_file=summary, json_path=key) for key in SUMMARY}
    metrics = MetricsSource(
        content_type="application/json",
        content_digest=told.pop("evaluation_digest"),
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
                **told,
            },
        ),
        retry_policies=[jobs.retry_call],
    )
    return [convert, register]
