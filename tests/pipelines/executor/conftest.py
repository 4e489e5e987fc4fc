"""A small pipeline kit: foreign definitions written by hand, run with real processes in a home of their own."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipelines.executor.executor import Executor
from pipelines.executor.expressions import parse_path, walk
from pipelines.executor.job import Image
from pipelines.executor.store import LocalStore

IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/foreign:1"
OUT = "/opt/ml/processing/output"
TRAINS = """
import json, os
h = json.load(open('../input/config/hyperparameters.json'))
exec(os.environ['CODE'])
"""


def here(_uri, _command):
    return Image(("python3",), "sha256:one")


def properties(result, step, path=""):
    """Return the properties of a step, or what lies at `path` in them (`ModelArtifacts.S3ModelArtifacts`)."""
    found = result.steps[step].properties
    return walk(found, parse_path(path), path) if path else found


@dataclass
class Kit:
    home: Path
    events: list = field(default_factory=list)
    registered: dict = field(default_factory=dict)

    @property
    def store(self):
        return LocalStore(self.home / "store")

    def executor(self, *steps, declared=(), **options):
        self.events.clear()
        definition = {"Version": "2020-12-01", "Parameters": list(declared), "Steps": list(steps)}
        usual = {"images": here, "name": "foreign", "listeners": [self.events.append], "register": self.take}
        options = {**usual, **options}
        return Executor(json.loads(json.dumps(definition)), home=self.home, **options)

    def run(self, *steps, **options):
        return self.executor(*steps, **options).run()

    def take(self, request, _model):
        """Register as SageMaker does: the same ClientToken gives the same version again."""
        token = request["ClientToken"]
        version = self.registered.setdefault(token, len(self.registered) + 1)
        group = request["ModelPackageGroupName"]
        return {"ModelPackageArn": f"arn:aws:model-package/{group}/{version}", "ModelPackageVersion": version}

    def told(self, kind):
        return [event for event in self.events if type(event).__name__ == kind]

    def reasons(self):
        return {event.step: event.reason for event in self.told("StepStarted")}

    def log(self, result, step):
        return (result.run_dir / "steps" / step / "log.txt").read_text()

    # -- the steps of a definition ---------------------------------------------------------------------------------

    @staticmethod
    def get(path):
        return {"Get": path}

    @staticmethod
    def join(*values, on="/"):
        return {"Std:Join": {"On": on, "Values": list(values)}}

    @staticmethod
    def output_of(step, name="out"):
        return {"Get": f"Steps.{step}.ProcessingOutputConfig.Outputs['{name}'].S3Output.S3Uri"}

    @staticmethod
    def read(step, path, file="Report"):
        source = {"Get": f"Steps.{step}.PropertyFiles.{file}"}
        return {"Std:JsonGet": {"PropertyFile": source, "Path": path}}

    def processing(self, name, code, *, inputs=None, outputs=("out",), arguments=(), cache=False, env=None, **more):
        """A step that runs Python `code`; it finds its inputs and outputs by their container paths in argv."""
        step = {
            "Name": name,
            "Type": "Processing",
            "Arguments": {
                "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.t3.medium", "InstanceCount": 1}},
                "AppSpecification": {
                    "ImageUri": IMAGE,
                    "ContainerEntrypoint": ["python3", "-c", code],
                    "ContainerArguments": list(arguments),
                },
                "ProcessingInputs": [
                    {
                        "InputName": key,
                        "S3Input": {
                            "S3Uri": uri,
                            "LocalPath": f"/opt/ml/processing/input/{key}",
                            "S3DataType": "S3Prefix",
                            "S3InputMode": "File",
                        },
                    }
                    for key, uri in (inputs or {}).items()
                ],
                "ProcessingOutputConfig": {
                    "Outputs": [
                        {
                            "OutputName": key,
                            "S3Output": {
                                "S3Uri": self.join(
                                    "s3:/", "b", "runs", self.get("Execution.PipelineExecutionId"), name, key
                                ),
                                "LocalPath": f"{OUT}/{key}",
                                "S3UploadMode": "EndOfJob",
                            },
                        }
                        for key in outputs
                    ]
                },
                "Environment": env or {},
            },
            **more,
        }
        return {**step, **({"CacheConfig": {"Enabled": True, "ExpireAfter": "P30D"}} if cache else {})}

    def writes(self, name, text="hello", **options):
        """A step that writes `text` to out/file.txt."""
        code = "import sys; open(sys.argv[1] + '/file.txt', 'w').write(sys.argv[2])"
        return self.processing(name, code, arguments=[f"{OUT}/out", text], **options)

    @staticmethod
    def training_request(code, *, channels=None, metrics=(), env=None, out="s3://b/models"):
        return {
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": key, "Regex": f"{key}=([-0-9.a-z]+)"} for key in metrics],
            },
            "InputDataConfig": [
                {"ChannelName": key, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}
                for key, uri in (channels or {}).items()
            ],
            "OutputDataConfig": {"S3OutputPath": out},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
            "Environment": {"CODE": code, **(env or {})},
        }

    def training(self, name, code, *, hyperparameters=None, cache=False, **options):
        """A training step whose image runs the Python program in $CODE."""
        request = self.training_request(code, **options)
        step = {"Name": name, "Type": "Training", "Arguments": {**request, "HyperParameters": hyperparameters or {}}}
        return {**step, **({"CacheConfig": {"Enabled": True}} if cache else {})}

    def tuning(
        self,
        name,
        code,
        *,
        ranges,
        jobs=4,
        parallel=2,
        cache=False,
        seed=7,
        **options,
    ):
        request = self.training_request(code, metrics=("score",), **options)
        config = {
            "Strategy": "Bayesian",
            "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": parallel},
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ParameterRanges": ranges,
            "RandomSeed": seed,
        }
        step = {
            "Name": name,
            "Type": "Tuning",
            "Arguments": {"HyperParameterTuningJobConfig": config, "TrainingJobDefinition": request},
        }
        return {**step, **({"CacheConfig": {"Enabled": True}} if cache else {})}

    def listed(self, name, code, points, **options):
        """A tuning that tries these points and no others, in this order, and how to run it so."""
        values = {key: sorted({int(point[key]) for point in points}) for key in points[0]}
        bounds = [{"Name": key, "MinValue": str(v[0]), "MaxValue": str(v[-1])} for key, v in values.items()]
        step = self.tuning(name, code, ranges={"IntegerParameterRanges": bounds}, jobs=len(points), **options)
        return step, {"first_trials": {name: points}, "images": trains}

    @staticmethod
    def condition(name, *conditions, then=(), otherwise=()):
        arguments = {"Conditions": list(conditions), "IfSteps": list(then), "ElseSteps": list(otherwise)}
        return {"Name": name, "Type": "Condition", "Arguments": arguments}

    @staticmethod
    def compare(kind, left, right):
        return {"Type": kind, "LeftValue": left, "RightValue": right}

    @staticmethod
    def fail(name, message):
        return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}}

    @staticmethod
    def register(name, model, group="foreign-models"):
        containers = [{"Image": IMAGE, "ModelDataUrl": model}]
        arguments = {"ModelPackageGroupName": group, "InferenceSpecification": {"Containers": containers}}
        return {"Name": name, "Type": "RegisterModel", "Arguments": arguments}


def trains(_uri, _command):
    """An image whose program is in $CODE and finds its hyperparameters in `h`; it is started with `train`."""
    return Image(("python3", "-c", TRAINS), "sha256:trains")


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path / "home")


@pytest.fixture
def trainer():
    return trains


@pytest.fixture
def python():
    return sys.executable
