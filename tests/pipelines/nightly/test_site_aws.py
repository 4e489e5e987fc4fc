"""A night in AWS, in moto: what the deployed pipeline is started with, once, whatever is delivered how often."""

import gzip
import io
import json
import tarfile
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from moto import mock_aws
from moto.core.responses import ActionResult
from moto.sagemaker.responses import SageMakerResponse

from pipelines.definition.parameters import pipeline_parameters
from pipelines.definition.settings import Settings
from pipelines.nightly.decide import Nothing, Rules, Start, Why
from pipelines.nightly.lease import NightBusyError
from pipelines.nightly.night import hold_night
from pipelines.registry.sagemaker_registry import SageMakerRegistry
from pipelines.storage.folder import FolderObjects
from steps.core.common.errors import UserError
from steps.core.gate.test_set_ledger import Consultation
from tests.pipelines.nightly.cloud import ENVIRONMENT, Batches, Cloud, new_clients, teach_moto
from tests.pipelines.nightly.dying import Dying, Fuse, Killed


@pytest.fixture(scope="session")
def clients():
    return new_clients()


@pytest.fixture
def cloud(clients, monkeypatch):
    teach_moto(monkeypatch)
    with mock_aws():
        yield Cloud(clients)


@pytest.fixture
def batch(cloud, tmp_path):
    """Return what adds another batch; there is one already."""
    add = Batches(cloud, tmp_path)
    add("a.png", "b.png")
    return add


def test_a_night_gives_every_parameter_that_has_no_default(cloud, batch):
    assert isinstance(cloud.hold().decision, Start)
    given = cloud.parameters()
    wanted = {p.name for p in pipeline_parameters(Settings()) if p.default is None}
    assert wanted <= given.keys() <= {p.name for p in pipeline_parameters(Settings())}
    digest = given["DatasetUri"].removeprefix(f"s3://{ENVIRONMENT.data_bucket}/datasets/")
    assert cloud.data.info(f"datasets/{digest}/manifest.jsonl")
    assert cloud.data.info(given["PlanUri"].removeprefix(cloud.data.uri()) + "/plan.json")
    assert given["ChampionUri"] == cloud.artifacts.uri("champions/none")
    assert json.loads(cloud.artifacts.get("champions/none/champion.json")) == {"champion": None}
    ledger = given["LedgerUri"].removeprefix(cloud.artifacts.uri())
    assert json.loads(cloud.artifacts.get(f"{ledger}/ledger.json")) == []
    assert cloud.artifacts.info("weights/sample/sample.weights.h5")


def test_the_execution_bears_its_nights_name(cloud, batch):
    held = cloud.hold()
    (told,) = cloud.sagemaker.list_pipeline_executions(PipelineName=ENVIRONMENT.pipeline)["PipelineExecutionSummaries"]
    (claim,) = [info.key for info in cloud.artifacts.list("nights/") if info.key.endswith("claim.json")]
    token = claim.split("/")[1]
    assert len(token) == 64
    assert told["PipelineExecutionDisplayName"] == f"night-{token[:16]}"
    assert told["PipelineExecutionArn"] == f"{ENVIRONMENT.pipeline_arn}/execution/{held.execution}"


def test_the_same_data_start_one_execution_and_new_data_another(cloud, batch):
    cloud.hold()
    assert cloud.hold().decision.why is Why.ANSWERED
    batch("c.png")
    assert isinstance(cloud.hold().decision, Start)
    assert len(cloud.executions()) == 2


def test_a_dropped_batch_is_taken_in_and_decided_on(cloud):
    cloud.data.put("inbox/monday/labels.csv", b"path,label\na.png,1\nb.png,0\n")
    for name in ("a.png", "b.png"):
        cloud.data.put(f"inbox/monday/{name}", name.encode())
    told = []
    held = hold_night(cloud.site(), Rules(), tell=told.append)
    assert held.decision.why is Why.NO_DATA
    assert len(told) == 1
    assert told[0].startswith("monday: waits")
    held = hold_night(cloud.site(settle=timedelta(0)), Rules(min_new_labels=2), tell=told.append)
    assert held.decision == Start(1, "2 new labels")
    assert told[1].startswith("monday: taken in as ")


def test_without_a_batch_nothing_starts(cloud):
    assert cloud.hold().decision.why is Why.NO_DATA


def test_new_images_are_another_question_and_a_default_that_is_spelled_out_none(cloud, batch):
    cloud.hold()
    assert isinstance(cloud.hold(cloud.site(MaxFpr=0.01)).decision, Nothing)
    assert isinstance(cloud.hold(cloud.site(MaxFpr="0.02")).decision, Start)
    assert cloud.parameters()["MaxFpr"] == "0.02"
    cloud.deploy(image="data@sha256:2")
    assert isinstance(cloud.hold().decision, Start)


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"MaxFrp": 0.1}, "no parameter MaxFrp"),
        ({"MaxFpr": "much"}, "MaxFpr is 'much': wanted a finite number"),
        ({"MaxFpr": 2.0}, "max-fpr"),
    ],
)
def test_a_parameter_that_the_pipeline_would_refuse_starts_nothing(cloud, batch, chosen, says):
    with pytest.raises(UserError, match=says):
        cloud.hold(cloud.site(**chosen))
    assert not cloud.executions()


def test_a_parameter_that_nobody_knows_starts_nothing(cloud, batch):
    cloud.deploy(more=[{"Name": "Moon", "Type": "String"}])
    with pytest.raises(UserError, match="wants Moon, which this version of tilegate does not know"):
        cloud.hold()
    assert not cloud.executions()


def approve(cloud, tmp_path, execution, text="weights"):
    archive = tmp_path / f"{text}.tar.gz"
    with gzip.GzipFile(archive, "wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("model.tflite")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    request = {
        "ModelPackageGroupName": ENVIRONMENT.model_package_group,
        "CustomerMetadataProperties": {"execution": execution, "dataset": cloud.parameters()["DatasetUri"]},
    }
    made = cloud.registry.register(request, archive)
    return cloud.registry.approve(made.group, made.version, by="Ann", reason="looked at it")


def test_the_next_night_is_judged_against_the_champion_and_sees_the_looks_of_the_last(cloud, batch, tmp_path):
    held = cloud.hold()
    look = Consultation.of(["x"], negatives=1, groups=1, model="a" * 64, limits={}, passed=True, moment="m")
    cloud.artifacts.put(f"ledger/EvaluateModel/{look.name}.json", json.dumps(look.to_dict()).encode())
    champion = approve(cloud, tmp_path, held.execution)
    first = cloud.parameters()
    batch("c.png")
    cloud.hold()
    second = cloud.parameters()
    assert second["ChampionUri"] == cloud.artifacts.uri(f"champions/{champion.sha256}")
    assert cloud.artifacts.sha256(f"champions/{champion.sha256}/model.tar.gz") == champion.sha256
    ledger = second["LedgerUri"].removeprefix(cloud.artifacts.uri())
    assert [entry["name"] for entry in json.loads(cloud.artifacts.get(f"{ledger}/ledger.json"))] == [look.name]
    plan = json.loads(cloud.data.get(second["PlanUri"].removeprefix(cloud.data.uri()) + "/plan.json"))
    assert plan["previous"]["snapshot"] == first["DatasetUri"].rpartition("/")[2]


def test_a_night_that_is_repeated_is_not_compared_with_the_model_it_made(cloud, batch, tmp_path):
    held = cloud.hold()
    approve(cloud, tmp_path, held.execution)
    look = Consultation.of(["x"], negatives=1, groups=1, model="a" * 64, limits={}, passed=True, moment="m")
    cloud.artifacts.put(f"ledger/EvaluateModel/{look.name}.json", json.dumps(look.to_dict()).encode())
    cloud.hold(force=True)
    assert len(cloud.executions()) == 2
    assert cloud.parameters(0) == cloud.parameters(1)


def test_a_warm_start_needs_as_many_nights_as_it_was_deployed_for(cloud, batch, monkeypatch):
    tuning = {
        "Metadata": {"TuningJob": {"Arn": "arn:aws:sagemaker:eu-west-1:123456789012:hyper-parameter-tuning-job/t"}}
    }
    steps = [{"StepName": "TuneHyperparameters", "StepStatus": "Succeeded", **tuning}]
    answer = ActionResult({"PipelineExecutionSteps": steps})
    monkeypatch.setattr(SageMakerResponse, "list_pipeline_execution_steps", lambda _: answer)
    cloud.deploy(parents=1)
    with pytest.raises(UserError, match="warm from 1 earlier nights, and 0 are there"):
        cloud.hold()
    cloud.deploy(parents=0)
    cloud.hold()
    cloud.deploy(parents=1)
    batch("c.png")
    cloud.hold()
    assert cloud.parameters()["WarmStartParent1"] == "t"


def test_a_hundred_deliveries_at_once_start_one_execution(cloud, batch):
    ready, lines = threading.Barrier(100), []

    def deliver():
        ready.wait()
        try:
            lines.append(cloud.hold().line)
        except NightBusyError as busy:
            lines.append(f"busy: {busy}")

    threads = [threading.Thread(target=deliver) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines) == 100
    assert sum(line.startswith("started") for line in lines) == 1
    assert len(cloud.executions()) == 1


@pytest.mark.integration
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_call_the_next_delivery_starts_the_one_execution(cloud, tmp_path, after):
    """Every write of the buckets, which are folders here, and every start in SageMaker, one after the other."""
    cloud.data = FolderObjects(tmp_path / "data", ENVIRONMENT.data_bucket)
    cloud.artifacts = FolderObjects(tmp_path / "artifacts", ENVIRONMENT.artifact_bucket)
    cloud.registry = SageMakerRegistry(cloud.sagemaker, cloud.artifacts, ENVIRONMENT)
    batch, now = Batches(cloud, tmp_path), [datetime(2026, 11, 25, tzinfo=UTC)]
    whole, writes = (cloud.data, cloud.artifacts), {"put", "upload", "copy", "delete"}

    def deliver(fuse=None):
        now[0] += timedelta(hours=1)
        cloud.data, cloud.artifacts = (Dying(o, fuse, writes) for o in whole) if fuse else whole
        site = cloud.site()
        site.executions = Dying(site.executions, fuse, {"start"}) if fuse else site.executions
        return hold_night(site, Rules(), clock=lambda: now[0])

    for number in range(1, 40):
        cloud.data, _ = whole
        batch(f"{number}.png")
        before = len(cloud.executions())
        fuse = Fuse(number, after=after)
        with suppress(Killed):
            deliver(fuse)
        deliver()
        assert len(cloud.executions()) == before + 1
        assert deliver().decision.why is Why.ANSWERED
        if fuse.left > 0:
            break
    # The lease, the snapshot, the plan and its manifests, the ledger, the claim, the start and its note.
    assert number > 12
