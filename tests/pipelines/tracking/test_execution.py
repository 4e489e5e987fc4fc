"""The real executor, tracker and registry together, over one home."""

import sys

from pipelines.local import Executor, Image, LocalStore, load_runs
from pipelines.registry import MlflowRegistry, register_callback
from pipelines.tracking import MlflowTracker

MAKE = """
import io, json, pathlib, sys, tarfile
out = pathlib.Path(sys.argv[1])
(out / "evaluation.json").write_text(json.dumps({"fpr": 0.004}))
with tarfile.open(out / "model.tar.gz", "w:gz") as archive:
    member = tarfile.TarInfo("model.tflite")
    member.size = 3
    archive.addfile(member, io.BytesIO(b"abc"))
print("made")
"""
OUTPUT = {"OutputName": "bundle", "S3Output": {"LocalPath": "/opt/ml/processing/out", "S3Uri": "s3://bucket/bundle"}}
DEFINITION = {
    "Version": "2020-12-01",
    "Parameters": [{"Name": "DatasetUri", "Type": "String", "DefaultValue": "s3://bucket/datasets/0123456789abcdef"}],
    "Steps": [
        {
            "Name": "Convert",
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
            "DependsOn": ["Convert"],
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
            register=register_callback(registry),
        )
        results.append(executor.run())
        tracker.close()
        assert tracker.problem is None
    assert [result.status for result in results] == ["Succeeded", "Succeeded"]
    runs = played.runs()
    first, second = (runs[result.execution_id] for result in results)
    assert first.data.metrics["evaluation/fpr"] == second.data.metrics["evaluation/fpr"] == 0.004
    assert runs["Convert"].data.tags["tilegate.reused_from"] == results[0].execution_id
    versions = registry.versions("screenshots")
    assert [version.execution_id for version in versions] == [results[0].execution_id]
    registered = results[1].properties("RegisterModel")
    assert registered["ModelPackageVersion"] == versions[0].version
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
