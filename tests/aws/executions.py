"""SageMaker's executions and model versions, as far as moto does not know them: states, steps, tokens and events.

An execution that was started stays Executing until a test ends it, or has it run in earnest by the local executor, on
what moto's buckets hold.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse

from pipelines.definition.settings import Settings
from pipelines.definition.step_table import CHECK, CHECK_DATA, REGISTER, STEPS
from pipelines.executor.events import StepStarted
from pipelines.executor.executor import Executor
from pipelines.executor.files import walk_files
from pipelines.executor.progress import ConsoleProgress
from pipelines.executor.results import ExecutionResult
from pipelines.executor.store import LocalStore
from pipelines.runs.local_run import LocalImages
from pipelines.storage.bulk import Mirror
from pipelines.storage.s3 import S3Objects
from tests.aws.delivery import emit
from tests.aws.jobs import refusals

EXECUTION = "SageMaker Model Building Pipeline Execution Status Change"
STEP = "SageMaker Model Building Pipeline Execution Step Status Change"
VERSION = "SageMaker Model Package State Change"
STEP_NAMES = [*(step.name for step in STEPS), CHECK_DATA, CHECK, REGISTER]
_JOBS = {"Tuning": "TuningJob", "Training": "TrainingJob", "Processing": "ProcessingJob"}
_KINDS = {"Tuning": "hyper-parameter-tuning-job", "Training": "training-job", "Processing": "processing-job"}


@contextmanager
def taught_sagemaker() -> Iterator[None]:
    """Let moto's SageMaker keep executions going, know their steps, and tell EventBridge what changes."""
    backend = SageMakerModelBackend
    real_start, real_list, real_describe = (
        backend.start_pipeline_execution,
        backend.list_pipeline_executions,
        backend.describe_pipeline_execution,
    )

    def start(self, pipeline_name, *rest):
        known = self.pipelines[pipeline_name].pipeline_executions if pipeline_name in self.pipelines else {}
        for arn, execution in known.items():
            if rest[-1] and execution.client_request_token == rest[-1]:
                return {"PipelineExecutionArn": arn}
        started = real_start(self, pipeline_name, *rest)
        execution = self.pipelines[pipeline_name].pipeline_executions[started["PipelineExecutionArn"]]
        execution.pipeline_execution_status, execution.steps = "Executing", []
        return started

    def newest_first(self, pipeline_name):
        listed = real_list(self, pipeline_name)
        return listed | {"PipelineExecutionSummaries": listed["PipelineExecutionSummaries"][::-1]}

    def describe(self, pipeline_execution_arn):
        told = real_describe(self, pipeline_execution_arn)
        return told | {"FailureReason": _execution(pipeline_execution_arn).pipeline_execution_failure_reason}

    def steps(self):
        found = _execution(self._get_param("PipelineExecutionArn"))
        return ActionResult({"PipelineExecutionSteps": found.steps})

    with (
        mock.patch.object(backend, "start_pipeline_execution", start),
        mock.patch.object(backend, "list_pipeline_executions", newest_first),
        mock.patch.object(backend, "describe_pipeline_execution", describe),
        mock.patch.object(SageMakerResponse, "list_pipeline_execution_steps", steps, create=True),
        mock.patch.object(backend, "update_model_package", _telling(backend.update_model_package)),
    ):
        yield


def _telling(update: Any) -> Any:
    def update_model_package(self, model_package_arn, **kwargs):
        if kwargs["customer_metadata_properties"] is None:
            # moto would empty what a request does not name.
            kwargs["customer_metadata_properties"] = self.describe_model_package(
                model_package_arn
            ).customer_metadata_properties
        updated = update(self, model_package_arn=model_package_arn, **kwargs)
        package = self.describe_model_package(model_package_arn)
        detail = {
            "ModelPackageGroupName": package.model_package_group_name,
            "ModelPackageArn": model_package_arn,
            "ModelPackageVersion": package.model_package_version,
            "ModelApprovalStatus": package.model_approval_status,
        }
        emit(VERSION, detail, account=self.account_id, region=self.region_name)
        return updated

    return update_model_package


def _execution(arn: str) -> Any:
    _, _, _, region, account, path = arn.split(":")
    return sagemaker_backends[account][region].pipelines[path.split("/")[1]].pipeline_executions[arn]


def end(arn: str, status: str, *, reason: str = "", steps: list[dict[str, Any]] | None = None) -> None:
    """Let an execution end, and tell of its steps and of itself; each step as ListPipelineExecutionSteps gives it."""
    execution = _execution(arn)
    _, _, _, region, account, _ = arn.split(":")
    where = {"pipelineArn": arn.partition("/execution/")[0], "pipelineExecutionArn": arn}
    before, execution.pipeline_execution_status = execution.pipeline_execution_status, status
    execution.pipeline_execution_failure_reason, execution.last_modified_time = reason, utcnow()
    execution.steps = steps or []
    for step in execution.steps:
        told = {"stepName": step["StepName"], "currentStepStatus": step["StepStatus"]}
        emit(STEP, where | told | {"previousStepStatus": "Executing"}, account=account, region=region)
    changed = {"previousPipelineExecutionStatus": before, "currentPipelineExecutionStatus": status}
    emit(EXECUTION, where | changed, account=account, region=region)


def all_steps(**failed: str) -> list[dict[str, Any]]:
    """Return every step as ListPipelineExecutionSteps does, up to one that failed for a reason."""
    told = []
    for name in STEP_NAMES:
        told.append({"StepName": name, "StepStatus": "Failed" if name in failed else "Succeeded"})
        if name in failed:
            told[-1]["FailureReason"] = failed[name]
            break
    return told


class InEarnest:
    """Runs executions on this machine, from the definition and the parameters that moto holds.

    Buckets are mirrored to `home`, where jobs read and write files; what they have written goes back before a version
    is registered, and at the end. `images` are those of the data and of the model jobs. `refused` is what the jobs'
    roles would not have been allowed to read or write, of the steps `asked` for.
    """

    def __init__(self, client: Any, buckets: list[S3Objects], home: Path, images: Settings) -> None:
        self._client, self._images, self._home = client, images, home
        self.refused: list[str] = []
        self.asked: set[str] = set()
        self._mirrors = {objects.uri(): (objects, Mirror(objects, self._folder(objects))) for objects in buckets}
        self._known: set[Path] = set()

    def _folder(self, objects: S3Objects) -> Path:
        return self._home / "store" / objects.uri().removeprefix("s3://").strip("/")

    def run(self, arn: str) -> ExecutionResult:
        """Run an execution to its end, which SageMaker then tells."""
        told = self._client.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)
        given = self._client.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)["PipelineParameters"]
        self._pull()
        executor = Executor(
            json.loads(told["PipelineDefinition"]),
            home=self._home,
            name=arn.split("/")[1],
            images=LocalImages(self._images),
            parameters={parameter["Name"]: parameter["Value"] for parameter in given},
            listeners=[ConsoleProgress(), self._ask_for_inputs],
            register=lambda arguments, _: self._register(arn, arguments),
        )
        with mock.patch(
            "pipelines.executor.executor.new_run", lambda home: _made(home / "runs" / arn.rpartition("/")[2])
        ):
            result = executor.run()
        self._push()
        steps = [_told(arn, name, step) for name, step in result.steps.items() if step.status != "Skipped"]
        end(arn, result.status, reason=result.reason or "", steps=steps)
        return result

    def _ask_for_inputs(self, event: Any) -> None:
        """Hold what a step's jobs read and write against their role, as soon as it starts."""
        if isinstance(event, StepStarted) and event.step_type in _JOBS:
            self.refused += refusals(event.step, event.arguments, LocalStore(self._home / "store"))
            self.asked.add(event.step)

    def _register(self, arn: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do what SageMaker does for RegisterModel: the request as it is, and who asks."""
        self._push()
        made = self._client.create_model_package(**arguments, MetadataProperties={"GeneratedBy": arn})
        number = int(made["ModelPackageArn"].rpartition("/")[2])
        return {"ModelPackageArn": made["ModelPackageArn"], "ModelPackageVersion": number}

    def _pull(self) -> None:
        for objects, mirror in self._mirrors.values():
            for info in objects.list(""):
                self._known.add(mirror.fetch(info.key))

    def _push(self) -> None:
        for objects, mirror in self._mirrors.values():
            for key, path in walk_files(mirror.folder):
                if path not in self._known:
                    objects.upload(path, key)
                    self._known.add(path)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _told(arn: str, name: str, step: Any) -> dict[str, Any]:
    """Return a step as ListPipelineExecutionSteps does; one that failed without its job, which moto does not know."""
    told: dict[str, Any] = {"StepName": name, "StepStatus": step.status, "EndTime": utcnow()}
    if step.status == "Failed":
        return told | {"FailureReason": step.reason}
    for kind, field in _JOBS.items():
        job = step.properties.get({"Tuning": "HyperParameterTuningJobName"}.get(kind, f"{kind}JobName"))
        if job:
            prefix = arn.partition(":pipeline/")[0]
            told["Metadata"] = {field: {"Arn": f"{prefix}:{_KINDS[kind]}/{job}"}}
    return told
