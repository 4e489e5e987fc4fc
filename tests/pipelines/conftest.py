"""Homes with a past: earlier runs as an executor leaves them, and an MLflow store migrated once for all tests."""

import json
import shutil

import pytest

from pipelines.tracking.database import database_path, open_client
from tests.shared import compiled_once, models_read_once  # noqa: F401 (fixtures of all tests below)


def _leave_run(home, number, parameters, *, status="Succeeded", pipeline="tilegate", **results):
    """Write the run number `number`; `results` are the result.json of steps by name. Returns its folder."""
    folder = home / "runs" / f"20260101-00{number:04d}-aaaa"
    folder.mkdir(parents=True)
    state = {
        "execution_id": folder.name,
        "pipeline_name": pipeline,
        "status": status,
        "started": float(number),
        "seconds": 1.0,
        "parameters": parameters,
        "failed_step": None,
        "reason": None,
        "code_note": "",
    }
    (folder / "state.json").write_text(json.dumps(state))
    for step, result in results.items():
        (folder / "steps" / step).mkdir(parents=True)
        (folder / "steps" / step / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture
def leave_run():
    return _leave_run


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("migrated")
    open_client(folder).search_experiments()
    return database_path(folder)


@pytest.fixture
def empty_home(tmp_path, _migrated):
    """Return a home without runs, whose MLflow store needs no migration."""
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copyfile(_migrated, folder / "mlflow.db")
    return folder
