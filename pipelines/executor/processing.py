"""Processing steps: objects in, a command, objects out."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.executor.cache import components_of
from pipelines.executor.errors import DefinitionError, StepFailed
from pipelines.executor.job import Job, Mount
from pipelines.executor.results import Outcome, StoredOutput
from pipelines.executor.runner import Machine, Runner, gather

_CONFIG = "/opt/ml/config"


class Processing:
    """One evaluated CreateProcessingJob request, ready to run."""

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
        outputs = (arguments.get("ProcessingOutputConfig") or {}).get("Outputs") or ()
        self._outputs: dict[str, Mapping[str, Any]] = {item["OutputName"]: item["S3Output"] for item in outputs}
        inputs = {item["InputName"]: item["S3Input"] for item in arguments.get("ProcessingInputs") or ()}
        cluster = (arguments.get("ProcessingResources") or {}).get("ClusterConfig") or {}
        places = {name: output["LocalPath"] for name, output in self._outputs.items()}
        self._job = Job(
            name=job_name,
            image=image,
            command=(entrypoint or image.entrypoint) + words,
            environment=arguments.get("Environment") or {},
            inputs=tuple(mount_of(name, source, source["LocalPath"]) for name, source in inputs.items()),
            folders=tuple(places.values()),
            config={f"{_CONFIG}/processingjobconfig.json": {**arguments, "ProcessingJobName": job_name}},
            message_file="/opt/ml/output/message",
            hosts=host_names(cluster),
            hosts_file=f"{_CONFIG}/resourceconfig.json",
            max_seconds=longest_run(arguments),
        )
        self.components = components_of(
            self._job, machine.store, step_type="Processing", outputs=places, hyperparameters={}, settings={}
        )

    def run(self, root: Path) -> Outcome:
        for name, output in self._outputs.items():
            self._machine.claims.take(self._step, name, output["S3Uri"])
        try:
            Runner(self._machine, self._step).run(self._job, root)
        except StepFailed as failure:
            for name, output in self._outputs.items():
                # Why the job failed matters more than that an output cannot be stored.
                with contextlib.suppress(DefinitionError):
                    if output.get("S3UploadMode") == "Continuous":
                        published = self._publish(output, root)
                        if published.keys is None:  # not a prefix that others write to
                            failure.uris[name] = published.uri
            raise
        outputs = {name: self._publish(output, root) for name, output in self._outputs.items()}
        properties = {
            **self._arguments,
            "ProcessingJobName": self._job.name,
            "ProcessingOutputConfig": {"Outputs": {name: {"S3Output": out} for name, out in self._outputs.items()}},
        }
        return Outcome(properties, outputs)

    def _publish(self, output: Mapping[str, Any], root: Path) -> StoredOutput:
        uri, store = output["S3Uri"], self._machine.store
        # A prefix that other executions write to as well is not this one's to replace.
        shared = self._execution not in uri
        keys = store.commit(gather(self._job, root, output["LocalPath"]), uri, keep_others=shared)
        return StoredOutput(uri, store.digest_or_empty(uri, keys if shared else None), keys if shared else None)


def mount_of(name: str, source: Mapping[str, Any], place: str) -> Mount:
    """Return what a job reads of S3: `source` is an S3Input or an S3DataSource."""
    listed = source.get("S3DataType") == "ManifestFile"
    sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
    return Mount(name, source["S3Uri"], place, listed, sharded)


def host_names(resources: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the hosts that a request wants, as SageMaker gives them."""
    return tuple(f"algo-{number + 1}" for number in range(int(resources.get("InstanceCount", 1))))


def longest_run(arguments: Mapping[str, Any]) -> float | None:
    seconds = (arguments.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds")
    return None if seconds is None else float(seconds)
