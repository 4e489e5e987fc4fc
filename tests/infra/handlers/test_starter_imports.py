"""How much the nightly function loads: Lambda does so every night, and on most of them there is nothing to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.storage.folder import FolderObjects
from tests.infra.handlers import quiet_night
from tests.pipelines.nightly.cloud import Batches, definition

ROOT = Path(__file__).parents[3]
MOST = 70
HEAVY = {"pandas", "numpy", "pyarrow", "matplotlib", "sklearn", "mlflow", "sagemaker", "tensorflow", "click"}


def loaded(*command):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *command], env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def ours(modules):
    return {name for name in modules if name.partition(".")[0] in {"steps", "pipelines", "infra"}}


def test_the_import_is_small():
    modules = loaded("-c", "import infra.handlers.starter, json, sys; print(json.dumps(list(sys.modules)))")
    assert len(ours(modules)) <= MOST
    assert not HEAVY & set(modules)


@pytest.fixture
def night(tmp_path):
    """Return the root of an environment whose data are being decided on: the execution has ended since."""

    class Bucket:
        data = FolderObjects(tmp_path / "data", quiet_night.ENVIRONMENT.data_bucket)

    (tmp_path / "batches").mkdir()
    Batches(Bucket, tmp_path / "batches")("a.png")
    (tmp_path / "definition.json").write_text(definition())
    assert quiet_night.hold(tmp_path) == "started e1: 1 new labels"
    return tmp_path


def test_so_is_a_night_that_hears_of_the_last_ones_end_and_finds_nothing_new(night):
    told = loaded(quiet_night.__file__, str(night))
    assert told["line"] == "nothing new, nothing is started: e1 has decided on these data: Succeeded"
    # Folders instead of S3 are two modules more.
    assert len(ours(told["modules"])) <= MOST
    assert not HEAVY & set(told["modules"])
