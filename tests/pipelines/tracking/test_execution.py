"""The real executor, tracker and registry together, over one home."""

import sys

from pipelines.executor.executor import Executor
from pipelines.executor.job import Image
from pipelines.executor.runs import load_runs
from pipelines.executor.store import LocalStore
from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.tracking.listener import MlflowTracker

MAKE = """
import io, json, pathlib, sys, tarfile
out = pathlib.Path(sys.argv[1])
(out / "evaluation.json").write_text(json.dumps({"gate": {"fpr": {"value": 0.004}}}))
with tarfile.open(out / "model.tar.gz", "w:gz") as archive:
    member = tarfile.TarInfo("model.tflite")
    member.size = 3
    archive.addfile(member, io.BytesIO(b"abc"))
print("made")
"""
OUTPUT = {
    "OutputName": "evaluation",
    "S3Output": {"LocalPath": "/opt/ml/processing/out", "S3Uri": "s3://bucket/bundle"},
}
DEFINITION = {
    "Version": "2020-12-01",
    "Parameters": [{"Name": "DatasetUri", "Type": "String", "DefaultValue": "s3://bucket/datasets/0123456789abcdef"}],
    "Steps": [
        {
            "Name": "EvaluateModel",
            "Type": "Processing",
            "CacheConfig": {"Enabled": True, "ExpireAfter": "P30D"},
            "Arguments": {
                "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large"}},
                "AppSpecification": {
                    "ImageUri": "image",
                    "ContainerEntrypoint": ["python3", "-c", MAKE, "/opt/ml/processing/out"],
                },
                "ProcessingOutputConfig": {"Outputs": [OUTPUT]},
            },
        },
        {
            "Name": "RegisterModel",
            "Type": "RegisterModel",
            "DependsOn": ["EvaluateModel"],
            "Arguments": {
                "ModelPackageGroupName": "screenshots",
                "CustomerMetadataProperties": {"execution": {"Get": "Execution.PipelineExecutionId"}},
                "InferenceSpecification": {"Containers": [{"ModelDataUrl": "s3://bucket/bundle/model.tar.gz"}]},
            },
        },
    ],
}


def test_two_runs_are_tracked_the_second_reusing_the_first(played):
    home, registry = played.home, None
    results = []
    for _ in range(2):
        store = LocalStore(home / "store")
        tracker = MlflowTracker(
            home,
            resolve=store.path,
            is_executing=lambda execution: any(r.id == execution and r.status == "Executing" for r in load_runs(home)),
        )
        registry = MlflowRegistry(home, run_for=tracker.registration_run)
        executor = Executor(
            DEFINITION,
            home=home,
            name="screenshots",
            images=lambda *_: Image((sys.executable,), "digest"),
            listeners=[tracker],
            register=registry.register_step,
        )
        results.append(executor.run())
        tracker.close()
        assert tracker.problem is None
    assert [result.status for result in results] == ["Succeeded", "Succeeded"]
    runs = played.runs()
    first, second = (runs[result.execution_id] for result in results)
    assert first.data.metrics["test/fpr"] == second.data.metrics["test/fpr"] == 0.004
    assert "test/evaluation.json" in played.files(first) & played.files(second)
    assert runs["EvaluateModel"].data.tags["tilegate.reused_from"] == results[0].execution_id
    versions = registry.versions("screenshots")
    assert [version.execution_id for version in versions] == [results[0].execution_id]
    registered = results[1].steps["RegisterModel"].properties
    assert registered["ModelPackageVersion"] == versions[0].version
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


TRAIN = """
import json, os, time
a = int(json.load(open("../input/config/hyperparameters.json"))["a"])
for epoch in range(3):
    print(f"score={a + epoch / 10}", flush=True)
    if a < 5 and epoch == 1:
        time.sleep(600)
open(os.environ["SM_MODEL_DIR"] + "/model", "w").write("weights")
"""


def tuning(values):
    """A search of five trials and more, of which those below 5 never end by themselves."""
    config = {
        "Strategy": "Bayesian",
        "TrainingJobEarlyStoppingType": "Auto",
        "ResourceLimits": {"MaxNumberOfTrainingJobs": len(values), "MaxParallelTrainingJobs": 2},
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
        "ParameterRanges": {"IntegerParameterRanges": [{"Name": "a", "MinValue": "1", "MaxValue": "9"}]},
        "RandomSeed": 7,
    }
    training = {
        "AlgorithmSpecification": {
            "TrainingImage": "image",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "score", "Regex": "score=([0-9.]+)"}],
        },
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
    }
    arguments = {"HyperParameterTuningJobConfig": config, "TrainingJobDefinition": training}
    step = {"Name": "Tune", "Type": "Tuning", "CacheConfig": {"Enabled": True}, "Arguments": arguments}
    return {"Version": "2020-12-01", "Parameters": [], "Steps": [step]}


def test_every_trial_has_its_curve_be_it_complete_stopped_or_from_an_earlier_night(played):
    home = played.home
    for values in (["9", "8", "7", "6", "1"], ["9", "8", "7", "6", "1", "5"]):
        tracker = MlflowTracker(home, resolve=LocalStore(home / "store").path)
        images = lambda *_: Image((sys.executable, "-c", TRAIN), "digest")  # noqa: E731
        first, listeners = {"Tune": [{"a": value} for value in values]}, [tracker]
        executor = Executor(
            tuning(values), home=home, name="screenshots", images=images, listeners=listeners, first_trials=first
        )
        result = executor.run()
        tracker.close()
        assert (result.status, tracker.problem) == ("Succeeded", None)
    trials = {
        run.data.params["a"]: run
        for name, run in played.runs().items()
        if name.startswith("trial ") and run.data.tags["tilegate.execution_id"] == result.execution_id
    }
    curves = {
        a: [point.value for point in played.client.get_metric_history(run.info.run_id, "score")]
        for a, run in trials.items()
    }
    complete = {a: [float(a), float(a) + 0.1, float(a) + 0.2] for a in "98765"}
    assert curves.pop("1") == [1.0, 1.1]
    assert curves.pop("5") == [5.0, 5.1]  # below the others' median as well, although it would have ended
    assert curves == {a: values for a, values in complete.items() if a != "5"}
    assert {a for a, run in trials.items() if "tilegate.reused_from" in run.data.tags} == set("98761")
    assert {a: run.info.status for a, run in trials.items() if a in "15"} == {"1": "KILLED", "5": "KILLED"}
    assert "tilegate.stopped_early" in trials["1"].data.tags
