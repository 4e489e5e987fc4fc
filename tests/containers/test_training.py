"""The training image under SageMaker's contract: its verb, its files, its end, and AWS's own toolkit around it."""

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.containers


@dataclass(frozen=True)
class TrainingJob:
    """The folder of a training job, as the platform prepares it, and its containers."""

    docker: object
    image: str
    ml: Path

    def configure(self, **changed):
        path = self.ml / "input/config/hyperparameters.json"
        own = {
            name if name.startswith("sagemaker_") else name.replace("_", "-"): text for name, text in changed.items()
        }
        path.write_text(json.dumps(json.loads(path.read_text()) | own))

    @property
    def options(self):
        return ("--volume", f"{self.ml}:/opt/ml")

    @property
    def failure(self):
        return (self.ml / "output/failure").read_text()

    def run(self, *words, options=()):
        return self.docker.run(self.image, *words, options=(*self.options, *options))

    def stop_after(self, text, name):
        """Start the job, stop it as the platform does once its log has `text`; return exit code, log and seconds."""
        self.docker(
            "run",
            "--detach",
            "--name",
            name,
            *self.docker.CLOSED,
            "--user",
            "1000:1000",
            *self.options,
            self.image,
            "train",
        )
        try:
            for _ in range(240):
                log = self.docker("logs", name, stderr=subprocess.STDOUT).stdout
                if text in log or self.docker("inspect", "-f", "{{.State.Running}}", name).stdout.strip() != "true":
                    break
                time.sleep(0.5)
            assert text in log, log[-2000:]
            began = time.monotonic()
            self.docker("stop", "--time", "120", name)
            seconds = time.monotonic() - began
            code = int(self.docker("inspect", "-f", "{{.State.ExitCode}}", name).stdout)
            return code, log, seconds
        finally:
            self.docker("rm", "--force", name)


@pytest.fixture
def job(docker, model_image, finished, tmp_path):
    """The finished run's TrainModel once more, in a place of its own that the container's user may write to."""
    ml = tmp_path / "ml"
    staged = finished.run_dir / "steps/TrainModel/opt/ml"
    shutil.copytree(staged / "input", ml / "input")
    for folder in ("model", "output/data", "checkpoints", "code"):
        (ml / folder).mkdir(parents=True)
    for path in [ml, *ml.rglob("*")]:
        shutil.chown(path, 1000, 1000)
    return TrainingJob(docker, model_image, ml)


def test_the_word_train_alone_starts_a_training(job):
    """A tuning job gives its containers no other word, and no variable of a toolkit."""
    job.configure(fine_tune_epochs="1")
    done = job.run("train")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "validation:objective=" in done.stdout
    assert (job.ml / "model/training.json").is_file()
    assert not (job.ml / "output/failure").exists()


def test_a_failure_is_told_in_a_sentence_that_the_service_keeps_whole(job):
    job.configure(backbone="huge")
    done = job.run("train")
    assert done.returncode == 1
    assert "huge" in job.failure
    assert 0 < len(job.failure) <= 1024
    assert "Traceback" not in job.failure + done.stderr


def test_another_word_than_train_is_refused(job):
    done = job.run("serve")
    assert done.returncode == 2
    assert "serve" in done.stderr


def test_a_training_that_is_stopped_ends_in_seconds_and_goes_on_from_its_checkpoint(job):
    job.configure(fine_tune_blocks="3", fine_tune_epochs="1000")
    code, before, seconds = job.stop_after("epoch=1;", "tilegate-stopped")
    print(f"\nstopped in {seconds:.1f} s")
    assert code == 128 + 15
    assert seconds < 30
    assert "SIGTERM" in job.failure
    assert any((job.ml / "checkpoints").iterdir())
    (job.ml / "output/failure").unlink()
    _, log, _ = job.stop_after("epoch=2;", "tilegate-resumed")
    assert "Going on after epoch 1" in log
    # The epochs that are done are told again, by the same numbers, so that the job's curves are whole.
    assert {line for line in before.splitlines() if "epoch=" in line} <= set(log.splitlines())


def test_aws_own_training_toolkit_runs_the_program_in_script_mode(job):
    """`sagemaker_program` in /opt/ml/code, told all by SM_* and by options, as the toolkit's `train` does it."""
    (job.ml / "code/train.py").write_text("import sys\nfrom steps.train.__main__ import main\nsys.exit(main([]))\n")
    job.configure(sagemaker_program='"train.py"', sagemaker_region='"eu-west-1"', fine_tune_epochs="1")
    resources = json.loads((job.ml / "input/config/resourceconfig.json").read_text())
    toolkit = ("-m", "sagemaker_training.cli.train")
    host = resources["current_host"]
    done = job.run(*toolkit, options=("--add-host", f"{host}:127.0.0.1", "--entrypoint", "python3"))
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "Reporting training SUCCESS" in done.stdout + done.stderr
    assert (job.ml / "model/training.json").is_file()
