"""docs/deploy.md, followed command by command with the real templates, in moto as tests/aws teaches it.

What runs in an execution is not run: it ends as SageMaker would end it, with a version that it has registered.
"""

import contextlib
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from unittest import mock

import pytest
from click.testing import CliRunner
from moto import mock_aws

import infra.deployment.smoke
from infra.handlers import starter
from pipelines.cli import cli
from pipelines.environment import Environment
from pipelines.runs.sample_data import write_sample
from tests.aws.account import push_image
from tests.aws.conftest import Cloud
from tests.aws.executions import all_steps, end
from tests.aws.moto_aws import extended_moto
from tests.aws.test_functions import register
from tests.docs.test_pages import blocks
from tests.infra.conftest import ACCOUNT, REGION

pytestmark = [pytest.mark.aws, pytest.mark.filterwarnings("ignore:Tried to parse")]

ROOT = Path(__file__).parents[3]
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
LINE = re.compile(r"(?:AWS_PROFILE=tilegate-(?P<duty>\w+) )?tilegate (?P<words>.*)")
# Tells buildx's words, and the digest that the registry gave: the test has pushed the image to it already.
DOCKER = """#!/bin/sh
echo "$@" >>docker.txt
while [ "$1" != --metadata-file ]; do shift; done
about=$2
while [ "$1" != --target ]; do shift; done
cp "DIGESTS/$2" "$about"
"""


@pytest.fixture
def cloud(monkeypatch, tmp_path):
    for name in CREDENTIALS[:2]:
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, REGION)
    monkeypatch.setattr(infra.deployment.smoke, "SCREENSHOTS", 24)
    monkeypatch.chdir(tmp_path)
    with mock_aws(), extended_moto() as functions:
        made = Cloud(Environment("dev", ACCOUNT, REGION), functions, {})
        functions.stand_ins[made.environment.function("recorder")] = record

        def start(event, context):
            answer = starter.handler(event, context)
            finish(made)
            return answer

        functions.stand_ins[made.environment.function("starter")] = start
        yield made


def record(event, _context):
    print(json.dumps({"execution": event["detail"]["pipelineExecutionArn"], "run": "r", "made": True}))


def finish(cloud):
    """Let the newest execution register a version and succeed, whoever is at work."""
    with mock.patch.dict(os.environ, {name: "testing" for name in os.environ if name in CREDENTIALS}):
        arn = cloud.executions()[0]
        register(cloud, arn.rpartition("/")[2])
        end(arn, "Succeeded", steps=all_steps())


def push(cloud, line, folder):
    """Run push.sh for a line of the page, with a docker that finds everything pushed; return what it printed."""
    words, _, target = line.partition(" > ")
    assert target == "images.txt"
    (folder / "digests").mkdir()
    for name in ("data", "model", "control"):
        digest = push_image(cloud.client("ecr"), cloud.environment.repository(name))
        (folder / "digests" / name).write_text(json.dumps({"containerimage.digest": digest}, indent=1))
    docker = folder / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER.replace("DIGESTS", str(folder / "digests")).replace("docker.txt", f"{folder}/docker.txt"))
    docker.chmod(0o755)
    command = [ROOT / words.split()[0], *words.split()[1:]]
    path = {"PATH": f"{docker.parent}:/usr/bin:/bin"}
    return subprocess.run(command, env=path, capture_output=True, text=True, check=True).stdout


def say(cloud, line, known, code=0):
    """Type a line of the page."""
    found = LINE.fullmatch(line)
    assert found, line
    words = shlex.split(re.sub(r"\$\(cat (\S+)\)", lambda match: known[match[1]], found["words"]), comments=True)
    acting = cloud.acting(found["duty"], "ann") if found["duty"] else contextlib.nullcontext()
    with acting:
        done = CliRunner().invoke(cli, [known.get(word, word) for word in words], input="n\n")
    assert done.exit_code == code, f"{line}\n{done.output}\n{done.exception!r}"
    return done.output


def test_the_page_leads_from_an_empty_account_to_an_approved_model(cloud, tmp_path):
    page = (ROOT / "docs" / "deploy.md").read_text()
    lines = iter(blocks(page[page.index("## From an empty account") : page.index("## Deploy again")]))
    known = {"PATH": str(tmp_path / "own")}
    labelled = write_sample(tmp_path / "sample", screenshots=24, seed=5, workers=1)
    for row in map(json.loads, (labelled / "output.manifest").read_text().splitlines()):
        place = tmp_path / "own" / ("positive" if row["promotion"] else "negative") / Path(row["source-ref"]).name
        place.parent.mkdir(parents=True, exist_ok=True)
        (labelled / row["source-ref"]).rename(place)
    (tmp_path / "mobilenet.weights.h5").write_bytes(b"weights")

    # Before any image, the table is not all well: that is what it is for.
    table = say(cloud, next(lines), known, code=1)
    assert [line.split()[2] for line in table.splitlines() if line.startswith("  NOT OK")] == ["images"]
    assert "123456789012.dkr.ecr.eu-west-1.amazonaws.com/tilegate-dev/model@sha256:…" in say(cloud, next(lines), known)
    assert next(lines).startswith("aws ecr get-login-password")
    known["images.txt"] = push(cloud, next(lines), tmp_path)
    asked = (tmp_path / "docker.txt").read_text().splitlines()
    assert ["BASE_IMAGE=PYTHON_BASE" in line for line in asked] == [True, False, True]
    assert all(
        "--platform linux/amd64 --provenance=false --sbom=false --output type=image,oci-mediatypes=false,push=true"
        in line
        for line in asked
    )

    assert "tilegate-dev is deployed." in say(cloud, next(lines), known)
    smoked = say(cloud, next(lines), known)
    unchanged = [f"Stack {name}: nothing to change." for name in ("tilegate-dev-images", "tilegate-dev")]
    assert smoked.splitlines()[:3] == [*unchanged, "tilegate-dev is deployed."]
    assert "NOT OK" not in smoked
    known["BATCH"] = re.search(r"tilegate data withdraw (\S+)", smoked)[1]
    for _ in range(4):  # the sample is taken back; data, and weights
        say(cloud, next(lines), known)
    say(cloud, next(lines), known)
    finish(cloud)
    assert "Succeeded" in say(cloud, next(lines), known)
    assert "2" in say(cloud, next(lines), known)
    say(cloud, next(lines), known)
    say(cloud, next(lines), known)
    assert "version 2 to all" in say(cloud, next(lines), known)
    say(cloud, next(lines), known)
    assert cloud.client("scheduler").get_schedule(Name=cloud.environment.schedule)["State"] == "ENABLED"

    # moto cannot delete the network in the order that AWS does, so that here a person says no.
    told = say(cloud, next(lines), known, code=1)
    environment = cloud.environment
    buckets = (environment.data_bucket, environment.artifact_bucket, environment.release_bucket)
    assert all(f"Is removed with all that is in it: AWS::S3::Bucket {bucket}" in told for bucket in buckets)
    assert f"AWS::ECR::Repository {environment.repository('model')}" in told
    assert f"AWS::SageMaker::ModelPackageGroup {environment.model_package_group}" in told
    assert "Stays" not in told
    assert list(lines) == []
