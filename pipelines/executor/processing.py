"""Processing steps: objects in, a command, objects out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.executor.cache import Components, Record
from pipelines.executor.errors import DefinitionError, StepFailed
from pipelines.executor.hosts import Cluster, cluster_of, gather, run_on_hosts
from pipelines.executor.job import Job, Mount
from pipelines.executor.results import StoredOutput
from pipelines.executor.runner import Machine
from pipelines.executor.work import Outcome, as_recorded

SHARDED = "ShardedByS3Key"
_CONFIG = "/opt/ml/config"


class Processing:
    """One evaluated CreateProcessingJob request, ready to run."""

    step_type = "Processing"

    def __init__(
        self, step: str, job_name: str, arguments: Mapping[str, Any], machine: Machine, execution: str
    ) -> None:
        self._step = step
        self._arguments = arguments
        self._machine = machine
        self._execution = execution
        application = arguments["AppSpecification"]
        entrypoint = tuple(application.get("ContainerEntrypoint") or ())
        words = tuple(application.get("ContainerArguments") or ())
        image = machine.image(step, application["ImageUri"], entrypoint + words)
        self._outputs: list[Mapping[str, Any]] = (arguments.get("ProcessingOutputConfig") or {}).get("Outputs") or []
        cluster = (arguments.get("ProcessingResources") or {}).get("ClusterConfig") or {}
        self._cluster = cluster_of(cluster, f"{_CONFIG}/resourceconfig.json")
        self._job = Job(
            name=job_name,
            image=image,
            command=(entrypoint or image.entrypoint) + words,
            environment=arguments.get("Environment") or {},
            inputs=tuple(_mount(item) for item in arguments.get("ProcessingInputs") or ()),
            folders=tuple(output["S3Output"]["LocalPath"] for output in self._outputs),
            config={
                f"{_CONFIG}/processingjobconfig.json": {**arguments, "ProcessingJobName": job_name},
            },
            message_file="/opt/ml/output/message",
            max_seconds=longest_run(arguments),
        )
        self.components = components_of(
            self._job,
            machine,
            step_type=self.step_type,
            outputs={output["OutputName"]: output["S3Output"]["LocalPath"] for output in self._outputs},
            settings=hosts_setting(self._cluster),
        )

    def run(self, root: Path) -> Outcome:
        for output in self._outputs:
            self._machine.claims.take(self._step, output["OutputName"], output["S3Output"]["S3Uri"])
        try:
            run_on_hosts(self._machine, self._cluster, self._job, root, step=self._step)
        except StepFailed as failure:
            for output in self._outputs:
                if output["S3Output"].get("S3UploadMode") == "Continuous" and self._is_whole(output["S3Output"], root):
                    published = self._publish(output["S3Output"], root)
                    if published.keys is None:  # not a prefix that others write to
                        failure.uris[output["OutputName"]] = published.uri
            raise
        outputs = {}
        for output in self._outputs:
            outputs[output["OutputName"]] = self._publish(output["S3Output"], root)
        return Outcome(self._properties(), outputs)

    def adopt(self, record: Record) -> Outcome:
        return as_recorded(record)

    def _publish(self, output: Mapping[str, Any], root: Path) -> StoredOutput:
        uri, store = output["S3Uri"], self._machine.store
        # A prefix that other executions write to as well is not this one's to replace.
        shared = self._execution not in uri
        keys = store.commit(gather(self._cluster, root, output["LocalPath"]), uri, give_up=True, keep_others=shared)
        return StoredOutput(uri, store.digest_or_empty(uri, keys if shared else None), keys if shared else None)

    def _is_whole(self, output: Mapping[str, Any], root: Path) -> bool:
        """Tell whether an output can be stored: why its job failed matters more than that it cannot."""
        try:
            gather(self._cluster, root, output["LocalPath"])
        except DefinitionError:
            return False
        return True

    def _properties(self) -> dict[str, Any]:
        inputs = self._arguments.get("ProcessingInputs") or []
        return {
            **self._arguments,
            "ProcessingJobName": self._job.name,
            "ProcessingJobArn": f"arn:aws:sagemaker:local:000000000000:processing-job/{self._job.name}",
            "ProcessingJobStatus": "Completed",
            "ExitMessage": "",
            "ProcessingInputs": {item["InputName"]: item for item in inputs},
            "ProcessingOutputConfig": {"Outputs": {output["OutputName"]: output for output in self._outputs}},
        }


def _mount(item: Mapping[str, Any]) -> Mount:
    source = item["S3Input"]
    listed = source.get("S3DataType") == "ManifestFile"
    sharded = source.get("S3DataDistributionType") == SHARDED
    return Mount(item["InputName"], source["S3Uri"], source["LocalPath"], listed=listed, sharded=sharded)


def hosts_setting(cluster: Cluster) -> dict[str, str]:
    """Return the number of hosts for the cache key: not every program's result is independent of it."""
    return {"InstanceCount": str(cluster.count)} if cluster.count > 1 else {}


def input_digest(mount: Mount, machine: Machine) -> str:
    return machine.store.digest(mount.uri, listed=mount.listed)


def longest_run(arguments: Mapping[str, Any]) -> float | None:
    seconds = (arguments.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds")
    return None if seconds is None else float(seconds)


def components_of(
    job: Job,
    machine: Machine,
    *,
    step_type: str,
    outputs: Mapping[str, str],
    hyperparameters: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Components:
    """Return what a job's result depends on; raises DefinitionError if an input does not exist."""
    return Components(
        step_type=step_type,
        image=job.image.digest,
        command=job.command,
        environment=job.environment,
        inputs={mount.name: (input_digest(mount, machine), mount.local_path) for mount in job.inputs},
        outputs=outputs,
        hyperparameters=hyperparameters or {},
        settings=settings or {},
    )
