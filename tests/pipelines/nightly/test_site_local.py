"""Nights on one machine: what runs leave is what a night knows, and a killed process keeps nobody out."""

import json
import os
import signal

import pandas as pd
import pytest

from pipelines.data.catalogue import Catalogue
from pipelines.data.inbox import FolderInbox
from pipelines.definition.parameters import pipeline_parameters
from pipelines.definition.settings import Settings
from pipelines.executor.runs import LOCK
from pipelines.executor.store import LocalStore
from pipelines.locks import exclusive
from pipelines.nightly.decide import Rules
from pipelines.nightly.lease import NightBusyError
from pipelines.nightly.night import hold_night
from pipelines.nightly.records import Records
from pipelines.nightly.site_local import LocalSite
from pipelines.runs.executions import Outcome, Status
from pipelines.runs.local_run import LocalExecutions
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes

SETTINGS = Settings()


class Home:
    def __init__(self, root, leave_run):
        self.root, self._leave, self._number = root, leave_run, 0
        self.executions = LocalExecutions(root, SETTINGS)

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


@pytest.mark.parametrize(("step", "code"), [("RejectData", None), ("RejectModel", None), ("ConvertToTFLite", 3)])
def test_what_the_gate_rejects_is_no_failure(home, step, code):
    assert outcome(home, status="Failed", failed_step=step, exit_code=code).status is Status.REJECTED


def test_a_run_whose_folder_is_gone_has_stopped(home):
    assert home.executions.outcome("never") == Outcome(Status.STOPPED, "its folder is gone")


def test_a_run_that_goes_on_is_executing_and_a_killed_one_is_not(home):
    folder = home.run("note", status="Executing")
    assert home.executions.executing() is None
    with exclusive(folder / LOCK):
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

    def execute(root, _, parameters, *, resume, note):
        asked.append((root, parameters, resume, note))
        home.run(note)

    monkeypatch.setattr("pipelines.runs.local_run.execute", execute)
    first = home.executions.start("new", "token", {"MaxFpr": "0.1"})
    assert asked == [(home.root, {"MaxFpr": "0.1"}, None, "new")]
    assert home.executions.find("new") == first
    killed = home.run("killed", status="Executing")
    assert home.executions.find("killed") is None
    home.executions.start("killed", "token", {"MaxFpr": "0.1"})
    assert asked[1] == (home.root, {}, killed.name, "killed")


def test_a_night_checks_its_parameters_before_it_takes_anything_in(home, tmp_path):
    dropped = tmp_path / "inbox" / "batch"
    dropped.mkdir(parents=True)
    (dropped / "a.png").write_bytes(b"a")
    (dropped / "labels.csv").write_text("path,label\na.png,1\n")
    inbox = FolderInbox(tmp_path / "inbox", tmp_path / "memory.json", settle_seconds=0)
    with pytest.raises(UserError, match="max-fpr"):
        hold_night(LocalSite(home.root, SETTINGS, inbox=inbox, weights=None, chosen={"MaxFpr": 2.0}), Rules())
    assert Catalogue(LocalStore(home.root / "store"), SETTINGS).batches() == []


def site(root, **chosen):
    return LocalSite(root, SETTINGS, inbox=None, weights=None, chosen=chosen)


def test_two_nights_at_once_are_one(tmp_path):
    with site(tmp_path).alone(None) as check_lease:
        check_lease()
        with pytest.raises(NightBusyError, match="being held in this home"), site(tmp_path).alone(None):
            pass
    with site(tmp_path).alone(None):
        pass


def test_what_takes_too_long_in_a_night_is_no_other_night(tmp_path):
    with pytest.raises(TimeoutError, match="the catalogue"), site(tmp_path).alone(None):
        raise TimeoutError("the catalogue is held by another process")


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


class LabelledHome:
    """A home with batches, whose runs are only noted: each with the parameters that it was given."""

    def __init__(self, root, leave_run):
        self.root, self._leave, self.asked = root, leave_run, []

    def add(self, name):
        folder = self.root.parent / name
        folder.mkdir()
        (folder / name).write_bytes(name.encode())
        pd.DataFrame({"path": [name], "label": 1}).to_csv(folder / "labels.csv", index=False)
        Catalogue(LocalStore(self.root / "store"), SETTINGS).add(folder, classes=Classes.parse("other,promotion"))

    def execute(self, root, _, parameters, *, resume, note):
        assert resume is None
        self.asked.append(dict(parameters))
        folder = self._leave(root, len(self.asked), parameters)
        state = json.loads((folder / "state.json").read_text())
        (folder / "state.json").write_text(json.dumps(state | {"code_note": note}))


@pytest.fixture
def labelled(empty_home, leave_run, monkeypatch):
    made = LabelledHome(empty_home, leave_run)
    made.add("a.png")
    monkeypatch.setattr("pipelines.runs.local_run.execute", made.execute)
    monkeypatch.setattr("pipelines.nightly.site_local.compile_cached", lambda *_: "definition")
    return made


def recorded(labelled):
    (record,) = Records(site(labelled.root).artifacts).all()
    return dict(record.parameters)


def test_a_run_has_the_parameters_that_its_night_has_recorded(labelled):
    """A batch that is added between the decision and the run is none of the run's."""
    tonight = site(labelled.root, MaxFpr=0.02)
    decided = tonight.data()
    hold_night(tonight, Rules(), tell=lambda _: labelled.add("b.png"))
    (asked,) = labelled.asked
    assert asked == recorded(labelled)
    assert asked["DatasetUri"] == decided.uri != tonight.data().uri
    assert (asked["MaxFpr"], asked["MaxFprIncrease"]) == ("0.02", "-1.0")
    assert {parameter.name for parameter in pipeline_parameters(SETTINGS)} == asked.keys()


def test_a_claim_of_the_version_before_is_carried_out_with_what_it_names_and_the_rest_of_tonight(labelled, monkeypatch):
    """It named the dataset and what was chosen, and nothing that follows from them."""
    tonight = site(labelled.root, MaxFpr=0.02)
    with monkeypatch.context() as killing:
        killing.setattr(tonight.executions, "start", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            hold_night(tonight, Rules())
    (key,) = [info.key for info in tonight.artifacts.list("nights/")]
    claim = json.loads(tonight.artifacts.get(key))
    kept = {"DatasetUri": tonight.data().uri, "MaxFpr": "0.02"}
    tonight.artifacts.put(key, json.dumps(claim | {"parameters": kept}).encode())
    hold_night(site(labelled.root, MaxFpr=0.02), Rules())
    (asked,) = labelled.asked
    assert asked.items() >= kept.items()
    assert {parameter.name for parameter in pipeline_parameters(SETTINGS)} == asked.keys()
