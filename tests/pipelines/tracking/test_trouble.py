"""Tracking never stops, slows or fails a run; a crash leaves nothing running for ever."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.executor.events import ExecutionFinished, StepReused, StepStarted, StepSucceeded
from pipelines.executor.results import StepResult
from pipelines.locks import exclusive
from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.tracking.database import open_client
from pipelines.tracking.listener import MlflowTracker

DONE = ExecutionFinished("Succeeded", None, None, 1.0)
OTHER = "20261124-000000-aaaa"


def step(name: str) -> StepStarted:
    return StepStarted(name, "Processing", "no earlier run", {})


def succeeded(name: str) -> StepSucceeded:
    return StepSucceeded(name, "Processing", StepResult("Succeeded"), 1.0)


def test_a_store_that_cannot_be_opened_is_one_warning(played, capsys):
    (played.home / "mlflow.db").write_text("this is no database " * 100)
    tracker = played.tracker()
    for event in (played.started(), step("a"), succeeded("a"), DONE):
        tracker(event)
    tracker.close()
    assert "not a database" in tracker.problem
    assert capsys.readouterr().err.count("warning: MLflow tracking is incomplete") == 1
    assert tracker.url() is None


def test_one_event_that_cannot_be_written_does_not_lose_the_others(played, capsys):
    """A resolver that raises is one warning; the steps after it are recorded."""

    def resolve(uri):
        raise OSError("the disk is gone")

    def with_output(name):
        outputs = {"evaluation": {"uri": "s3://b/o", "digest": ""}}
        document = {"status": "Succeeded", "properties": {}, "seconds": 1, "reused": False, "reason": None}
        return StepSucceeded(name, "Processing", StepResult.from_json({**document, "outputs": outputs}), 1.0)

    tracker = MlflowTracker(played.home, resolve=resolve)
    for event in (
        played.started(),
        step("EvaluateModel"),
        with_output("EvaluateModel"),
        step("b"),
        succeeded("b"),
        DONE,
    ):
        tracker(event)
    tracker.close()
    assert tracker.problem == "OSError: the disk is gone"
    assert capsys.readouterr().err.count("\n") == 1
    runs = played.runs()
    assert {runs[name].info.status for name in ("EvaluateModel", "b", played.execution)} == {"FINISHED"}


def test_events_return_at_once_and_close_gives_up_while_the_store_is_locked(played, capsys):
    with sqlite3.connect(played.home / "mlflow.db", isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        tracker = played.tracker()
        began = time.perf_counter()
        for event in (played.started(), *(step(f"s{number}") for number in range(100)), DONE):
            tracker(event)
        assert time.perf_counter() - began < 1
        tracker.close(timeout=0.2)
        assert time.perf_counter() - began < 5
        assert tracker.problem == "the last events were not written within 0.2 s"
        connection.execute("ROLLBACK")
    tracker._thread.join(30)
    connection.close()
    assert "warning" in capsys.readouterr().err


def test_without_an_execution_nothing_is_imported_or_made(played):
    tracker = played.tracker()
    assert tracker.registration_run({}) is None
    tracker.close()
    tracker.close()
    assert tracker._thread is None


def test_what_a_crash_left_running_is_closed_as_killed_with_its_last_sign_of_life(played):
    crashed = played.tracker()
    for event in (played.started(), step("a"), succeeded("a"), step("b")):
        crashed(event)
    crashed.close()
    last = played.runs()["b"].info.start_time
    played.play(played.started(OTHER), DONE, is_executing=lambda _: False)
    runs = played.runs()
    for name in ("b", played.execution):
        assert (runs[name].info.status, runs[name].info.end_time) == ("KILLED", last)
        assert runs[name].data.tags["tilegate.closed_by"] == OTHER
    assert runs["a"].info.status == "FINISHED"


def test_what_another_process_is_executing_is_left_alone(played):
    tracker = played.tracker()
    tracker(played.started())
    tracker.close()
    played.play(played.started(OTHER), DONE, is_executing=lambda execution: execution == played.execution)
    assert played.runs()[played.execution].info.status == "RUNNING"


def test_a_resumed_execution_goes_on_in_its_own_run(played):
    """Steps taken over keep the runs they have; what was cut off is killed and runs again."""
    crashed = played.tracker()
    for event in (played.started(MaxFpr=0.1), step("a"), succeeded("a"), step("b")):
        crashed(event)
    crashed.close()
    first = played.runs()
    taken = StepReused("a", "Processing", "taken over", played.execution, StepResult("Succeeded"), 1.0)
    played.play(played.started(MaxFpr=0.1), taken, step("b"), succeeded("b"), DONE, is_executing=lambda _: True)
    experiment = played.client.get_experiment_by_name("screenshots").experiment_id
    runs = played.client.search_runs([experiment])
    told = sorted((run.info.run_name, run.info.status) for run in runs)
    assert told == [(played.execution, "FINISHED"), ("a", "FINISHED"), ("b", "FINISHED"), ("b", "KILLED")]
    assert played.runs()[played.execution].info.run_id == first[played.execution].info.run_id


def test_an_experiment_that_was_deleted_in_the_ui_is_restored(played):
    played.play(played.started(), DONE)
    client = played.client
    client.delete_experiment(client.get_experiment_by_name("screenshots").experiment_id)
    played.play(played.started(OTHER), DONE)
    assert set(played.runs()) == {played.execution, OTHER}


def test_the_registry_logs_the_model_in_the_executions_own_run(played, tmp_path):
    """The answer waits for the events before it, so the first step of a run may register as well."""
    archive = tmp_path / "model.tar.gz"
    import tarfile

    with tarfile.open(archive, "w:gz"):
        pass
    arguments = {
        "ModelPackageGroupName": "screenshots",
        "CustomerMetadataProperties": {"execution": played.execution},
    }
    tracker = played.tracker()
    tracker(played.started())
    tracker(StepStarted("RegisterModel", "RegisterModel", "always", arguments))
    version = MlflowRegistry(played.home, run_for=tracker.registration_run).register(arguments, archive)
    tracker(StepSucceeded("RegisterModel", "RegisterModel", StepResult("Succeeded"), 1.0))
    tracker(DONE)
    tracker.close()
    run = played.runs()[played.execution]
    (model,) = played.client.search_logged_models([run.info.experiment_id])
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    assert (model.source_run_id, model.artifact_location) == (run.info.run_id, version.artifact_uri)
    assert run.info.status == "FINISHED"
    assert tracker.registration_run(arguments) is None


def test_a_new_home_gets_its_database_once_however_many_come_first(tmp_path):
    """A migration that was killed leaves no half schema: what it began beside is made anew."""
    (tmp_path / "mlflow.db.new").write_text("half")
    with ThreadPoolExecutor(2) as pool:
        clients = list(pool.map(lambda _: open_client(tmp_path), range(2)))
    assert [len(client.search_experiments()) for client in clients] == [1, 1]
    assert not (tmp_path / "mlflow.db.new").exists()
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    connection.close()


def test_a_held_lock_says_who_waits_for_what(tmp_path):
    with (
        exclusive(tmp_path / "lock"),
        pytest.raises(TimeoutError, match=r"lock was held by another process for 0.05 s"),
        exclusive(tmp_path / "lock", wait_seconds=0.05),
    ):
        pass
