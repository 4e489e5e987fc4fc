"""Training jobs, alone or as trials of a tuning: channels and hyperparameters in, a model archive and metrics out."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.executor import archive
from pipelines.executor.cache import Record
from pipelines.executor.errors import StepFailed
from pipelines.executor.files import walk_files
from pipelines.executor.hosts import cluster_of, gather, run_on_hosts
from pipelines.executor.job import CODE_DIR, CONFIG_DIR, Job, Mount
from pipelines.executor.metrics import MetricDefinition
from pipelines.executor.prefix import host_path
from pipelines.executor.processing import SHARDED, components_of, hosts_setting, longest_run
from pipelines.executor.results import StoredOutput
from pipelines.executor.runner import Enough, Machine, Printed
from pipelines.executor.work import Outcome, as_recorded

MODEL_ARCHIVE = "model.tar.gz"
_MODEL_DIR = "/opt/ml/model"
_DATA_DIR = "/opt/ml/input/data"
_OUTPUT_DIR = "/opt/ml/output"
_CHECKPOINTS = "/opt/ml/checkpoints"
_PROGRAM = "sagemaker_program"
_SUBMIT_DIRECTORY = "sagemaker_submit_directory"
_SUBMIT_DIR = "/opt/ml/input/submit"
# The channel of sagemaker.train.ModelTrainer(source_code=…): scripts that name /opt/ml in their text.
_DRIVERS = "sm_drivers"


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What CreateTrainingJob and the TrainingJobDefinition of a tuning have in common, evaluated.

    `enough` may stop the job early.
    """

    step: str
    job_name: str
    arguments: Mapping[str, Any]
    hyperparameters: Mapping[str, str]
    metrics: tuple[MetricDefinition, ...]
    cores: int
    trial: str | None = None
    enough: Enough | None = None


class Training:
    """One training job, ready to run."""

    step_type = "Training"

    def __init__(self, request: TrainingRequest, machine: Machine) -> None:
        arguments = request.arguments
        self._request = request
        self._machine = machine
        self.output_uri = f"{output_path(arguments)}/{request.job_name}/output"
        resources = arguments.get("ResourceConfig") or {}
        self._cluster = cluster_of(resources, f"{CONFIG_DIR}/resourceconfig.json", addressed=True)
        cores = max(1, request.cores // self._cluster.count)
        self._job = _job(replace(request, cores=cores), machine)
        user = {name: value for name, value in request.hyperparameters.items() if name != _SUBMIT_DIRECTORY}
        self.components = components_of(
            self._job,
            machine,
            step_type=self.step_type,
            outputs={},
            hyperparameters=user,
            settings={
                **hosts_setting(self._cluster),
                **{f"metric {metric.name}": metric.regex.pattern for metric in request.metrics},
            },
        )

    def run(self, root: Path) -> Outcome:
        request, store = self._request, self._machine.store
        self._machine.claims.take(request.step, request.job_name, self.output_uri)
        job, cluster = self._job, self._cluster
        printed = run_on_hosts(
            self._machine, cluster, job, root, step=request.step, trial=request.trial, enough=request.enough
        )
        for place in cluster.roots(root):
            for folder in job.kept:  # nobody will go on from there any more
                shutil.rmtree(host_path(folder, place), ignore_errors=True)
        outputs = dict[str, StoredOutput]()
        if printed.cut:
            return Outcome(self._properties(printed), outputs, _details(printed))
        for name, folder in (("model", _MODEL_DIR), ("output", f"{_OUTPUT_DIR}/data")):
            packed, whole = host_path(_OUTPUT_DIR, root) / f"{name}.tar.gz", gather(cluster, root, folder)
            if name == "model" or any(True for _ in walk_files(whole)):
                archive.pack(whole, packed)
                uri = f"{self.output_uri}/{packed.name}"
                store.put_file(packed, uri, give_up=True)
                outputs[name] = StoredOutput(uri, store.digest(uri))
        return Outcome(self._properties(printed), outputs, _details(printed))

    def adopt(self, record: Record) -> Outcome:
        return as_recorded(record)

    def _properties(self, printed: Printed) -> dict[str, Any]:
        request, status = self._request, "Stopped" if printed.cut else "Completed"
        return {
            **request.arguments,
            "HyperParameters": dict(request.hyperparameters),
            "TrainingJobName": request.job_name,
            "TrainingJobArn": f"arn:aws:sagemaker:local:000000000000:training-job/{request.job_name}",
            "TrainingJobStatus": status,
            "SecondaryStatus": status,
            "ModelArtifacts": {"S3ModelArtifacts": f"{self.output_uri}/{MODEL_ARCHIVE}"},
            "FinalMetricDataList": [{"MetricName": name, "Value": value} for name, value in printed.metrics.items()],
        }


def _details(printed: Printed) -> dict[str, Any]:
    return {"metrics": printed.metrics, "curves": printed.curves, "stopped": printed.cut}


def output_path(arguments: Mapping[str, Any]) -> str:
    return str(arguments["OutputDataConfig"]["S3OutputPath"]).rstrip("/")


def _job(request: TrainingRequest, machine: Machine) -> Job:
    arguments, hyperparameters = request.arguments, dict(request.hyperparameters)
    for name, value in hyperparameters.items():
        if not isinstance(value, str):
            raise StepFailed(request.step, f"the hyperparameter {name} is {value!r}: SageMaker takes text only here")
    algorithm = arguments["AlgorithmSpecification"]
    explicit = tuple(algorithm.get("ContainerEntrypoint") or ()) + tuple(algorithm.get("ContainerArguments") or ())
    image = machine.image(request.step, algorithm["TrainingImage"], explicit)
    user = {name: value for name, value in hyperparameters.items() if not name.startswith("sagemaker_")}
    mounts = [_mount(channel) for channel in arguments.get("InputDataConfig") or ()]
    if algorithm.get("ContainerEntrypoint"):
        command = explicit
    elif _PROGRAM in hyperparameters:
        command = ("python3", f"{CODE_DIR}/{_plain(hyperparameters[_PROGRAM])}", *_options(user))
        if _SUBMIT_DIRECTORY in hyperparameters:
            source = _plain(hyperparameters[_SUBMIT_DIRECTORY])
            mounts.append(Mount(_SUBMIT_DIRECTORY, source, _SUBMIT_DIR, unpacked_to=CODE_DIR))
    else:
        command = (*image.entrypoint, *(explicit or ("train",)))
    checkpoints = arguments.get("CheckpointConfig") or {}
    return Job(
        name=request.job_name,
        image=image,
        command=command,
        environment=arguments.get("Environment") or {},
        inputs=tuple(mounts),
        folders=(_MODEL_DIR, f"{_OUTPUT_DIR}/data", _DATA_DIR),
        config=_config(arguments, hyperparameters),
        message_file=f"{_OUTPUT_DIR}/failure",
        metrics=request.metrics,
        max_seconds=longest_run(arguments),
        contract=_contract(request, user),
        kept=(str(checkpoints.get("LocalPath", _CHECKPOINTS)),) if checkpoints else (),
    )


def _mount(channel: Mapping[str, Any]) -> Mount:
    name = channel["ChannelName"]
    source = channel["DataSource"]["S3DataSource"]
    listed = source.get("S3DataType") == "ManifestFile"
    sharded = source.get("S3DataDistributionType") == SHARDED
    place = f"{_DATA_DIR}/{name}"
    return Mount(name, source["S3Uri"], place, listed=listed, sharded=sharded, rewritten=name == _DRIVERS)


def _config(arguments: Mapping[str, Any], hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    given = arguments.get("InputDataConfig") or ()
    sources = {channel["ChannelName"]: channel["DataSource"]["S3DataSource"] for channel in given}
    channels = {
        channel["ChannelName"]: {
            "TrainingInputMode": "File",
            "S3DistributionType": sources[channel["ChannelName"]].get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            **({"ContentType": channel["ContentType"]} if channel.get("ContentType") else {}),
        }
        for channel in given
    }
    return {
        f"{CONFIG_DIR}/hyperparameters.json": hyperparameters,
        f"{CONFIG_DIR}/inputdataconfig.json": channels,
    }


def _contract(request: TrainingRequest, user: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that SageMaker's training images set for the program."""
    channels = [channel["ChannelName"] for channel in request.arguments.get("InputDataConfig") or ()]
    values = {name: _decoded(value) for name, value in user.items()}
    return {
        "TRAINING_JOB_NAME": request.job_name,
        "SM_INPUT_DIR": "/opt/ml/input",
        "SM_INPUT_CONFIG_DIR": CONFIG_DIR,
        "SM_MODEL_DIR": _MODEL_DIR,
        "SM_OUTPUT_DIR": _OUTPUT_DIR,
        "SM_OUTPUT_DATA_DIR": f"{_OUTPUT_DIR}/data",
        "SM_CHANNELS": json.dumps(channels),
        **{f"SM_CHANNEL_{name.upper()}": f"{_DATA_DIR}/{name}" for name in channels},
        "SM_HPS": json.dumps(values),
        **{f"SM_HP_{name.upper().replace('-', '_')}": _plain(value) for name, value in user.items()},
        "SM_CURRENT_HOST": "algo-1",
        "SM_HOSTS": '["algo-1"]',
        "SM_NUM_CPUS": str(request.cores),
        "SM_NUM_GPUS": "0",
        "SM_USER_ARGS": json.dumps(list(_options(user))),
    }


def _options(user: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(word for name, value in user.items() for word in (f"--{name}", _plain(value)))


def _decoded(value: str) -> Any:
    """Read a hyperparameter as the training toolkit does: as JSON if it is JSON, else as the text it is."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def _plain(value: str) -> str:
    """Return a hyperparameter as a word: a JSON string without its quotes, everything else as it was written."""
    decoded = _decoded(value)
    return decoded if isinstance(decoded, str) else value
