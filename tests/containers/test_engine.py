"""Jobs in containers under the local executor: what they see, and that nothing of them is left."""

import threading
import time

import pytest

from pipelines.executor.errors import DefinitionError
from pipelines.executor.executor import Executor

pytestmark = pytest.mark.containers

LOOK = """
import os, pathlib, socket, sys
try:
    socket.create_connection(("192.0.2.1", 80), timeout=2)
except OSError as error:
    print("network:", error.strerror)
print("user:", os.getuid(), "secret:", os.environ.get("HOST_SECRET"), "given:", os.environ["GIVEN"])
try:
    pathlib.Path("/opt/program/x").write_text("x")
except OSError as error:
    print("disk:", error.strerror)
pathlib.Path(sys.argv[1], "out.txt").write_text("from the container")
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


def executor(docker, image, home, code, **options):
    step = {
        "Name": "Look",
        "Type": "Processing",
        "Arguments": {
            "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.t3.medium", "InstanceCount": 1}},
            "AppSpecification": {
                "ImageUri": image,
                "ContainerEntrypoint": ["python3", "-c", code],
                "ContainerArguments": ["/opt/ml/processing/output/out"],
            },
            "Environment": {"GIVEN": "by the definition"},
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": "out",
                        "S3Output": {
                            "S3Uri": "s3://b/out",
                            "LocalPath": "/opt/ml/processing/output/out",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            },
        },
    }
    definition = {"Version": "2020-12-01", "Parameters": [], "Steps": [step]}
    engine = docker.engine
    return Executor(definition, home=home, images=engine.image, launch=engine.launch, **options)


def left(docker):
    return docker("ps", "--all", "--quiet", "--filter", "label=tilegate-job").stdout.split()


def test_a_job_sees_its_own_folder_and_nothing_of_the_machine(docker, data_image, tmp_path, monkeypatch):
    monkeypatch.setenv("HOST_SECRET", "x")
    result = executor(docker, data_image, tmp_path, LOOK).run()
    assert result.status == "Succeeded", result.reason
    log = (result.run_dir / "steps/Look/log.txt").read_text()
    assert "network: Network is unreachable" in log
    assert "user: 1000 secret: None given: by the definition" in log
    assert "disk: Read-only file system" in log
    assert (tmp_path / "store/b/out/out.txt").read_text() == "from the container"


def test_a_job_that_will_not_stop_is_ended_with_its_container(docker, data_image, tmp_path):
    run = executor(docker, data_image, tmp_path, DEAF)
    thread = threading.Thread(target=run.run)
    thread.start()
    for _ in range(240):
        logs = list(tmp_path.glob("runs/*/steps/Look/log.txt"))
        if logs and "up" in logs[0].read_text():
            break
        time.sleep(0.25)
    assert left(docker)
    run.stop()
    thread.join(60)
    assert not thread.is_alive()
    assert left(docker) == []


def test_an_image_that_the_engine_does_not_have_fails_its_step_by_name(docker, tmp_path):
    result = executor(docker, "localhost/tilegate-missing:1", tmp_path, LOOK).run()
    assert result.status == "Failed"
    assert "localhost/tilegate-missing:1" in result.reason
    with pytest.raises(DefinitionError, match="tilegate-missing"):
        docker.engine.image("localhost/tilegate-missing:1", ())
