"""Nights on one machine: what runs leave is what a night knows, and a killed process keeps nobody out."""

import json
import os
import signal
from dataclasses import replace

import pytest

from pipelines.definition.settings import Settings
from pipelines.executor.runs import locked
from pipelines.nightly.lease import NightBusyError
from pipelines.nightly.site_local import LocalSite
from pipelines.runs.executions import Outcome, Status
from pipelines.runs.local_executions import ExecutionsHere
from pipelines.runs.local_run import RunRequest

SETTINGS = Settings()


class Home:
    def __init__(self, root, leave_run):
        self.root, self._leave, self._number = root, leave_run, 0
        request = RunRequest(root, None, sample=False, weights=None, resume=None, parameters={"MaxFpr": 0.1})
        self.executions = ExecutionsHere(request, SETTINGS)

    def run(self, note, *, failed_step=None, exit_code=None, **options):
        """Leave a run behind that bears a note."""
        self._number += 1
        results = {failed_step: {"status": "Failed", "exit_code": exit_code}} if failed_step else {}
        folder = self._leave(self.root, self._number, {"DatasetUri": "d"}, **options, **results)
        state = json.loads((folder / "state.json").read_text())
        state |= {
            "code_note": note,
            "resumed": 0.0,
            "failed_step": failed_step,
            "reason": "why" if failed_step else None,
        }
        (folder / "state.json").write_text(json.dumps(state))
        return folder


@pytest.fixture
def home(tmp_path, leave_run):
    return Home(tmp_path / "home", leave_run)


def outcome(home, **options):
    return home.executions.outcome(home.run("note", **options).name)


def test_a_run_stands_as_it_ended(home):
    assert outcome(home) == Outcome(Status.SUCCEEDED)
    assert outcome(home, status="Stopped").status is Status.STOPPED
    failed = outcome(home, status="Failed", failed_step="TrainModel", exit_code=1)
    assert failed == Outcome(Status.FAILED, "why", "TrainModel")


@pytest.mark.parametrize(("step", "code"), [("RejectModel", None), ("ConvertToTFLite", 3)])
def test_what_the_gate_rejects_is_no_failure(home, step, code):
    assert outcome(home, status="Failed", failed_step=step, exit_code=code).status is Status.REJECTED


def test_a_run_whose_folder_is_gone_has_stopped(home):
    assert home.executions.outcome("never") == Outcome(Status.STOPPED, "its folder is gone")


def test_a_run_that_goes_on_is_executing_and_a_killed_one_is_not(home):
    folder = home.run("note", status="Executing")
    assert home.executions.executing() is None
    with locked(folder):
        assert home.executions.executing() == folder.name
        assert home.executions.outcome(folder.name).status is Status.EXECUTING


def test_runs_of_other_pipelines_are_none_of_a_nights(home):
    home.run("note", pipeline="foreign")
    assert home.executions.find("note") is None


def test_a_night_finds_its_run_by_its_name(home):
    home.run("other")
    wanted = home.run("note")
    assert home.executions.find("note") == wanted.name


def test_an_interrupted_run_is_gone_on_with_under_the_same_name(home, monkeypatch):
    asked = []

    def run_pipeline(request, settings):
        asked.append(request)
        home.run(request.note)

    monkeypatch.setattr("pipelines.nightly.site_local.run_pipeline", run_pipeline)
    first = home.executions.start("new", "token", {})
    assert asked[0].resume is None
    assert asked[0].parameters == {"MaxFpr": 0.1}
    assert home.executions.find("new") == first
    killed = home.run("killed", status="Executing")
    assert home.executions.find("killed") is None
    home.executions.start("killed", "token", {})
    assert asked[1] == replace(asked[0], resume=killed.name, parameters={}, note="killed")


def site(root):
    return LocalSite(root, SETTINGS, inbox=None, weights=None, chosen={})


def test_two_nights_at_once_are_one(tmp_path):
    with site(tmp_path).alone(None) as lease:
        lease.check()
        with pytest.raises(NightBusyError, match="being held in this home"), site(tmp_path).alone(None):
            pass
    with site(tmp_path).alone(None):
        pass


def test_a_killed_night_keeps_nobody_out(tmp_path):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with site(tmp_path).alone(None):
            os.write(writing, b"held")
            signal.pause()
    os.read(reading, 4)
    with pytest.raises(NightBusyError), site(tmp_path).alone(None):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with site(tmp_path).alone(None):
        pass
