"""What an execution looks like in MLflow."""

import json

from pipelines.executor.events import (
    ConditionDecided,
    ExecutionFinished,
    StepFailedEvent,
    StepMetric,
    StepProgress,
    StepRetried,
    StepReused,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    TrialFinished,
    TrialStarted,
)
from pipelines.executor.results import StepResult, StoredOutput

DIGEST = "0123456789abcdef" * 4
DATASET = f"s3://bucket/datasets/{DIGEST}/manifest.jsonl"
EVALUATION = {
    "gate": {"fpr": {"value": 0.004, "upper": 0.009}, "tpr": {"value": 0.8}, "max_fpr": 0.01, "slices": [1, 2]},
    "binary_classification_metrics": {"confusion_matrix": {"0": {"0": 249, "1": 1}, "1": {"0": 20, "1": 80}}},
}
VALIDATION = {
    "accepted": 1200,
    "groups": 240,
    "classes": {"other": 720, "promotion": 480},
    "names": {"0": "other", "1": "promotion"},
    "splits": {"test": {"other": 126, "promotion": 84}},
    "quarantined": 0,
}
DONE = ExecutionFinished("Succeeded", None, None, 12.5)


def processing(step: str, reason: str = "no earlier run", **inputs: str) -> StepStarted:
    entries = [{"InputName": name, "S3Input": {"S3Uri": uri}} for name, uri in inputs.items()]
    return StepStarted(step, "Processing", reason, {"ProcessingInputs": entries})


def result(**outputs: str) -> StepResult:
    return StepResult("Succeeded", outputs={name: StoredOutput(uri, "sha") for name, uri in outputs.items()})


def test_an_execution_is_a_parent_run_with_its_parameters_dataset_and_digest(played):
    tracker = played.play(played.started(DatasetUri=DATASET, MaxFpr=0.01), DONE)
    run = played.runs()[played.execution]
    assert run.info.status == "FINISHED"
    assert run.data.params == {"DatasetUri": DATASET, "MaxFpr": "0.01"}
    assert run.data.metrics["seconds"] == 12.5
    assert run.data.tags["tilegate.definition_digest"] == "d" * 64
    assert run.data.tags["verdict"] == "passed"
    assert run.data.tags["mlflow.note.content"].startswith("**Passed**\n\n")
    (entry,) = run.inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("manifest.jsonl", DIGEST[:36])
    assert DATASET in entry.dataset.source
    page = f"http://127.0.0.1:5000/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    assert tracker.url() == f"{page}?workflowType=machine_learning"
    experiment = played.client.get_experiment(run.info.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    view = json.loads(json.loads(experiment.tags["mlflow.sharedViewState.executions"])["state"])
    assert view["selectedColumns"][:2] == ["tags.`verdict`", "tags.`model_version`"]


def test_a_step_is_a_child_run_with_its_reason_and_numbers(played):
    """The evaluation's numbers and pages are on the execution, where a table of executions compares them."""
    report = played.put("s3://bucket/e/evaluation.json", EVALUATION)
    played.put("s3://bucket/e/report.html", b"<p>passed</p>")
    played.put("s3://bucket/e/plots/det.png", b"png")
    played.put("s3://bucket/e/tiles.npy", b"not a contract file")
    started = processing("EvaluateModel", "input 'model' changed", dataset=DATASET, model="s3://bucket/m")
    ended = StepSucceeded("EvaluateModel", "Processing", result(evaluation=report.rpartition("/")[0]), 3.0)
    played.play(played.started(DatasetUri=DATASET), started, ended, DONE)
    runs = played.runs()
    parent, step = runs[played.execution], runs["EvaluateModel"]
    assert step.info.status == "FINISHED"
    assert step.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert step.data.tags["tilegate.reason"] == "input 'model' changed"
    numbers = {"test/fpr": 0.004, "test/fpr_upper": 0.009, "test/tpr": 0.8}
    assert step.data.metrics == {"seconds": 3.0, **numbers}
    assert parent.data.metrics == {"seconds": 12.5, **numbers}
    assert played.files(step) == set()
    assert played.files(parent) == {f"test/{name}" for name in ("evaluation.json", "report.html", "plots/det.png")}


def test_training_has_its_hyperparameters_and_the_history_of_its_metrics(played):
    arguments = {"HyperParameters": {"learning-rate": "0.1"}, "InputDataConfig": []}
    metrics = [StepMetric("TrainModel", None, "validation:objective", 0.5 + index / 10, index) for index in range(3)]
    ended = StepSucceeded("TrainModel", "Training", StepResult("Succeeded"), 1.0)
    played.play(played.started(), StepStarted("TrainModel", "Training", "r", arguments), *metrics, ended, DONE)
    run = played.runs()["TrainModel"]
    assert run.data.params == {"learning-rate": "0.1"}
    history = played.client.get_metric_history(run.info.run_id, "validation/objective")
    assert [(point.step, point.value) for point in history] == [(0, 0.5), (1, 0.6), (2, 0.7)]


def test_a_trial_is_a_grandchild_with_its_hyperparameters_and_objective(played):
    best = {"TrainingJobName": "t-001", "FinalHyperParameterTuningJobObjectiveMetric": {"Value": 0.9}}
    ended = StepSucceeded("Tune", "Tuning", StepResult("Succeeded", {"BestTrainingJob": best}), 9.0)
    played.play(
        played.started(),
        StepStarted("Tune", "Tuning", "r", {"TrainingJobDefinition": {"StaticHyperParameters": {"epochs": "3"}}}),
        TrialStarted("Tune", "t-001", {"rate": "0.1"}),
        StepMetric("Tune", "t-001", "tpr", 0.8, 0),
        StepMetric("Tune", "t-001", "tpr", 0.9, 1),
        TrialFinished("Tune", "t-001", {"rate": "0.1"}, {"tpr": 0.9, "loss": 0.2}, 0.9, "Completed", False, 4.0),
        TrialFinished("Tune", "t-002", {"rate": "0.2"}, {"tpr": 0.7}, 0.7, "Completed", True, 4.0),
        TrialFinished("Tune", "t-003", {"rate": "9"}, {}, None, "Failed", False, 1.0, "exit code 1: NaN"),
        ended,
        DONE,
    )
    runs = played.runs()
    tune, first, second, third = (runs[name] for name in ("Tune", "trial 001", "trial 002", "trial 003"))
    assert tune.data.params == {"epochs": "3"}
    assert tune.data.tags["tilegate.best_trial"] == "t-001"
    history = played.client.get_metric_history(tune.info.run_id, "objective")
    assert [(point.step, point.value) for point in history] == [(0, 0.9), (1, 0.7)]
    assert {run.data.tags["mlflow.parentRunId"] for run in (first, second, third)} == {tune.info.run_id}
    assert first.data.params == {"rate": "0.1"}
    assert first.data.metrics == {"tpr": 0.9, "loss": 0.2, "objective": 0.9, "seconds": 4.0}
    assert len(played.client.get_metric_history(first.info.run_id, "tpr")) == 2
    note = runs[played.execution].data.tags["mlflow.note.content"]
    assert all(run.info.run_id in note.partition("#/compare-runs?")[2] for run in (first, second, third))
    assert "tilegate.reused_from" in second.data.tags
    assert (third.info.status, third.data.tags["tilegate.failure"]) == ("FAILED", "exit code 1: NaN")


def test_a_reused_step_has_a_run_that_points_to_the_first_one_and_repeats_its_numbers(played):
    uri = played.put("s3://bucket/v/validation.json", {"accepted": 7}).rpartition("/")[0]
    played.put("s3://bucket/v/report.html", b"<p>good</p>")
    ended = StepSucceeded("ValidateData", "Processing", result(report=uri), 5.0)
    played.play(played.started(), processing("ValidateData"), ended, DONE)
    reused = StepReused("ValidateData", "Processing", "nothing changed", played.execution, result(report=uri), 5.0)
    played.play(played.started("20261124-000000-aaaa"), reused, DONE)
    second = played.runs()["ValidateData"]
    assert second.info.status == "FINISHED"
    assert second.data.tags["tilegate.reused_from"] == played.execution
    assert second.data.metrics == {"seconds_of_origin": 5.0, "data/screenshots": 7.0}
    assert played.files(second) == set()
    execution = played.runs()["20261124-000000-aaaa"]
    assert played.files(execution) == {"data/report.html", "data/validation.json"}
    assert execution.data.metrics["data/screenshots"] == 7.0


def test_a_failed_step_fails_its_run_and_its_execution(played):
    failed = StepFailedEvent("TrainModel", "exit code 2: no labels", 2, None)
    ended = ExecutionFinished("Failed", "TrainModel", "exit code 2: no labels", 1.0)
    skipped = StepSkipped("EvaluateModel", "TrainModel failed")
    played.play(played.started(), processing("TrainModel"), failed, skipped, ended)
    runs = played.runs()
    step, parent = runs["TrainModel"], runs[played.execution]
    assert (step.info.status, parent.info.status) == ("FAILED", "FAILED")
    assert step.data.tags["tilegate.exit_code"] == "2"
    assert parent.data.tags["mlflow.note.content"].startswith("**Failed**: TrainModel: exit code 2: no labels")
    assert parent.data.tags["tilegate.skipped.EvaluateModel"] == "TrainModel failed"
    assert "EvaluateModel" not in runs


def test_what_a_failed_step_has_left_is_shown(played):
    uri = played.put("s3://bucket/e/report.html", b"why it stopped").rpartition("/")[0]
    failed = StepFailedEvent("ValidateData", "exit code 1: too many labels changed", 1, None, {"report": uri})
    played.play(played.started(), processing("ValidateData"), failed, DONE)
    assert played.files(played.runs()[played.execution]) == {"data/report.html"}


def test_a_stopped_execution_and_what_it_was_doing_are_killed(played):
    played.play(
        played.started(),
        processing("PreprocessTiles"),
        StepProgress("PreprocessTiles", "1 of 9"),
        ExecutionFinished("Stopped", None, "interrupted", 1.0),
    )
    assert {run.info.status for run in played.runs().values()} == {"KILLED"}


def test_a_condition_and_a_retry_say_what_happened(played):
    played.play(
        played.started(),
        ConditionDecided("CheckFalsePositiveRate", True, "the rate (0.004) is at most 0.01"),
        processing("RegisterModel"),
        StepRetried("RegisterModel", 2, 3, "killed by SIGKILL", 1.0),
        DONE,
    )
    runs = played.runs()
    condition = runs["CheckFalsePositiveRate"]
    assert condition.info.status == "FINISHED"
    assert condition.data.tags["tilegate.outcome"] == "true"
    assert condition.data.tags["tilegate.reason"] == "the rate (0.004) is at most 0.01"
    assert runs["RegisterModel"].data.tags["tilegate.retried"] == "attempt 2 of 3: killed by SIGKILL"


def test_a_run_lasts_as_long_as_its_step_although_it_is_written_later(played, monkeypatch):
    moments = iter([1_000, 2_000, 5_000, 9_000])
    monkeypatch.setattr("pipelines.tracking.listener.time.time_ns", lambda: next(moments) * 1_000_000)
    ended = StepSucceeded("ValidateData", "Processing", StepResult("Succeeded"), 3.0)
    played.play(played.started(), processing("ValidateData"), ended, DONE)
    runs = played.runs()
    assert (runs["ValidateData"].info.start_time, runs["ValidateData"].info.end_time) == (2_000, 5_000)
    assert (runs[played.execution].info.start_time, runs[played.execution].info.end_time) == (1_000, 9_000)


def test_a_trial_that_was_stopped_early_says_so_and_keeps_its_curve(played):
    values = [StepMetric("Tune", "t-001", "score", 0.5 - index / 10, index) for index in range(3)]
    why = "stopped early: value 3 of score, 0.3, is worse than 0.4"
    ended = TrialFinished("Tune", "t-001", {"rate": "0.1"}, {"score": 0.3}, 0.5, "Stopped", False, 2.0, why)
    started = StepStarted("Tune", "Tuning", "r", {})
    done = StepSucceeded("Tune", "Tuning", StepResult("Succeeded"), 3.0)
    played.play(played.started(), started, TrialStarted("Tune", "t-001", {"rate": "0.1"}), *values, ended, done, DONE)
    run = played.runs()["trial 001"]
    assert run.info.status == "KILLED"
    assert run.data.tags["tilegate.stopped_early"] == run.data.tags["mlflow.note.content"] == why
    assert "tilegate.failure" not in run.data.tags
    assert run.data.metrics["objective"] == 0.5
    history = played.client.get_metric_history(run.info.run_id, "score")
    assert [(point.step, point.value) for point in history] == [(0, 0.5), (1, 0.4), (2, 0.3)]


REFUSED = "False-positive rate 2 %, 95 % upper bound 3 %; the limit is 1 %. <b>*"


def test_a_rejection_is_an_answer_and_says_why_with_links_to_what_shows_it(played):
    played.put("s3://bucket/v/validation.json", VALIDATION)
    played.put("s3://bucket/v/report.html", b"<p>good</p>")
    played.put("s3://bucket/e/evaluation.json", EVALUATION)
    played.put("s3://bucket/e/report.html", b"<p>rejected</p>")
    played.play(
        played.started(DatasetUri=DATASET),
        processing("ValidateData"),
        StepSucceeded("ValidateData", "Processing", result(report="s3://bucket/v"), 1.0),
        processing("EvaluateModel"),
        StepSucceeded("EvaluateModel", "Processing", result(evaluation="s3://bucket/e"), 1.0),
        ConditionDecided("CheckFalsePositiveRate", False, "1 == 0 is false"),
        StepStarted("RejectModel", "Fail", "the pipeline came to this step", {}),
        StepFailedEvent("RejectModel", REFUSED, None, None),
        ExecutionFinished("Failed", "RejectModel", REFUSED, 9.0),
    )
    runs = played.runs()
    execution = runs[played.execution]
    assert (execution.info.status, runs["RejectModel"].info.status) == ("FINISHED", "FINISHED")
    assert (execution.data.tags["verdict"], runs["RejectModel"].data.tags["verdict"]) == ("rejected", "rejected")
    assert execution.data.tags["dataset"] == "promotion, 1,200 screenshots (01234567)"
    note = execution.data.tags["mlflow.note.content"]
    assert note.startswith(
        "**Rejected**: False-positive rate 2 %, 95 % upper bound 3 %; the limit is 1 %. \\<b\\>\\*\n"
    )
    page = f"#/experiments/{execution.info.experiment_id}/runs/{execution.info.run_id}/artifacts"
    for place in ("data/report.html", "test/report.html"):
        assert f"({page}/{place}?workflowType=machine_learning)" in note
        assert place in played.files(execution)
    assert "| trained model | 0.40% | 0.90% | 80.00% | - |" in note
    (entry,) = execution.inputs.dataset_inputs
    assert entry.dataset.name == "promotion, 1,200 screenshots"
    assert json.loads(entry.dataset.profile) == {key: VALIDATION[key] for key in VALIDATION if key != "names"}


def test_a_conversion_that_may_not_ship_shows_what_it_left_in_its_folder(played):
    left = played.home / "runs" / played.execution / "steps/ConvertToTFLite/opt/ml/processing/output/bundle/evidence"
    left.mkdir(parents=True)
    (left / "report.html").write_text("<p>no variant</p>")
    (left / "evaluation.json").write_text(json.dumps(EVALUATION))
    reason = "exit code 3: No converted model may ship."
    failed = StepFailedEvent("ConvertToTFLite", reason, 3, None)
    ended = ExecutionFinished("Failed", "ConvertToTFLite", reason, 9.0)
    played.play(played.started(), processing("ConvertToTFLite"), failed, ended)
    execution = played.runs()[played.execution]
    assert (execution.info.status, execution.data.tags["verdict"]) == ("FINISHED", "rejected")
    assert {"tflite/report.html", "tflite/evaluation.json"} <= played.files(execution)
    assert execution.data.metrics["tflite/fpr_upper"] == 0.009


def test_a_tuning_from_the_cache_shows_its_best_objective_as_the_first_did(played):
    best = {"TrainingJobName": "t-6", "FinalHyperParameterTuningJobObjectiveMetric": {"Value": 0.6}}
    found = StepResult("Succeeded", {"BestTrainingJob": best})
    name = "TuneHyperparameters"
    played.play(played.started(), StepStarted(name, "Tuning", "r", {}), StepSucceeded(name, "Tuning", found, 3.0), DONE)
    reused = StepReused(name, "Tuning", "nothing changed", played.execution, found, 3.0)
    played.play(played.started("20261124-000000-aaaa"), reused, DONE)
    runs = played.runs()
    assert runs[played.execution].data.metrics["tuning/objective"] == 0.6
    assert runs["20261124-000000-aaaa"].data.metrics["tuning/objective"] == 0.6
