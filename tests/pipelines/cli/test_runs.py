"""Runs of this machine as a person looks at them: in a list, one by one, by their logs and pages."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.cli import cli, output
from pipelines.executor.files import write_json
from pipelines.runs.local_history import Outputs
from steps.core.common.errors import UserError
from tests.docs.fields import documented

RUN = "20261129-092744-z1oj"
RATE = {"count": 4, "trials": 126, "value": 0.03}
GATE = {
    "confidence": 0.95,
    "operating_point": None,
    "fpr": RATE | {"upper": 0.09, "lower": 0.01},
    "tpr": RATE | {"value": 0.9, "lower": 0.8, "upper": 1.0},
    "max_fpr": 0.15,
}
COUNTS = {"accepted": 1200, "groups": 240, "quarantined": 0, "quarantined_by_reason": {}, "ungrouped": 0}
COUNTS |= {
    "names": {"0": "other", "1": "promo"},
    "class_names": {"0": [], "1": []},
    "classes": {"other": 7, "promo": 5},
}


def written(home, run, step, output, files):
    """Leave what a step has published."""
    uri = f"s3://tilegate-local/runs/{run}/{step}/{output}"
    folder = home / "store" / uri.removeprefix("s3://")
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    result = home / "runs" / run / "steps" / step / "result.json"
    result.parent.mkdir(parents=True, exist_ok=True)
    write_json(result, {"status": "Succeeded", "outputs": {output: {"uri": uri}}, "properties": {}})


def a_run(home, name, status="Succeeded", **more):
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    steps = {
        "ValidateData": {"status": "Succeeded", "seconds": 8.0, "reused": True, "reason": "same code"},
        "TrainModel": {"status": "Succeeded", "seconds": 61.0, "reused": False, "reason": "no earlier run"},
    }
    state = {
        "execution_id": name,
        "pipeline_name": "tilegate",
        "status": status,
        "started": 1795944464.0,
        "seconds": 222.0,
        "parameters": {"DatasetUri": "s3://tilegate-local/datasets/590c2c87cf966f84"},
        "failed_step": None,
        "reason": None,
        "code_note": "",
        "steps": steps,
    }
    write_json(folder / "state.json", {**state, **more})
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with a run that passed, and a later one whose candidate was rejected."""
    monkeypatch.setenv("TILEGATE_HOME", str(tmp_path))
    monkeypatch.delenv("TILEGATE_ENV", raising=False)
    a_run(tmp_path, RUN)
    written(tmp_path, RUN, "ValidateData", "report", {"validation.json": COUNTS, "report.html": "<html>"})
    evidence = {"evidence/evaluation.json": {"gate": GATE, "subject": {}}, "evidence/report.html": "<html>"}
    written(tmp_path, RUN, "ConvertToTFLite", "bundle", {**evidence, "bundle/model.tflite": "bytes"})
    registered = {"ModelPackageGroupName": "g", "ModelPackageVersion": 1}
    registered["ModelApprovalStatus"] = "PendingManualApproval"
    register = tmp_path / "runs" / RUN / "steps" / "RegisterModel" / "result.json"
    register.parent.mkdir()
    write_json(register, {"status": "Succeeded", "outputs": {}, "properties": registered})
    later = a_run(tmp_path, "20261130-101010-aaaa", "Failed", failed_step="RejectModel", reason="the FPR is too high")
    for job, text in (("TrainModel", "Epoch 1/2, 4 s left\nbar 1%\rbar 99%\nlast"), ("Tune/trials/t-001", "a trial\n")):
        (later / "steps" / job).mkdir(parents=True)
        (later / "steps" / job / "log.txt").write_text(text, newline="")
    return tmp_path


def say(*words):
    return CliRunner().invoke(cli, words, catch_exceptions=False)


def test_the_list_says_verdict_data_and_version(home):
    first, second = json.loads(say("runs", "--json").output)
    assert set(first) == documented("runs")
    assert (first["run"], first["status"], first["screenshots"]) == (RUN, "Succeeded", 1200)
    assert (first["fpr_upper"], first["version"], first["channels"]) == (0.09, 1, [])
    assert (second["status"], second["failed_step"]) == ("Rejected", "RejectModel")
    header, one, two = say("runs").output.splitlines()
    assert header.split()[:3] == ["run", "status", "started"]
    assert "1,200 of 590c2c87" in one
    assert "9.00%" in one
    assert two.endswith("RejectModel; the FPR is too high")
    assert len(json.loads(say("runs", "--last", "1", "--json").output)) == 1


@pytest.mark.parametrize("width", [60, 100, 200])
def test_a_table_is_never_wider_than_the_terminal(home, monkeypatch, width):
    monkeypatch.setattr(output, "terminal_width", lambda: width)
    lines = say("runs").output.splitlines()
    assert max(map(len, lines)) <= width
    assert "the FPR is too high" in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("words", [("status", RUN), ("runs", "show", RUN), ("runs", "show", "20261129")], ids=" ".join)
def test_one_run_shows_its_steps_its_verdict_and_where_things_are(home, words):
    output = say(*words).output
    assert output.startswith(f"{RUN}\nSucceeded, after 3 min 42 s")
    assert "TrainModel              Succeeded   1 min 01 s" in output
    assert "reused: same code" in output
    assert "FPR: 3.00% (4 of 126 negatives), at most 9.00% at 95%" in output
    told = json.loads(say(*words, "--json").output)
    assert told["version"] == "1"
    assert set(told) | set(told["steps"][0]) == documented("status")
    for name, end in (("report", "evidence/report.html"), ("bundle", "bundle/bundle"), ("data_page", "report.html")):
        assert told[name].endswith(end)
        assert Path(told[name]).exists()


def test_options_of_the_group_are_meant_for_the_command_in_it(home):
    assert json.loads(say("runs", "--json", "--home", str(home), "show", RUN).output)["execution"] == RUN


def test_status_without_a_name_is_the_newest_and_watching_ends_with_its_exit_code(home):
    done = say("status", "--watch")
    assert done.exit_code == 3
    assert "Rejected, after" in done.output
    assert "Reason: the FPR is too high" in done.output


def test_logs_of_a_run_are_told_job_by_job(home):
    told = say("logs", "20261130").output.splitlines()
    assert sorted(told) == [
        "TrainModel  Epoch 1/2, 4 s left",
        "TrainModel  bar 99%",
        "TrainModel  last",
        "t-001  a trial",
    ]
    assert say("logs", "20261130", "Tune").output == "t-001  a trial\n"
    with pytest.raises(UserError, match="has no step 'Nope' that has begun: TrainModel"):
        say("logs", "20261130", "Nope")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [("x", "there is no run 'x'"), ("2026", "2 runs begin with '2026'"), ("../x", "there is no run")],
)
def test_a_run_that_is_not_there_or_not_the_only_one_is_one_sentence(home, wanted, says):
    for words in (("status", wanted), ("runs", "show", wanted), ("logs", wanted)):
        with pytest.raises(UserError, match=says):
            say(*words)


def test_a_report_without_a_browser_is_its_path(home):
    told = say("report", RUN).output.strip()
    assert told.endswith("ConvertToTFLite/bundle/evidence/report.html")
    assert Path(told).exists()
    assert say("report", RUN, "--data").output.strip().endswith("ValidateData/report/report.html")
    with pytest.raises(UserError, match="is Failed and has no such page"):
        say("report")
    with pytest.raises(UserError, match="has no version 7"):
        say("report", "7")


def test_the_summary_names_the_bundle_and_what_to_do_next(home):
    from pipelines.executor.store import LocalStore

    told = list(Outputs(home / "runs" / RUN, None, LocalStore(home / "store")).lines())
    names = [name for name, _ in told]
    assert names.index("Bundle") < names.index("Next")
    assert dict(told)["Bundle"].endswith("ConvertToTFLite/bundle/bundle")
    assert ("", "tilegate models approve 1 --by NAME --reason TEXT    # or reject") in told


def test_nothing_is_a_sentence_and_an_empty_list(tmp_path):
    assert say("runs", "--home", str(tmp_path), "--json").output == "[]\n"
    with pytest.raises(UserError, match="there are no runs in"):
        say("status", "--home", str(tmp_path))
