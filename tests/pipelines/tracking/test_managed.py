"""The managed MLflow: which one is meant, and that SageMaker's plugin really carries an execution to a server."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber

from pipelines.tracking.managed import find_tracking
from steps.core.common.errors import UserError

APP = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-app/app-ABCDEFGH"
SERVER = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/tilegate-dev"
# In a process of its own: the plugin takes the ARN from MLflow's global state.
RECORDER = """
import sys
from pathlib import Path
from pipelines.storage.folder import FolderObjects
from pipelines.tracking.managed import mirror_execution, open_tracking
from service import ARN, Service, whole_night
buckets = [FolderObjects(Path(sys.argv[1]) / name, name) for name in ("data", "artifacts")]
service = Service()
whole_night(service, buckets)
for _ in range(2):
    print(*mirror_execution(service.client, buckets, open_tracking(sys.argv[2]), ARN))
"""


@pytest.fixture
def sagemaker():
    known = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-1"}
    client = boto3.client("sagemaker", **known)
    with Stubber(client) as stubber:
        yield client, stubber


def app(name, status="Created"):
    return {"Arn": APP, "Name": name, "Status": status}


def test_the_environments_app_is_found_by_its_name_on_any_page(sagemaker):
    client, stubber = sagemaker
    stubber.add_response("list_mlflow_apps", {"Summaries": [app("other"), app("mine", "Deleted")], "NextToken": "n"})
    stubber.add_response("list_mlflow_apps", {"Summaries": [app("mine")]}, {"NextToken": "n"})
    assert find_tracking(client, "mine") == APP


def test_a_tracking_server_is_found_where_there_is_no_app(sagemaker):
    client, stubber = sagemaker
    stubber.add_response("list_mlflow_apps", {"Summaries": []})
    found = {"TrackingServerArn": SERVER, "TrackingServerName": "mine"}
    stubber.add_response("list_mlflow_tracking_servers", {"TrackingServerSummaries": [found]})
    assert find_tracking(client, "mine") == SERVER


def test_an_environment_without_mlflow_is_told_so(sagemaker):
    client, stubber = sagemaker
    stubber.add_response("list_mlflow_apps", {"Summaries": [app("mine", "Creating")]})
    stubber.add_response("list_mlflow_tracking_servers", {"TrackingServerSummaries": []})
    with pytest.raises(UserError, match="no MLflow app or tracking server mine: deploy the environment with MLflow"):
        find_tracking(client, "mine")


@pytest.mark.integration
@pytest.mark.parametrize("arn", [APP, SERVER], ids=["app", "server"])
def test_the_plugin_carries_an_execution_to_a_server(played, tmp_path, arn):
    """A real MLflow server stands where SageMaker's would; its address is another, and nobody checks signatures."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [Path(sys.executable).parent / "tilegate", "ui", "--home", played.home, "--port", str(port)],
        cwd=tmp_path,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-west-1"}
    address = {"SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": f"http://127.0.0.1:{port}"}
    try:
        _wait_for(f"http://127.0.0.1:{port}/health")
        done = subprocess.run(
            [sys.executable, "-c", RECORDER, str(tmp_path), arn],
            env={**os.environ, **keys, **address, "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)
    assert done.returncode == 0, done.stderr
    (first, made), (second, again) = (line.split() for line in done.stdout.splitlines())
    assert (first == second, made, again) == (True, "True", "False")
    run = played.client.get_run(first)
    assert (run.info.run_name, run.info.status) == ("abc123def456", "FINISHED")
    assert run.data.metrics["test/fpr"] == 0.004


def _wait_for(url):
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
