"""The seam at which a job is started: by default as a process, or however the caller says."""

import os
import sys
from dataclasses import replace

from pipelines.executor.containers import ContainerEngine
from pipelines.executor.images import Image
from pipelines.executor.job import Job
from pipelines.executor.launch import Launched, as_subprocess


def job(**changed):
    known = Job(
        name="pipelines-1-A",
        image=Image(("python3", "-m", "steps.train"), "sha256:abc"),
        command=("python3", "-m", "steps.train", "--in=/opt/ml/input"),
        environment={"GIVEN": "/opt/ml/x"},
        inputs=(),
        folders=(),
        config={},
        message_file="/opt/ml/output/failure",
        contract={"TRAINING_JOB_NAME": "pipelines-1-A", "SM_MODEL_DIR": "/opt/ml/model"},
    )
    return replace(known, **changed)


def test_what_a_launch_says_is_run_and_cleaned_up_after_even_if_the_job_fails(kit):
    after = []

    def launch(started, root, extra):
        usual = as_subprocess(started, root, extra)
        command = [sys.executable, "-c", f"print('instead of', {started.name!r}); raise SystemExit({len(after)})"]
        return Launched(command, usual.cwd, usual.environment, lambda: after.append(started.name))

    for code, status in ((0, "Succeeded"), (1, "Failed")):
        result = kit.run(kit.processing("A", "print('no')", outputs=()), launch=launch)
        assert result.status == status, code
        assert kit.log(result, "A").startswith("instead of pipelines-")
    assert len(after) == 2


def test_a_container_is_closed_and_told_only_what_the_platform_tells(tmp_path, monkeypatch):
    """Paths stay the container's; SM_* variables are a toolkit's, and the machine's own stay outside."""
    (tmp_path / "opt/ml").mkdir(parents=True)
    monkeypatch.setenv("HOST_SECRET", "x")
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    monkeypatch.setattr(os, "getegid", lambda: 20)
    launched = ContainerEngine(("podman",)).launch(job(), tmp_path, {"EXTRA": "1"})
    words = launched.command
    given = {words[at + 1] for at, word in enumerate(words) if word == "--env"}
    assert words[:2] == ["podman", "run"]
    assert given == {"TRAINING_JOB_NAME=pipelines-1-A", "GIVEN=/opt/ml/x", "EXTRA=1"}
    assert words[-4:] == ["sha256:abc", "-m", "steps.train", "--in=/opt/ml/input"]
    options = " ".join(words)
    assert "--network none" in options
    assert "--read-only" in options
    assert "--cap-drop ALL" in options
    assert "--user 501:20" in options
    assert f"--volume {tmp_path}/opt/ml:/opt/ml" in options


def test_root_starts_no_root_in_a_container_and_leaves_input_files_their_owner(tmp_path, monkeypatch):
    data = tmp_path / "opt/ml/input/data"
    data.mkdir(parents=True)
    (data / "a.txt").write_text("an object of the store")
    given = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda path, user, group: given.append((str(path), user, group)))
    launched = ContainerEngine().launch(job(), tmp_path, {})
    assert "--user 1000:1000" in " ".join(launched.command)
    assert {(path, user) for path, user, _ in given} == {
        (str(folder), 1000) for folder in (tmp_path / "opt/ml", tmp_path / "opt/ml/input", data)
    }
