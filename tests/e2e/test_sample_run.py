"""The main job as its user runs it: the embedded sample, end to end, with real training."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.release.verify import is_included
from tests.android.kit import kotlin, needs_kotlin

pytestmark = pytest.mark.e2e

TILEGATE = Path(sys.executable).parent / "tilegate"
# `.ci/run` has done the README's run already: here are its home, and in `output.txt` what it printed.
DONE = os.environ.get("TILEGATE_FIRST_RUN")
# Another limit than the README's is decided again; one variant is enough for that.
OTHER_LIMIT = ("--max-fpr", "0.2", "--champion-rule", "not-proven-worse", "--variants", "float16")
TRAINED = ["TuneHyperparameters", "TrainModel"]
JOBS = ["ValidateData", "PreprocessTiles", "IndexTiles", *TRAINED, "EvaluateModel", "ConvertToTFLite"]


def tilegate(home, *words):
    return subprocess.run([TILEGATE, *words, "--home", home], capture_output=True, text=True, check=False, timeout=900)


def steps(output, word):
    return [name for name in JOBS if re.search(rf"^{name} +{word}", output, re.MULTILINE)]


def newest(home, pattern):
    found = (home / "store").glob(f"tilegate-local/runs/*/{pattern}")
    return max(found, key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    if DONE:
        home = Path(DONE)
        return home, subprocess.CompletedProcess(["tilegate", "run"], 0, (home / "output.txt").read_text(), "")
    home = tmp_path_factory.mktemp("home")
    return home, tilegate(home, "run")


def test_a_run_ends_with_a_bundle_in_the_registry_that_waits_for_approval(first):
    home, done = first
    assert done.returncode == 0, done.stdout + done.stderr
    assert steps(done.stdout, "done") == JOBS
    bundle = newest(home, "ConvertToTFLite/bundle/bundle")
    assert {path.name for path in bundle.iterdir()} == {
        *("MODEL_CARD.md", "evaluation.json", "golden", "model.json", "model.tflite"),
        *("preprocessing.json", "head.json"),
    }
    contract = json.loads((bundle / "model.json").read_text())
    assert (bundle / "model.tflite").stat().st_size == contract["bytes"]
    assert json.loads((bundle / "evaluation.json").read_text())["subject"]["model"] == contract["sha256"]
    listed = tilegate(home, "models", "list").stdout
    assert re.search(r"1 +PendingManualApproval", listed)
    shown = tilegate(home, "models", "show", "1").stdout
    assert contract["sha256"] in shown
    assert (home / "runs" / contract["run"]).is_dir()
    assert contract["classes"] == {"negative": "other", "positive": "promotion"}


def test_the_bundle_agrees_with_its_own_golden_screenshots(first):
    home, _ = first
    bundle = newest(home, "ConvertToTFLite/bundle/bundle")
    command = [TILEGATE, "device", "check", bundle]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_kotlin
def test_the_kotlin_of_the_app_makes_of_golden_screenshots_what_it_has_to(first, tmp_path):
    bundle = newest(first[0], "ConvertToTFLite/bundle/bundle")
    done = kotlin("score", bundle, *bundle.glob("golden/*.png"))
    assert done.returncode == 0, done.stderr
    answers = tmp_path / "answers.json"
    answers.write_text(done.stdout)
    command = [TILEGATE, "device", "check", bundle, "--scores", answers]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (0, "All 30 golden screenshots are answered as they must be\n")


def test_both_judges_enter_their_look_at_the_test_split(first):
    home, _ = first
    contract = json.loads((newest(home, "ConvertToTFLite/bundle/bundle") / "model.json").read_text())
    looks = {
        step: [json.loads(path.read_text()) for path in (home / "store/tilegate-local/ledger" / step).glob("*.json")]
        for step in ("EvaluateModel", "ConvertToTFLite")
    }
    assert [look["passed"] for entries in looks.values() for look in entries] == [True, True]
    assert looks["ConvertToTFLite"][0]["model"] == contract["sha256"]
    assert looks["EvaluateModel"][0]["test"] == looks["ConvertToTFLite"][0]["test"]


def test_an_identical_run_reuses_every_step(first):
    home, _ = first
    done = tilegate(home, "run")
    assert done.returncode == 0
    assert steps(done.stdout, "reused") == JOBS


def test_a_limit_that_the_sample_cannot_prove_is_rejected_and_says_how_much_is_missing(first):
    home, _ = first
    at_once = tilegate(home, "run", "--max-fpr", "0.01")
    assert at_once.returncode == 3
    assert re.search(r"Missing are for 1 %, .* test negatives \(.* new groups\)", at_once.stdout)
    assert not steps(at_once.stdout, "done")
    done = tilegate(home, "run", "--max-fpr", "0.01", "--train-anyway")
    assert done.returncode == 3
    assert "REJECTED" in done.stdout
    assert re.search(r"the limit is 1 %.*more .*are needed", done.stdout)
    assert not re.search(r"RegisterModel +done", done.stdout)


def test_a_release_manager_decides_once(first):
    home, _ = first
    done = tilegate(home, "models", "approve", "1", "--by", "Ada", "--reason", "looked at the report")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\* +1 +Approved", tilegate(home, "models", "list").stdout)
    shown = tilegate(home, "models", "show", "1").stdout
    assert "Approved by Ada: looked at the report" in shown
    again = tilegate(home, "models", "approve", "1", "--by", "Ada", "--reason", "again")
    assert again.returncode == 1
    assert "Traceback" not in again.stderr


@needs_kotlin
def test_an_app_that_follows_the_channel_runs_what_was_approved(first, tmp_path):
    home, _ = first
    words = ("--percent", "40", "--by", "Ada", "--reason", "a first share")
    assert tilegate(home, "release", "publish", "1", *words).returncode == 0
    (tmp_path / "public.pem").write_text(tilegate(home, "release", "key").stdout)
    bundle = newest(home, "ConvertToTFLite/bundle/bundle")
    golden = json.loads((bundle / "golden/golden.json").read_text())
    wanted = golden["screenshots"][0]
    for included in (True, False):
        name = next(str(n) for n in range(1000) if is_included("stable/1", str(n), 40) == included)
        picture = bundle / "golden" / wanted["file"]
        done = kotlin("app", home / "releases", tmp_path / "public.pem", "stable", name, picture)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["sequence"] == 1
        if included:
            answer = told["answers"][wanted["name"]]
            assert answer["score"] == pytest.approx(wanted["score"], abs=golden["score_tolerance"])
            assert answer["positive"] == (wanted["score"] > golden["threshold"])
        else:
            assert told["answers"] is None


def test_after_the_approval_another_limit_runs_only_what_decides_and_compares_with_the_champion(first):
    home, _ = first
    done = tilegate(home, "run", *OTHER_LIMIT)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert steps(done.stdout, "reused") == ["ValidateData", "PreprocessTiles", "IndexTiles", *TRAINED]
    assert steps(done.stdout, "done")[0] == "EvaluateModel"
    assert re.search(r"EvaluateModel +done in .*: input 'champion' changed; .*and \d more", done.stdout)
    gate = json.loads((newest(home, "EvaluateModel/evaluation") / "evaluation.json").read_text())["gate"]
    assert gate["champion"]["champion"].removeprefix("champion ") in tilegate(home, "models", "show", "1").stdout


# What compares executions, and no more: 20 at most.
FIGURES = {
    *(f"{model}/{name}" for model in ("test", "tflite") for name in ("fpr", "fpr_upper", "tpr", "tpr_lower", "pauc")),
    *("tflite/bytes", "data/screenshots", "data/groups", "data/quarantined", "tuning/objective", "seconds"),
    *("validation/pauc", "validation/auc", "validation/loss"),
}
PAGES = {
    *(f"{model}/{name}" for model in ("test", "tflite") for name in ("report.html", "evaluation.json", "slices.csv")),
    *(f"{model}/{name}" for model in ("test", "tflite") for name in ("det.png", "roc.png", "evaluation.json")),
    *("data/report.html", "data/validation.json", "MODEL_CARD.md"),
}


@pytest.fixture(scope="module")
def recorded(first):
    """MLflow's client on the home, and the executions that it has, oldest first."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{first[0]}/mlflow.db")
    experiment = client.get_experiment_by_name("tilegate")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"], max_results=500)
    return client, [run for run in runs if "mlflow.parentRunId" not in run.data.tags]


def children(client, run):
    return client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")


def pages(client, run, folder=None):
    entries = client.list_artifacts(run.info.run_id, folder)
    return {path for entry in entries for path in (pages(client, run, entry.path) if entry.is_dir else {entry.path})}


def test_mlflow_answers_for_an_execution_at_a_glance_whether_it_ran_or_was_reused(recorded):
    client, executions = recorded
    for execution in executions[:2]:
        tags = execution.data.tags
        assert (execution.info.status, tags["verdict"], tags["model_version"]) == ("FINISHED", "passed", "1")
        assert tags["dataset"].startswith("promotion, 1,200 screenshots (")
        assert set(execution.data.metrics) == FIGURES
        assert pages(client, execution) >= PAGES
        note = tags["mlflow.note.content"]
        assert note.startswith("**Passed**")
        for place in ("data/report.html", "tflite/report.html", "MODEL_CARD.md"):
            assert f"/runs/{execution.info.run_id}/artifacts/{place}?" in note
        assert "#/models/tilegate-screenshots/versions/1?" in note
        (entry,) = execution.inputs.dataset_inputs
        profile = json.loads(entry.dataset.profile)
        assert (profile["accepted"], profile["groups"], profile["classes"]) == (
            1200,
            240,
            {"other": 720, "promotion": 480},
        )
        assert set(profile["splits"]) == {"train", "validation", "calibration", "test"}
    assert {run.info.run_name for run in children(client, executions[0])} >= {*JOBS, "RegisterModel"}


def test_mlflow_shows_a_rejection_as_an_answer_with_its_reason(recorded):
    _, executions = recorded
    rejected = [run for run in executions if run.data.params["MaxFpr"] == "0.01"]
    assert len(rejected) == 2
    for run in rejected:
        assert (run.info.status, run.data.tags["verdict"]) == ("FINISHED", "rejected")
    note = rejected[1].data.tags["mlflow.note.content"]
    assert note.startswith("**Rejected**: ")
    assert "the limit is 1 %" in note.partition("\n")[0]


def test_mlflow_has_trials_with_their_parameters_and_curves(recorded):
    client, (execution, *_) = recorded
    tuning = next(run for run in children(client, execution) if run.info.run_name == "TuneHyperparameters")
    trials = {run.info.run_name: run for run in children(client, tuning)}
    assert set(trials) == {"trial 001", "trial 002"}
    for trial in trials.values():
        assert {"fine-tune-learning-rate", "augment", "fine-tune-blocks"} <= set(trial.data.params)
        assert trial.data.metrics["objective"] <= tuning.data.metrics["tuning/objective"]
    curve = {
        name: [point.step for point in client.get_metric_history(trials["trial 002"].info.run_id, name)]
        for name in ("validation/pauc", "train/loss")
    }
    assert curve == {"validation/pauc": [0, 1, 2, 3], "train/loss": [1, 2, 3]}


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")  # of MLflow's own modules
def test_the_registered_version_leads_back_and_scores_a_screenshots_bytes(first, recorded):
    home, _ = first
    client, (execution, *_) = recorded
    import mlflow
    import pandas as pd

    version = client.get_model_version("tilegate-screenshots", "1")
    assert version.run_id == execution.info.run_id
    contract = json.loads((newest(home, "ConvertToTFLite/bundle/bundle") / "model.json").read_text())
    told = {name: version.tags[name] for name in ("verdict", "variant", "threshold", "tflite_sha256")}
    assert told["tflite_sha256"] in version.description
    assert told["verdict"] == "passed"
    assert float(version.tags["fpr_upper"]) <= 0.15
    (model,) = execution.outputs.model_outputs
    source = client.get_logged_model(model.model_id).artifact_location
    assert source == version.source
    scorer = mlflow.pyfunc.load_model(source)
    bundle = Path(source.removeprefix("file://")) / "bundle"
    golden = json.loads((bundle / "golden" / "golden.json").read_text())["screenshots"][:3]
    pictures = pd.DataFrame({"image": [(bundle / "golden" / one["file"]).read_bytes() for one in golden]})
    scores = scorer.predict(pictures)["score"].tolist()
    assert scores == pytest.approx([one["score"] for one in golden], abs=1e-4)
    assert scorer.input_example is not None
    assert (contract["quantization"], str(contract["threshold"])) == (told["variant"], told["threshold"])
