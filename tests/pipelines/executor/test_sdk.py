"""A pipeline of another project, compiled by the real SageMaker SDK v3 in this test, runs as it is."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from pipelines.executor.executor import Executor
from pipelines.executor.job import Image
from pipelines.executor.store import LocalStore
from tests.pipelines.executor.conftest import properties

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
SPLIT = """
import os, sys, pathlib
assert os.environ['PLACE'].endswith('/opt/ml/processing'), os.environ['PLACE']
rows, to = int(sys.argv[2]), pathlib.Path(sys.argv[3].removeprefix('--to='))
text = pathlib.Path(os.environ['PLACE'], 'in', 'bottles.csv').read_text()
for row in range(rows): (to / f'{row}.csv').write_text(text)
"""
JUDGE = """
import json, os, pathlib, tarfile
place = pathlib.Path(os.environ['PLACE'])
with tarfile.open(place / 'model' / 'model.tar.gz') as tar:
    sugar, depth, rows = tar.extractfile('wine.txt').read().decode().split()
assert (place / 'top' / 'model.tar.gz').exists() and (depth, rows) == ('2', '8'), (depth, rows)
(place / 'verdict' / 'deep').mkdir()
scores = {'of bottles': {'taste': 1 - abs(float(sugar) - 0.4)}}
(place / 'verdict' / 'deep' / 'verdict.json').write_text(json.dumps({'scores': scores}))
"""


@pytest.fixture(scope="module")
def wine(tmp_path_factory):
    """The definition and the home whose store holds what the SDK uploaded, and code and data beside it."""
    home = tmp_path_factory.mktemp("wine")
    program, definition, store = HERE / "sdk_definition.py", home / "definition.json", LocalStore(home / "store")
    done = subprocess.run(
        [sys.executable, str(program), str(definition), str(store.root)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    store.put_bytes(SPLIT.encode(), "s3://wine/code/split.py")
    store.put_bytes(JUDGE.encode(), "s3://wine/code/judge.py")
    store.put_bytes(b"red,1\n", "s3://wine/cellar/bottles.csv")
    return json.loads(definition.read_text()), home


def unknown_image(uri, command):
    """An image with the training program; processing jobs of this pipeline bring their code."""
    return Image(("python3", str(HERE / "sdk_source" / "fit.py")), "sha256:wine")


def test_a_definition_of_the_sdk_runs_end_to_end(wine):
    """ScriptProcessor, tuner, ModelTrainer, JsonGet, conditions, ModelStep."""
    definition, home = wine
    asked = []

    def register(request, _model):
        asked.append(request)
        return {"ModelPackageArn": "arn:aws:model-package/wine/1", "ModelPackageVersion": 1}

    result = Executor(definition, home=home, name="wine", images=unknown_image, register=register).run()
    assert result.status == "Succeeded", result.reason
    statuses = {name: step.status for name, step in result.steps.items()}
    assert statuses.pop("Reject") == "Skipped"
    assert set(statuses.values()) == {"Succeeded"}
    tuned = properties(result, "Tune", "BestTrainingJob.TunedHyperParameters['sugar']")
    fitted = LocalStore(home / "store").path(properties(result, "Fit", "ModelArtifacts.S3ModelArtifacts"))
    with tarfile.open(fitted) as tar:
        assert tar.extractfile("wine.txt").read().decode() == f"{float(tuned)} 2 8"
    assert properties(result, "Publish", "ModelPackageVersion") == 1
    assert [request["ModelApprovalStatus"] for request in asked] == ["PendingManualApproval"]


def test_a_second_run_of_it_reuses_and_a_stricter_one_is_rejected(wine):
    """Only the parameter of the condition differs, so only the verdict is made anew."""
    definition, home = wine
    result = Executor(definition, home=home, name="wine", images=unknown_image, parameters={"Floor": "1.5"}).run()
    assert (result.status, result.failed_step, result.reason) == ("Failed", "Reject", "taste below 1.5")
    assert {name for name, step in result.steps.items() if step.reused} == {"Split", "Tune", "Fit"}
