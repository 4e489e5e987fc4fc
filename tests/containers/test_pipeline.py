"""The whole pipeline with every job in its image: no network, no rights, a read-only file system."""

import json
import re

import pytest

from pipelines.executor.store import LocalStore

pytestmark = pytest.mark.containers

JOBS = {"ValidateData", "PreprocessTiles", "IndexTiles", "TuneHyperparameters", "TrainModel", "EvaluateModel"}


def test_the_compiled_definition_runs_in_containers_to_a_model_that_waits_for_approval(finished):
    assert finished.status == "Succeeded", finished.reason
    done = {name for name, step in finished.steps.items() if step.status == "Succeeded" and not step.reused}
    assert done >= {*JOBS, "ConvertToTFLite", "RegisterModel"}


def test_every_job_ran_in_a_container_without_rights(finished):
    """What a job wrote belongs to the user of its container, who is not the one that runs the executor."""
    store = LocalStore(finished.run_dir.parents[1] / "store")
    for name in JOBS - {"TuneHyperparameters", "TrainModel"}:
        places = [store.path(output.uri) for output in finished.steps[name].outputs.values()]
        owners = {path.stat().st_uid for place in places for path in place.rglob("*") if path.is_file()}
        assert 1000 in owners, name


def test_jobs_with_tensorflow_load_the_cuda_compatibility_of_their_base(finished):
    """Whether the definition names their program (processing) or the image does (training)."""
    logs = {name: (finished.run_dir / "steps" / name / "log.txt").read_text() for name in ("IndexTiles", "TrainModel")}
    assert all("Adding CUDA compat to LD_LIBRARY_PATH" in log for log in logs.values()), logs


def test_two_hosts_cut_the_tiles_each_in_its_own_container(finished):
    logs = [finished.run_dir / "steps/PreprocessTiles" / log for log in ("log.txt", "hosts/algo-2/log.txt")]
    counts = [int(re.findall(r"Cut \d+/(\d+) screenshots", log.read_text())[-1]) for log in logs]
    hosts = finished.run_dir / "steps/PreprocessTiles/hosts/algo-2/opt/ml/config/resourceconfig.json"
    assert json.loads(hosts.read_text())["current_host"] == "algo-2"
    assert min(counts) > 0
