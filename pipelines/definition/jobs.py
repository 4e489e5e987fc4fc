"""What the jobs of the pipeline have in common: images, roles, network, keys, limits, retries, and where outputs go."""

from collections.abc import Mapping, Sequence
from typing import Any

from sagemaker.core.network import NetworkConfig
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
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow import (
    CacheConfig,
    ProcessingStep,
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
)
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import CheckpointConfig, Compute, Networking, StoppingCondition

from pipelines.definition.parameters import SEED, STATIC, key_of, pipeline_parameters
from pipelines.definition.settings import LEDGER, Settings
from pipelines.definition.step_table import Step
from steps.core.dataset.plan import FACTS, FEATURES, INSPECTOR, TILES

INPUT = "/opt/ml/processing/input"
OUTPUT = "/opt/ml/processing/output"
_VOLUME_GB, _MOST_RUN_SECONDS, _MOST_WAIT_SECONDS = 50, 6 * 3600, 12 * 3600  # the last for spot, with the waiting
_KINDS = {str: ParameterString, int: ParameterInteger, float: ParameterFloat}
# Given as lists of objects, so that a job downloads what it needs of the store and nothing else.
_LISTED = ("store", "shards", "features", "images")


class Jobs:
    """Makes the jobs of one pipeline; `session` is a PipelineSession that makes no call."""

    def __init__(self, settings: Settings, session: Any) -> None:
        self.settings, self.session = settings, session
        self.parameters = {
            p.name: _KINDS[p.kind](p.name, default_value=p.default, **if_given(enum_values=list(p.choices)))
            for p in pipeline_parameters(settings)
        }
        self.volume_key = settings.kms_key_arn if settings.training_volume_key else ""
        self.cache = CacheConfig(enable_caching=True, expire_after="P30D")
        faults = [StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING]
        self.retry_call = StepRetryPolicy(faults, interval_seconds=5, max_attempts=3)
        self.retry = [
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

    def text(self, name: str) -> Any:
        """Return a parameter as the string that arguments and hyperparameters have to be."""
        parameter = self.parameters[name]
        return parameter if isinstance(parameter, ParameterString) else parameter.to_string()

    def processing(
        self,
        step: Step,
        *,
        inputs: Mapping[str, Any],
        outputs: Sequence[str],
        arguments: Mapping[str, Any] | None = None,
        parameters: Sequence[str] = (),
        files: Sequence[PropertyFile] = (),
        after: Sequence[Any] = (),
    ) -> Any:
        """Return a step's ProcessingStep.

        Its program gets every path and each of the pipeline's `parameters` by its name, the first output's as `output`.
        """
        processor = Processor(
            role=self.settings.role(step.role),
            image_uri=self.settings.image(step.image),
            entrypoint=["python3", "-m", f"steps.{step.program}"],
            instance_count=self.parameters[step.instance_count] if step.instance_count else 1,
            instance_type=self.parameters[step.instance_type],
            volume_size_in_gb=_VOLUME_GB,
            max_runtime_in_seconds=_MOST_RUN_SECONDS,
            sagemaker_session=self.session,
            volume_kms_key=self.settings.kms_key_arn or None,
            output_kms_key=self.settings.kms_key_arn or None,
            network_config=self._network(NetworkConfig, "encrypt_inter_container_traffic"),
        )
        flags = {
            **{name: f"{INPUT}/{name}" for name in inputs},
            "message": "/opt/ml/output/message",
            "output": f"{OUTPUT}/{outputs[0]}",
            **{name: f"{OUTPUT}/{name}" for name in outputs[1:]},
            **(arguments or {}),
            **{key_of(name): self.text(name) for name in parameters},
        }
        step_args = processor.run(
            inputs=[self._input(name, uri) for name, uri in inputs.items()],
            outputs=[self._output(step.name, name) for name in outputs],
            arguments=[word for key, value in flags.items() for word in (f"--{key}", value)],
        )
        return ProcessingStep(
            step.name,
            step_args=step_args,
            property_files=list(files),
            depends_on=list(after),
            cache_config=self.cache,
            retry_policies=self.retry,
        )

    def _network(self, kind: Any, encryption: str) -> Any:
        """Return the jobs' network as `kind`, a class that calls encrypted traffic `encryption`; None without one."""
        settings = self.settings
        if not (settings.is_isolated or settings.subnets):
            return None
        return kind(
            **if_given(subnets=list(settings.subnets), security_group_ids=list(settings.security_groups)),
            **{"enable_network_isolation": settings.is_isolated, encryption: settings.is_isolated},
        )

    @staticmethod
    def _input(name: str, uri: Any) -> Any:
        source = ProcessingS3Input(
            s3_uri=uri,
            local_path=f"{INPUT}/{name}",
            s3_data_type="ManifestFile" if name in _LISTED else "S3Prefix",
            s3_input_mode="File",
            # Several instances get a part of the images each.
            s3_data_distribution_type="ShardedByS3Key" if name == "images" else "FullyReplicated",
        )
        return ProcessingInput(input_name=name, s3_input=source)

    def _output(self, step: str, name: str) -> Any:
        run = [self.settings.artifact_uri("runs"), ExecutionVariables.PIPELINE_EXECUTION_ID, step, name]
        # What is named by its content belongs to every run, so that no night does an earlier one's work again.
        shared = {
            "new-facts": self.settings.uri(FACTS, INSPECTOR),
            "new-tiles": self.settings.uri(TILES),
            "new-features": self.settings.uri(FEATURES),
            "new-ledger": self.settings.artifact_uri(LEDGER, step),
        }
        uri = shared.get(name) or Join(on="/", values=run)
        # A report is wanted most when its job fails, a rejected model was looked at all the same, and at its end a
        # failed job uploads nothing.
        mode = "Continuous" if name in ("report", "new-ledger") else "EndOfJob"
        target = ProcessingS3Output(s3_uri=uri, local_path=f"{OUTPUT}/{name}", s3_upload_mode=mode)
        return ProcessingOutput(output_name=name, s3_output=target)

    def checkpoints(self, name: str) -> Any:
        """Return where trainings on this plan keep their checkpoints, each in a file named by what it depends on.

        A job downloads all that lies there. The URI is part of the step cache's key: one of this execution would make
        every training a new one.
        """
        return Join(on="/", values=[self.parameters["CheckpointsUri"], name])

    def trainer(self, step: Step, name: str, hyperparameters: Mapping[str, Any]) -> Any:
        """Return a trainer of its own for a step, `name` its outputs' folder: the tuner writes into the one it gets."""
        return ModelTrainer(
            training_image=self.settings.image(step.image),
            role=self.settings.role(step.role),
            sagemaker_session=self.session,
            base_job_name=name,
            compute=Compute(
                instance_type=self.parameters[step.instance_type],
                instance_count=self.parameters[step.instance_count] if step.instance_count else 1,
                volume_size_in_gb=_VOLUME_GB,
                **if_given(enable_managed_spot_training=self.settings.spot, volume_kms_key_id=self.volume_key),
            ),
            **if_given(networking=self._network(Networking, "enable_inter_container_traffic_encryption")),
            stopping_condition=StoppingCondition(
                max_runtime_in_seconds=_MOST_RUN_SECONDS,
                **if_given(max_wait_time_in_seconds=self.settings.spot and _MOST_WAIT_SECONDS),
            ),
            checkpoint_config=CheckpointConfig(s3_uri=self.checkpoints(name)),
            output_data_config=OutputDataConfig(
                s3_output_path=self.settings.artifact_uri(name),
                **if_given(kms_key_id=self.settings.kms_key_arn),
            ),
            hyperparameters={
                **{wire: self.text(name) for wire, name in STATIC.items()},
                "seed": str(SEED),
                **hyperparameters,
            },
        )


def if_given(**fields: Any) -> dict[str, Any]:
    """Return the fields that have a value: the SDK takes an empty one for a choice."""
    return {name: value for name, value in fields.items() if value}


def output_of(step: Any, name: str) -> Any:
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri


def listed_channel(name: str, manifest: Any) -> Any:
    """Return a channel of the objects that a ManifestFile lists; the SDK's InputData knows prefixes only."""
    source = S3DataSource(s3_uri=manifest, s3_data_type="ManifestFile", s3_data_distribution_type="FullyReplicated")
    return Channel(channel_name=name, data_source=DataSource(s3_data_source=source), input_mode="File")
