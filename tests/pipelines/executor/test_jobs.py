"""The /opt/ml contract of a job: where things lie, what it is told, and how its end is explained."""

import io
import json
import os
import tarfile

import pytest

from pipelines.executor.job import Image
from tests.pipelines.executor.conftest import properties


def test_a_processing_job_finds_everything_under_its_own_opt_ml(kit):
    """Paths in arguments, environment and configuration point into the job's folder; nothing of /opt/ml is needed."""
    code = (
        "import json, os, sys\n"
        "assert open(os.environ['DATA'] + '/a.txt').read() == 'x', os.environ['DATA']\n"
        "root = os.environ['CONFIG'].partition(':')[2]\n"
        "config = json.load(open(root + '/processingjobconfig.json'))\n"
        "hosts = json.load(open(root + '/resourceconfig.json'))['hosts']\n"
        "print(json.dumps([sys.argv[1:], config['ProcessingJobName'], hosts]))"
    )
    kit.store.put_bytes(b"x", "s3://b/raw/a.txt")
    env = {"DATA": "/opt/ml/processing/input/raw", "CONFIG": "file:/opt/ml/config", "OTHER": "/opt/mlflow"}
    words = ["--in=/opt/ml/processing/input/raw", "keep/opt/ml/x", "s3://b/opt/ml"]
    result = kit.run(kit.processing("A", code, inputs={"raw": "s3://b/raw"}, env=env, arguments=words, outputs=()))
    assert result.status == "Succeeded", result.reason
    arguments, name, hosts = json.loads(kit.log(result, "A"))
    root = result.run_dir / "steps" / "A"
    assert arguments == [f"--in={root}/opt/ml/processing/input/raw", "keep/opt/ml/x", "s3://b/opt/ml"]
    assert (name, hosts) == (f"pipelines-{result.execution_id}-A", ["algo-1"])


def test_one_object_lands_under_its_name_and_a_prefix_as_a_tree(kit):
    """S3Prefix semantics: s3://b/raw/a.txt → a.txt, s3://b/raw → the whole tree."""
    kit.store.put_bytes(b"1", "s3://b/raw/a.txt")
    kit.store.put_bytes(b"2", "s3://b/raw/deep/b.txt")
    code = "import os; print(sorted(os.path.join(d, f) for d, _, fs in os.walk('../processing/input') for f in fs))"
    result = kit.run(kit.processing("A", code, inputs={"one": "s3://b/raw/a.txt", "all": "s3://b/raw/"}, outputs=()))
    names = ["all/a.txt", "all/deep/b.txt", "one/a.txt"]
    assert kit.log(result, "A").strip() == str([f"../processing/input/{name}" for name in names])


def test_a_manifest_file_brings_the_objects_that_it_lists(kit):
    """ManifestFile semantics: the listed keys under their prefix, no others; what it lists must be there."""
    for name in ("a.txt", "deep/b.txt", "c.txt"):
        kit.store.put_bytes(name.encode(), f"s3://b/raw/{name}")
    step = kit.processing(
        "A",
        "import pathlib; print(*sorted(p.name for p in pathlib.Path('../processing/input/some').rglob('*.txt')))",
        inputs={"some": "s3://b/lists/one.manifest"},
        outputs=(),
        cache=True,
    )
    step["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3DataType"] = "ManifestFile"

    def listing(*entries):
        kit.store.put_bytes(json.dumps([*entries]).encode(), "s3://b/lists/one.manifest")
        return kit.run(step)

    result = listing({"prefix": "s3://b/raw/"}, "a.txt", "deep/b.txt")
    assert kit.log(result, "A").strip() == "a.txt b.txt"
    assert listing({"prefix": "s3://b/raw/"}, "deep/b.txt", "a.txt").steps["A"].reused
    assert "lists gone.txt, and there is no object" in listing({"prefix": "s3://b/raw/"}, "gone.txt").reason
    assert "is not a ManifestFile" in listing("a.txt").reason
    assert "cannot name an object" in listing({"prefix": "s3://b/raw"}, "../../etc/passwd").reason


def test_the_users_credentials_stay_outside(kit, trainer, monkeypatch):
    """A job gets PATH, HOME and what the platform and the definition state; later ones win."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do-not-leak")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    step = kit.training("A", code, env={"MINE": "definition", "SM_NUM_CPUS": "definition", "LANG": "definition"})
    result = kit.run(step, images=trainer)
    seen = json.loads(kit.log(result, "A"))
    assert {seen[key] for key in ("MINE", "SM_NUM_CPUS", "LANG")} == {"definition"}
    assert not {name for name in seen if name.startswith("AWS_")}
    assert "PYTHONPATH" not in seen
    assert seen["HOME"] == os.environ["HOME"]


def test_a_processing_job_without_entrypoint_uses_that_of_its_image(kit):
    """ContainerArguments follow the image's own entrypoint, and the resolver hears of them."""
    asked = []

    def images(uri, command):
        asked.append((uri, command))
        return Image(("python3", "-c", "import sys; print(sys.argv[1:])"), "d")

    step = kit.processing("A", "", arguments=["--x", "1"], outputs=())
    del step["Arguments"]["AppSpecification"]["ContainerEntrypoint"]
    result = kit.run(step, images=images)
    assert kit.log(result, "A").strip() == "['--x', '1']"
    assert asked == [("111122223333.dkr.ecr.eu-west-1.amazonaws.com/foreign:1", ("--x", "1"))]


def test_an_image_that_cannot_be_resolved_fails_the_step(kit):
    def images(uri, command):
        raise LookupError("build it first")

    result = kit.run(kit.writes("A"), images=images)
    assert (result.status, result.failed_step) == ("Failed", "A")
    assert "build it first" in result.reason


def test_outputs_are_published_only_after_exit_zero(kit):
    """A job that fails after writing leaves nothing in the store."""
    code = "open('../processing/output/out/file.txt', 'w').write('half'); raise SystemExit(3)"
    result = kit.run(kit.processing("A", code))
    assert (result.status, result.exit_code) == ("Failed", 3)
    assert not kit.store.exists(f"s3://b/runs/{result.execution_id}")


def test_a_continuous_output_is_there_also_when_its_job_failed(kit):
    """As in SageMaker, where such an output is uploaded while the job runs."""
    code = "open('../processing/output/report/page.html', 'w').write('why'); raise SystemExit(3)"
    step = kit.processing("A", code, outputs=("report", "out"))
    step["Arguments"]["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3UploadMode"] = "Continuous"
    result = kit.run(step)
    uri = f"s3://b/runs/{result.execution_id}/A/report"
    assert kit.store.path(f"{uri}/page.html").read_text() == "why"
    (failed,) = kit.told("StepFailedEvent")
    assert failed.uris == {"report": uri}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('bad tile')", "exit code 1: ValueError: bad tile"),
        (
            "import sys; open('../output/message', 'w').write('too few negatives'); sys.exit(4)",
            "exit code 4: too few negatives",
        ),
        ("import sys; print('gate: no'); print(); sys.exit(5)", "exit code 5: gate: no"),
    ],
)
def test_a_failure_is_explained_in_the_jobs_own_words(kit, code, reason):
    """The message file first, else the last line that is not a frame of a traceback."""
    assert kit.run(kit.processing("A", code, outputs=())).reason == reason


@pytest.mark.parametrize("mode", ["EndOfJob", "Continuous"])
def test_a_job_that_leaves_a_link_fails_and_nothing_of_where_it_leads_is_stored_or_told(kit, tmp_path, mode):
    (tmp_path / "secret").write_text("s3cret")
    code = f"import os; os.symlink({str(tmp_path)!r}, '../processing/output/out/link')"
    step = kit.processing("A", code)
    step["Arguments"]["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3UploadMode"] = mode
    result = kit.run(step)
    assert (result.status, result.failed_step) == ("Failed", "A")
    assert "the output link is a link or not a regular file" in result.reason
    message = f"; os.symlink({str(tmp_path / 'secret')!r}, '../output/message'); raise SystemExit('mine')"
    step["Arguments"]["AppSpecification"]["ContainerEntrypoint"][-1] += message
    result = kit.run(step)
    assert result.reason == "exit code 1: mine"
    assert not [path for path in kit.store.root.rglob("*") if path.name in ("link", "secret")]


def test_a_command_that_does_not_exist_and_one_that_prints_nothing_are_explained(kit):
    missing = kit.processing("A", "", outputs=())
    missing["Arguments"]["AppSpecification"]["ContainerEntrypoint"] = ["/opt/program/nothing"]
    assert "/opt/program/nothing" in kit.run(missing).reason
    silent = kit.run(kit.processing("A", "raise SystemExit(9)", outputs=()))
    assert silent.reason.startswith("exit code 9: the job printed nothing; see ")


def test_an_input_that_does_not_exist_is_named(kit):
    result = kit.run(kit.processing("A", "", inputs={"raw": "s3://b/none"}, outputs=()))
    assert "no objects under s3://b/none" in result.reason


def test_a_job_that_runs_too_long_is_ended(kit):
    """StoppingCondition.MaxRuntimeInSeconds holds here too."""
    step = kit.processing("A", "import time; time.sleep(60)", outputs=())
    step["Arguments"]["StoppingCondition"] = {"MaxRuntimeInSeconds": 1}
    assert "MaxRuntimeInSeconds = 1" in kit.run(step).reason


def test_a_job_that_changes_its_input_in_place_fails(kit):
    """Inputs may be links into the store; as root a job can write through them, which must not go unnoticed."""
    kit.store.put_bytes(b"good", "s3://b/raw/a.txt")
    code = "import os; p = '../processing/input/raw/a.txt'; os.chmod(p, 0o644); open(p, 'w').write('evil')"
    result = kit.run(kit.processing("A", code, inputs={"raw": "s3://b/raw"}, outputs=()))
    assert "changed its input a.txt in place" in result.reason


def test_a_prefix_that_grows_while_a_job_reads_it_is_no_change(kit):
    """Others may add objects under an input's prefix at any time."""
    kit.store.put_bytes(b"1", "s3://b/raw/a.txt")
    new = kit.store.path("s3://b/raw/b.txt")
    result = kit.run(kit.processing("A", f"open({str(new)!r}, 'w')", inputs={"raw": "s3://b/raw"}, outputs=()))
    assert result.status == "Succeeded"


def test_outputs_may_not_overlap(kit):
    """Two outputs at one place would take each other's objects away."""
    step = kit.writes("A", outputs=("out", "more"))
    for output in step["Arguments"]["ProcessingOutputConfig"]["Outputs"]:
        output["S3Output"]["S3Uri"] = kit.join("s3://b", kit.get("Execution.PipelineExecutionId"))
    assert "overlaps with" in kit.run(step).reason


def test_a_prefix_shared_between_executions_keeps_what_lies_there(kit):
    """As on S3, putting objects under a fixed prefix takes nothing away."""
    kit.store.put_bytes(b"old", "s3://b/shared/old.txt")
    step = kit.writes("A")
    step["Arguments"]["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"] = "s3://b/shared"
    for _ in range(2):
        assert kit.run(step).status == "Succeeded"
        assert sorted(path.name for path in kit.store.path("s3://b/shared").iterdir()) == ["file.txt", "old.txt"]


def test_a_step_is_reused_whatever_others_have_put_under_a_shared_prefix_and_not_when_its_own_is_gone(kit):
    step = kit.writes("A", cache=True)
    step["Arguments"]["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"] = "s3://b/shared"
    kit.run(step)
    kit.store.put_bytes(b"another night's", "s3://b/shared/other.txt")
    assert kit.run(step).steps["A"].reused
    kit.store.path("s3://b/shared/file.txt").unlink()
    again = kit.run(step)
    assert not again.steps["A"].reused
    assert "missing or changed" in again.steps["A"].reason
    assert kit.store.path("s3://b/shared/other.txt").exists()


# -- training ------------------------------------------------------------------------------------------------------

PROGRAM = """
import json, os, pathlib, sys
config = pathlib.Path(os.environ['SM_INPUT_CONFIG_DIR'])
print('seen', json.dumps({
    'argv': sys.argv[1:],
    'hyperparameters': json.loads((config / 'hyperparameters.json').read_text()),
    'channels': sorted(json.loads((config / 'inputdataconfig.json').read_text())),
    'env': {k: v for k, v in os.environ.items() if k.startswith('SM_') or k == 'TRAINING_JOB_NAME'},
    'data': pathlib.Path(os.environ['SM_CHANNEL_TRAIN'], 'a.txt').read_text(),
}))
for epoch in range(3): print(f'loss={1 / (epoch + 1)}; other=text')
pathlib.Path(os.environ['SM_MODEL_DIR'], 'weights.bin').write_bytes(b'w' * 100)
pathlib.Path(os.environ['SM_MODEL_DIR'], 'deep').mkdir()
pathlib.Path(os.environ['SM_MODEL_DIR'], 'deep', 'spec.json').write_text('{}')
"""


def seen_by(kit, result, step):
    (line,) = [line for line in kit.log(result, step).splitlines() if line.startswith("seen ")]
    return json.loads(line.removeprefix("seen "))


def test_a_training_job_gets_channels_hyperparameters_and_variables(kit, trainer):
    """The contract of SageMaker's training images: files, SM_* variables, and the argument `train`."""
    kit.store.put_bytes(b"tiles", "s3://b/tiles/a.txt")
    hyperparameters = {"learning-rate": "0.01", "mixed": "true", "name": "v3"}
    step = kit.training(
        "Train", PROGRAM, channels={"train": "s3://b/tiles"}, hyperparameters=hyperparameters, metrics=("loss", "other")
    )
    result = kit.run(step, images=trainer)
    assert result.status == "Succeeded", result.reason
    seen = seen_by(kit, result, "Train")
    assert seen["argv"] == ["train"]
    assert seen["hyperparameters"] == hyperparameters
    assert (seen["channels"], seen["data"]) == (["train"], "tiles")
    env = seen["env"]
    assert env["SM_NUM_CPUS"] == str(os.cpu_count())
    assert env["TRAINING_JOB_NAME"] == properties(result, "Train", "TrainingJobName")


def test_a_training_job_leaves_a_model_archive_and_its_last_metrics(kit, trainer):
    """model.tar.gz is the same bytes for the same files; each match is told as it is printed, the last one is kept."""
    kit.store.put_bytes(b"tiles", "s3://b/tiles/a.txt")
    step = kit.training("Train", PROGRAM, channels={"train": "s3://b/tiles"}, metrics=("loss", "other"))
    first, second = kit.run(step, images=trainer), kit.run(step, images=trainer)
    final = {item["MetricName"]: item["Value"] for item in properties(first, "Train", "FinalMetricDataList")}
    assert final == {"loss": pytest.approx(1 / 3)}
    told = [(event.index, event.value) for event in kit.told("StepMetric")]
    assert told == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    archives = [
        kit.store.path(properties(result, "Train", "ModelArtifacts.S3ModelArtifacts")).read_bytes()
        for result in (first, second)
    ]
    assert archives[0] == archives[1]
    with tarfile.open(fileobj=io.BytesIO(archives[0])) as tar:
        assert {member.name: (member.mtime, member.uid) for member in tar} == {
            "deep/spec.json": (0, 0),
            "weights.bin": (0, 0),
        }
    uri = properties(first, "Train", "ModelArtifacts.S3ModelArtifacts")
    assert uri == f"s3://b/models/pipelines-{first.execution_id}-Train/output/model.tar.gz"


def test_a_failure_file_explains_a_failed_training(kit, trainer):
    code = "import os; open(os.environ['SM_OUTPUT_DIR'] + '/failure', 'w').write('loss is NaN'); raise SystemExit(1)"
    assert kit.run(kit.training("Train", code), images=trainer).reason == "exit code 1: loss is NaN"
