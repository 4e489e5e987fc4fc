"""Training jobs, alone or as trials of a tuning: channels and hyperparameters in, a model archive and metrics out."""

import contextlib
import gzip
import re
import shutil
import socket
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pipelines.executor.cache import components_of
from pipelines.executor.errors import DefinitionError
from pipelines.executor.files import output_files, replacing
from pipelines.executor.job import Job, host_path
from pipelines.executor.processing import host_names, longest_run, mount_of
from pipelines.executor.results import Outcome, StoredOutput
from pipelines.executor.runner import Runner, gather

_CONFIG = "/opt/ml/input/config"
_MODEL = "/opt/ml/model"
_DATA = "/opt/ml/input/data"
_OUTPUT = "/opt/ml/output"
CHECKPOINTS = "/opt/ml/checkpoints"
# Weights hardly compress: the fastest level keeps the step's end short.
_LEVEL = 1


class Training:
    """One evaluated CreateTrainingJob request, or TrainingJobDefinition of a tuning, ready to run on `cores`."""

    def __init__(
        self,
        runner: Runner,
        job_name: str,
        arguments: Mapping[str, Any],
        hyperparameters: Mapping[str, str],
        cores: int,
    ) -> None:
        self._runner = runner
        self._arguments = arguments
        self._hyperparameters = dict(hyperparameters)
        self._output_uri = f"{arguments['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job_name}/output"
        algorithm = arguments["AlgorithmSpecification"]
        image = runner.machine.image(runner.step, algorithm["TrainingImage"], ())
        channels = {item["ChannelName"]: item for item in arguments.get("InputDataConfig") or ()}
        hosts = _addresses(host_names(arguments.get("ResourceConfig") or {}))
        metrics = metric_definitions(arguments)
        self._job = Job(
            name=job_name,
            image=image,
            command=(*image.entrypoint, "train"),
            environment=arguments.get("Environment") or {},
            inputs=tuple(
                mount_of(name, item["DataSource"]["S3DataSource"], f"{_DATA}/{name}") for name, item in channels.items()
            ),
            folders=(_MODEL, f"{_OUTPUT}/data", _DATA),
            config={
                f"{_CONFIG}/hyperparameters.json": self._hyperparameters,
                f"{_CONFIG}/inputdataconfig.json": {name: _channel(item) for name, item in channels.items()},
            },
            message_file=f"{_OUTPUT}/failure",
            hosts=hosts,
            hosts_file=f"{_CONFIG}/resourceconfig.json",
            metrics=metrics,
            max_seconds=longest_run(arguments),
            # Of the variables of SageMaker's training images those of places and CPUs; a program must do without them.
            contract={
                "TRAINING_JOB_NAME": job_name,
                "SM_INPUT_CONFIG_DIR": _CONFIG,
                "SM_MODEL_DIR": _MODEL,
                "SM_OUTPUT_DIR": _OUTPUT,
                "SM_NUM_CPUS": str(max(1, cores // len(hosts))),
                **{f"SM_CHANNEL_{name.upper()}": f"{_DATA}/{name}" for name in channels},
            },
            kept=CHECKPOINTS if arguments.get("CheckpointConfig") else None,
        )
        self.components = components_of(
            self._job,
            runner.machine.store,
            step_type="Training",
            outputs={},
            hyperparameters=self._hyperparameters,
            settings={f"metric {name}": regex.pattern for name, regex in metrics.items()},
        )

    def run(self, root: Path) -> Outcome:
        job, machine = self._job, self._runner.machine
        machine.claims.take(self._runner.step, job.name, self._output_uri)
        printed = self._runner.run(job, root)
        for host in range(len(job.hosts) if job.kept else 0):  # nobody will go on from there any more
            shutil.rmtree(host_path(CHECKPOINTS, replace(job, host=host).root(root)), ignore_errors=True)
        outputs: dict[str, StoredOutput] = {}
        if not printed.stopped:
            packed = host_path(_OUTPUT, root) / "model.tar.gz"
            pack(gather(job, root, _MODEL), packed)
            uri = f"{self._output_uri}/{packed.name}"
            machine.store.put_file(packed, uri)
            outputs["model"] = StoredOutput(uri, machine.store.digest(uri))
        properties = {
            **self._arguments,
            "HyperParameters": self._hyperparameters,
            "TrainingJobName": job.name,
            "ModelArtifacts": {"S3ModelArtifacts": f"{self._output_uri}/model.tar.gz"},
            "FinalMetricDataList": [{"MetricName": name, "Value": value} for name, value in printed.metrics.items()],
        }
        return Outcome(properties, outputs, asdict(printed))


def _channel(item: Mapping[str, Any]) -> dict[str, str]:
    """Return what the platform tells of a channel, which AWS's own training toolkit wants to read."""
    source = item["DataSource"]["S3DataSource"]
    return {
        "TrainingInputMode": "File",
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": "None",
    }


def metric_definitions(arguments: Mapping[str, Any]) -> dict[str, re.Pattern[str]]:
    """Compile the MetricDefinitions of a training request; raises DefinitionError for a pattern that is none."""
    definitions = {}
    for item in arguments["AlgorithmSpecification"].get("MetricDefinitions") or ():
        try:
            definitions[item["Name"]] = re.compile(item["Regex"])
        except re.error as error:
            raise DefinitionError(
                f"the metric {item['Name']} has the regex {item['Regex']!r}, which is not one: {error}"
            ) from None
    return definitions


def _addresses(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of hosts that talk to each other: several share one address here, and have a port each."""
    if len(hosts) == 1:
        return hosts
    # Held open together, so that all of them are different.
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in hosts]
        return tuple(sorted(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets))


def pack(folder: Path, archive: Path) -> None:
    """Write the files of a folder to a tar.gz: the same bytes for the same files, nothing of this machine."""
    with (
        replacing(archive) as beside,
        beside.open("wb") as raw,
        gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for key, path in output_files(folder):
            member = tarfile.TarInfo(key)
            member.size = path.stat().st_size
            member.mode = 0o644
            with path.open("rb") as stream:
                tar.addfile(member, stream)
