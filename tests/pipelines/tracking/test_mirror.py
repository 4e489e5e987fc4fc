"""A SageMaker execution, told by answers that botocore's model accepts, mirrored into a real MLflow store."""

import json

import pytest

from pipelines.storage.folder import FolderObjects
from pipelines.tracking.managed import mirror_execution
from pipelines.tracking.writer import Writer
from steps.core.common.errors import UserError
from tests.pipelines.tracking.service import ARN, DATASET, EARLIER, PACKAGE, at, run_folder, whole_night


@pytest.fixture
def mirror(service, buckets, played):
    return lambda: mirror_execution(service.client, buckets, played.client, ARN)


def runs_of(played):
    experiment = played.client.get_experiment_by_name("tilegate-dev")
    found = played.client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return {run.info.run_name: run for run in found}


def test_an_execution_looks_in_mlflow_as_one_of_this_machine_does(service, buckets, mirror, played):
    whole_night(service, buckets)
    run_id, made = mirror()
    runs = runs_of(played)
    parent = runs["abc123def456"]
    assert (parent.info.run_id, made, parent.info.status) == (run_id, True, "FINISHED")
    assert (parent.info.start_time, parent.info.end_time) == tuple(round(at(m).timestamp() * 1000) for m in (0, 90))
    assert parent.data.params == {"MaxFpr": "0.01", "DatasetUri": DATASET}
    assert parent.data.metrics["test/fpr"] == 0.004
    assert parent.data.metrics["validation/auc"] == pytest.approx(0.99)
    assert (parent.data.tags["verdict"], parent.data.tags["model_version"]) == ("passed", "7")
    assert {"test/report.html", "test/evaluation.json"} == played.files(parent)
    assert [entry.dataset.digest for entry in parent.inputs.dataset_inputs] == ["d" * 32]
    steps = {name for name, run in runs.items() if run.data.tags.get("mlflow.parentRunId") == run_id}
    expected = {"ValidateData", "TuneHyperparameters", "TrainModel", "EvaluateModel", "CheckFalsePositiveRate"}
    assert steps == expected | {"RegisterModel"}
    assert all(run.info.status == "FINISHED" for run in runs.values())


def test_steps_have_their_files_numbers_hyperparameters_and_links(service, buckets, mirror, played):
    whole_night(service, buckets)
    mirror()
    runs = runs_of(played)
    evaluated = runs["EvaluateModel"]
    assert played.files(evaluated) == set()
    assert evaluated.data.metrics["seconds"] == 600
    assert evaluated.data.tags["tilegate.reason"] == "ran as processing-job/pipelines-evaluatemodel"
    trained = runs["TrainModel"]
    assert trained.data.params == {"dropout": "0.2", "seed": "17"}
    assert trained.data.metrics["validation/auc"] == 0.99
    assert runs["CheckFalsePositiveRate"].data.tags["tilegate.outcome"] == "true"
    assert runs["RegisterModel"].data.tags["tilegate.model_package"] == PACKAGE


def test_trials_are_grandchildren_with_their_objective(service, buckets, mirror, played):
    whole_night(service, buckets)
    mirror()
    runs = runs_of(played)
    tuning, trial = runs["TuneHyperparameters"], runs["trial 002"]
    assert trial.data.tags["mlflow.parentRunId"] == tuning.info.run_id
    assert trial.data.params == {"dropout": "0.2"}
    assert (trial.data.metrics["objective"], trial.data.metrics["seconds"]) == (pytest.approx(0.7), 600)
    assert tuning.data.metrics["tuning/objective"] == pytest.approx(0.7)
    assert tuning.data.tags["tilegate.best_trial"] == "tune-2"


def test_what_all_nights_share_is_not_looked_through(service, buckets, mirror, played, monkeypatch):
    whole_night(service, buckets)
    listed = []

    def listing(self, prefix=""):
        listed.append(prefix)
        return iter(())

    monkeypatch.setattr(FolderObjects, "list", listing)
    mirror()
    assert listed == ["runs/abc123def456/EvaluateModel/evaluation/"]


def test_a_second_delivery_changes_nothing(service, buckets, mirror, played):
    whole_night(service, buckets)
    first, _ = mirror()
    before = {name: run.to_dictionary() for name, run in runs_of(played).items()}
    assert mirror() == (first, False)
    assert {name: run.to_dictionary() for name, run in runs_of(played).items()} == before


def test_what_a_kill_left_half_recorded_is_made_anew(service, buckets, mirror, played, monkeypatch):
    whole_night(service, buckets)
    write = Writer.write
    for dies_at in (1, 4, 9):
        left = iter(range(dies_at))

        def mortal(self, event, moment, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            write(self, event, moment)

        monkeypatch.setattr(Writer, "write", mortal)
        with pytest.raises(KeyboardInterrupt):
            mirror()
    monkeypatch.undo()
    _, made = mirror()
    assert made
    experiment = played.client.get_experiment_by_name("tilegate-dev")
    found = played.client.search_runs([experiment.experiment_id])
    assert len(found) == len(runs_of(played)) == 9
    assert {run.info.status for run in found} == {"FINISHED"}


def test_a_rejected_night_says_why(service, mirror, played):
    service.execution = {"PipelineExecutionStatus": "Failed", "FailureReason": "Step failure: RejectModel"}
    service.step("CheckFalsePositiveRate", 60, 60, Metadata={"Condition": {"Outcome": "False"}})
    message = "False-positive rate 2 %; the limit is 1 %."
    service.step("RejectModel", 60, 60, "Failed", Metadata={"Fail": {"ErrorMessage": message}}, FailureReason="x")
    mirror()
    runs = runs_of(played)
    assert runs["RejectModel"].info.status == runs["abc123def456"].info.status == "FINISHED"
    assert runs["abc123def456"].data.tags["verdict"] == "rejected"
    assert "the limit is 1 %" in runs["abc123def456"].data.tags["mlflow.note.content"]
    assert runs["RejectModel"].data.tags["tilegate.failure"] == message
    assert runs["CheckFalsePositiveRate"].data.tags["tilegate.outcome"] == "false"


def test_a_failed_job_shows_its_reason_and_the_report_that_it_still_uploaded(service, buckets, mirror, played):
    service.execution = {"PipelineExecutionStatus": "Failed", "FailureReason": "Step failure"}
    folder = run_folder("ValidateData", "report")
    buckets[1].put(f"{folder}/report.html", b"<p>labels conflict</p>")
    outputs = {"report": f"s3://artifacts/{folder}", "new-facts": "s3://data/facts/v1"}
    service.processing("ValidateData", 1, 5, outputs, "Failed", FailureReason="ClientError: labels conflict")
    mirror()
    run = runs_of(played)["ValidateData"]
    assert (run.info.status, run.data.tags["tilegate.failure"]) == ("FAILED", "ClientError: labels conflict")
    assert played.files(runs_of(played)["abc123def456"]) == {"data/report.html"}


def test_a_step_from_the_cache_points_to_the_execution_that_ran_it(service, buckets, mirror, played):
    folder = "runs/zzz999zzz999/EvaluateModel/evaluation"
    buckets[1].put(f"{folder}/evaluation.json", json.dumps({"gate": {"fpr": {"value": 0.5}}}).encode())
    outputs = {"evaluation": f"s3://artifacts/{folder}"}
    hit = {"CacheHitResult": {"SourcePipelineExecutionArn": EARLIER}}
    service.processing("EvaluateModel", 50, 50, outputs, **hit)
    mirror()
    run = runs_of(played)["EvaluateModel"]
    assert run.data.tags["tilegate.reused_from"] == "zzz999zzz999"
    assert run.data.metrics == {"test/fpr": 0.5, "seconds_of_origin": 420}
    assert played.files(run) == set()
    assert played.files(runs_of(played)["abc123def456"]) == {"test/evaluation.json"}


def test_an_execution_that_goes_on_is_not_recorded_yet(service, mirror, played):
    service.execution = {"PipelineExecutionStatus": "Executing"}
    with pytest.raises(UserError, match="abc123def456 is Executing: it is recorded once it has ended"):
        mirror()
    assert played.client.get_experiment_by_name("tilegate-dev") is None


def test_a_stopped_execution_ends_as_killed_with_the_step_that_ran(service, mirror, played):
    service.execution = {"PipelineExecutionStatus": "Stopped"}
    service.processing("ValidateData", 1, 5, {}, "Stopped")
    mirror()
    assert {run.info.status for run in runs_of(played).values()} == {"KILLED"}
