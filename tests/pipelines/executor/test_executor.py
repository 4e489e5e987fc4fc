"""How a whole run behaves: order, parallelism, branches, failures, events, and what it leaves behind."""

import json
import time

import pytest

from pipelines.executor.runs import load_runs
from tests.pipelines.executor.conftest import properties


def test_outputs_of_a_step_are_inputs_of_the_next(kit):
    """Data flows through the store: what A writes, B reads, and the result tells where it is."""
    copy = (
        "import sys, pathlib; i, o = map(pathlib.Path, sys.argv[1:]);"
        "(o / 'copy.txt').write_text((i / 'file.txt').read_text().upper())"
    )
    result = kit.run(
        kit.writes("A", "hello"),
        kit.processing(
            "B",
            copy,
            inputs={"text": kit.output_of("A")},
            arguments=["/opt/ml/processing/input/text", "/opt/ml/processing/output/out"],
        ),
    )
    assert result.status == "Succeeded"
    uri = properties(result, "B", "ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri")
    assert uri == f"s3://b/runs/{result.execution_id}/B/out"
    assert (kit.store.path(uri) / "copy.txt").read_text() == "HELLO"


def test_independent_steps_run_at_the_same_time(kit):
    """Two steps that wait for each other's sign of life both end, so they ran together."""
    meet = (
        "import sys, time, pathlib; mine, other = map(pathlib.Path, sys.argv[1:3]); mine.touch();"
        "end = time.time() + 10\n"
        "while not other.exists() and time.time() < end: time.sleep(0.01)\n"
        "sys.exit(not other.exists())"
    )
    first, second = str(kit.home.parent / "first"), str(kit.home.parent / "second")
    result = kit.run(
        kit.processing("A", meet, outputs=(), arguments=[first, second]),
        kit.processing("B", meet, outputs=(), arguments=[second, first]),
        max_parallel=2,
    )
    assert result.status == "Succeeded"


def test_max_parallel_bounds_the_jobs(kit):
    """With max_parallel=1 the same two steps never meet."""
    alone = "import sys, os, time; d = sys.argv[1]; os.mkdir(d); time.sleep(0.1); os.rmdir(d)"  # fails if it exists
    place = str(kit.home.parent / "only-one")
    steps = [kit.processing(name, alone, outputs=(), arguments=[place]) for name in "ABC"]
    assert kit.run(*steps, max_parallel=1).status == "Succeeded"


def test_a_failure_lets_running_steps_finish_and_skips_the_rest(kit):
    """The first failure is the run's; what was running ends well, what depends on it or comes later is skipped."""
    result = kit.run(
        kit.processing("Bad", "raise ValueError('no tiles')", outputs=()),
        kit.processing("Slow", "import time; time.sleep(0.5)", outputs=()),
        kit.processing("After", "", outputs=(), DependsOn=["Bad"]),
        kit.processing("Later", "", outputs=(), DependsOn=["Slow"]),
        max_parallel=2,
    )
    assert (result.status, result.failed_step, result.exit_code) == ("Failed", "Bad", 1)
    assert result.reason == "exit code 1: ValueError: no tiles"
    statuses = {name: step.status for name, step in result.steps.items()}
    assert statuses == {"Bad": "Failed", "Slow": "Succeeded", "After": "Skipped", "Later": "Skipped"}
    assert {event.step: event.why for event in kit.told("StepSkipped")} == {
        "After": "it needs Bad, which failed",
        "Later": "Bad failed",
    }
    (failed,) = kit.told("StepFailedEvent")
    assert "Traceback" in failed.log_path.read_text()


def test_the_branch_not_taken_is_skipped_with_all_that_hangs_on_it(kit):
    """Only the chosen branch runs; nested conditions and dependants of the other are skipped, each with its reason."""
    compare = kit.compare("LessThan", 1, 2)
    inner = kit.condition("Inner", compare, then=[kit.writes("Deep")])
    result = kit.run(
        kit.condition("Gate", compare, then=[kit.writes("Yes")], otherwise=[kit.writes("No"), inner]),
        kit.writes("Rejoin", DependsOn=["No"]),
    )
    assert result.status == "Succeeded"
    statuses = {name: step.status for name, step in result.steps.items()}
    assert statuses == {
        "Gate": "Succeeded",
        "Yes": "Succeeded",
        "No": "Skipped",
        "Inner": "Skipped",
        "Deep": "Skipped",
        "Rejoin": "Skipped",
    }
    assert result.steps["No"].reason == "branch not taken: Gate has passed"
    assert result.steps["Deep"].reason == "it needs Inner, which was skipped"


def test_a_fail_step_fails_the_execution_with_its_evaluated_message(kit):
    """The message joins parameters, as SageMaker shows it."""
    declared = [{"Name": "Limit", "Type": "Float", "DefaultValue": 0.01}]
    fail = kit.fail("Reject", kit.join("rate above", kit.get("Parameters.Limit"), on=" "))
    gate = kit.condition("Gate", kit.compare("GreaterThan", kit.get("Parameters.Limit"), 1), otherwise=[fail])
    result = kit.run(gate, declared=declared, parameters={"Limit": "0.05"})
    assert (result.status, result.failed_step, result.reason) == ("Failed", "Reject", "rate above 0.05")
    (decided,) = kit.told("ConditionDecided")
    assert (decided.outcome, decided.text) == (False, "Limit (0.05) is at most 1")


def test_a_run_leaves_its_story_in_its_folder(kit):
    """definition, state, logs and results are there."""
    result = kit.run(kit.writes("A"), code_note="abc1234")
    for name in ("definition.json", "steps/A/log.txt", "steps/A/result.json"):
        assert (result.run_dir / name).is_file()
    state = json.loads((result.run_dir / "state.json").read_text())
    assert (state["status"], state["code_note"]) == ("Succeeded", "abc1234")
    (run,) = load_runs(kit.home)
    assert (run.id, run.status, run.pipeline) == (result.execution_id, "Succeeded", "foreign")


def test_runs_are_listed_in_the_order_they_started(kit):
    """Execution ids are lower case, unique and sort by time."""
    ids = [kit.run(kit.condition("Gate", kit.compare("Equals", 1, 1))).execution_id for _ in range(5)]
    assert ids == sorted(ids)
    assert [run.id for run in load_runs(kit.home)] == ids
    assert all(set(name) <= set("0123456789abcdefghijklmnopqrstuvwxyz-") for name in ids)


def test_a_broken_listener_changes_nothing_and_is_reported_once(kit, capsys):
    """Whoever watches cannot break a run."""

    def broken(event):
        raise RuntimeError("watcher down")

    result = kit.run(kit.writes("A"), listeners=[broken, kit.events.append])
    assert result.status == "Succeeded"
    assert capsys.readouterr().err.count("watcher down") == 1
    assert kit.told("StepSucceeded")


def test_events_tell_the_story_in_order(kit):
    """A listener sees the start, each step, and the end."""
    kit.run(kit.writes("A"))
    kinds = [type(event).__name__ for event in kit.events]
    assert kinds == ["ExecutionStarted", "StepStarted", "StepSucceeded", "ExecutionFinished"]
    started = kit.told("StepStarted")[0]
    assert started.arguments["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"].startswith("s3://b/runs/2")


def test_progress_is_the_newest_line_at_most_twice_a_second(kit):
    """A chatty job does not flood the listeners; carriage returns and colours are no obstacle."""
    chat = "for i in range(500): print(f'\\x1b[32m{i}\\x1b[0m', end='\\r', flush=True)"
    began = time.monotonic()
    kit.run(kit.processing("A", chat, outputs=()))
    lines = [event.line for event in kit.told("StepProgress")]
    assert 1 <= len(lines) <= 2 + 2 * (time.monotonic() - began)
    assert all(line.isdigit() for line in lines)


def test_what_libraries_log_and_lines_of_metrics_are_no_progress(kit, trainer):
    """Both stay in the log."""
    noise = ["WARNING: All log messages before absl::InitializeLog() is called", "I0000 00:00:17.2 port.cc] on"]
    noise += ["WARNING:root:overriding", "score=0.5;"]
    said = "import time\nfor line in ({}): print(line, flush=True); time.sleep(0.6)"
    code = said.format(", ".join(map(repr, ["Epoch 1/2, 4 s left", *noise])))
    result = kit.run(kit.training("T", code, metrics=("score",)), images=trainer)
    assert [event.line for event in kit.told("StepProgress")] == ["Epoch 1/2, 4 s left"]
    assert all(line in kit.log(result, "T") for line in noise)


def test_registering_gives_a_version_and_the_model_must_exist(kit):
    """RegisterModel resolves the model to a file of the store and takes the registry's next version."""
    model = kit.join(kit.output_of("A"), "file.txt")
    for version in (1, 2):
        result = kit.run(kit.writes("A"), kit.register("Register", model))
        assert properties(result, "Register", "ModelPackageVersion") == version
    arn = properties(result, "Register", "ModelPackageArn")
    assert arn.endswith("model-package/foreign-models/2")
    missing = kit.run(kit.writes("A"), kit.register("Register", kit.join(kit.output_of("A"), "nothing")))
    assert missing.status == "Failed"
    assert "does not exist" in missing.reason


def test_a_registry_of_ones_own_is_called_with_request_and_file(kit):
    """The caller's `register` gets the evaluated request and the file, and its refusal fails the step."""
    calls = []

    def register(arguments, model_data):
        calls.append((arguments["ModelPackageGroupName"], model_data.read_text()))
        return {"ModelPackageArn": "arn:mine", "ModelPackageVersion": 9}

    steps = (kit.writes("A"), kit.register("Register", kit.join(kit.output_of("A"), "file.txt")))
    result = kit.run(*steps, register=register)
    assert properties(result, "Register", "ModelPackageArn") == "arn:mine"
    assert calls == [("foreign-models", "hello")]

    def refuse(arguments, model_data):
        raise RuntimeError("group is frozen")

    assert "group is frozen" in kit.run(*steps, register=refuse).reason
    assert "has no registry" in kit.run(*steps, register=None).reason


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        ("none", "which no step wrote"),
        ("not json", "is not JSON"),
        ("other key", "has no 'value' at rate"),
    ],
)
def test_a_property_file_that_cannot_answer_fails_the_step_that_asks(kit, break_it, said):
    """A missing file, malformed JSON or a missing key is a failure that names file and path, never a branch."""
    content = {"none": "", "not json": "{", "other key": '{"rate": {"lower": 1}}'}[break_it]
    code = "import sys; name, text = sys.argv[1:]; text and open(name + '/report.json', 'w').write(text)"
    report = [{"PropertyFileName": "Report", "OutputName": "out", "FilePath": "report.json"}]
    evaluate = kit.processing(
        "Evaluate", code, arguments=["/opt/ml/processing/output/out", content], PropertyFiles=report
    )
    gate = kit.condition("Gate", kit.compare("LessThan", kit.read("Evaluate", "rate.value"), 1))
    result = kit.run(evaluate, gate)
    assert (result.status, result.failed_step) == ("Failed", "Gate")
    assert said in result.reason
    assert "report.json" in result.reason
