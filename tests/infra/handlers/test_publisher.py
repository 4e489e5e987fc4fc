"""The publisher's function as Lambda calls it: approvals, requests, what it logs and counts, and how it fails."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from moto import mock_aws

from infra.handlers.publisher import handler
from pipelines.storage.s3 import S3Objects
from steps.core.common.errors import UserError
from tests.pipelines.release.kit import (
    ENVIRONMENT,
    GROUP,
    PERSON,
    WHO,
    everything,
    make_signing_key,
    new_clients,
    open_cloud,
    teach_moto_digests,
)

HIDDEN = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"
ROLLBACK = {"action": "rollback", "channel": "stable", "version": 1, "by": "Bob", "reason": "alarms"}


@pytest.fixture
def cloud(monkeypatch, tmp_path):
    teach_moto_digests(monkeypatch)
    for name, value in {
        "TILEGATE_ENV": "dev",
        "TILEGATE_CHANNEL": "stable",
        "TILEGATE_PERCENT": "10",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": HIDDEN,
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        clients = new_clients()
        yield open_cloud(clients, tmp_path, make_signing_key(clients))


@pytest.fixture
def objects(cloud):
    return cloud.new_bucket()


def approval(version, status="Approved", group=GROUP):
    """EventBridge's event, with the fields that SageMaker documents."""
    arn = ENVIRONMENT.arn("sagemaker", f"model-package/{group}/{version}")
    detail = {
        "ModelPackageGroupName": group,
        "ModelPackageName": f"{group}/{version}",
        "ModelPackageArn": arn,
        "ModelPackageVersion": version,
        "ModelApprovalStatus": status,
    }
    return {"source": "aws.sagemaker", "detail-type": "SageMaker Model Package State Change", "detail": detail}


def logged(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_approval_is_published_to_the_environment_s_channel_and_several_events_of_it_move_it_once(
    cloud, objects, capsys
):
    assert isinstance(objects, S3Objects)
    cloud.approve()
    said = "stable 1: version 1 to 10 %, no model to the others"
    assert handler(approval(1), None) == {"state": said}
    before = everything(objects)
    assert handler(approval(1), None) == {"state": said}
    assert everything(objects) == before
    assert cloud.read(objects)["release"]["version"] == 1
    assert logged(capsys) == [{"release": said}] * 2


def test_an_approval_without_a_decision_is_counted_and_not_tried_again(cloud, objects, capsys):
    cloud.register()
    answer = handler(approval(1), None)
    assert "is PendingManualApproval without a name and a reason: nothing is released" in answer["error"]
    (line,) = logged(capsys)
    (told,) = line["_aws"]["CloudWatchMetrics"]
    assert (told["Namespace"], told["Dimensions"]) == (ENVIRONMENT.metric_namespace, [[]])
    assert {metric["Name"]: line[metric["Name"]] for metric in told["Metrics"]} == {"RefusedReleases": 1}
    assert abs(datetime.fromtimestamp(line["_aws"]["Timestamp"] / 1000, UTC) - datetime.now(UTC)) < timedelta(minutes=5)
    assert line["refused"] == answer["error"]
    assert everything(objects) == {}


def test_a_rejection_moves_nothing_people_roll_back(cloud, objects, capsys):
    cloud.approve()
    handler(approval(1), None)
    before = everything(objects)
    cloud.registry.reject(GROUP, 1, by="Bob", reason="alarms")
    assert handler(approval(1, "Rejected"), None) == {}
    assert handler(approval(1, group="others"), None) == {}
    assert everything(objects) == before
    assert [line.get("ignored") for line in logged(capsys)][1:] == [f"{GROUP} is Rejected", "others is Approved"]


def test_an_earlier_approval_that_comes_late_is_told_and_moves_nothing(cloud, objects, capsys):
    cloud.approve(2)
    told = "version 1 is not the last approval of its group: nothing moves"
    assert handler(approval(1), None) == {"state": told}
    assert everything(objects) == {}


def test_a_request_is_answered_with_the_channel_s_state(cloud, objects):
    cloud.approve(2)
    ask = {"action": "publish", "channel": "stable", "percent": 100, **WHO}
    assert handler({**ask, "version": 1}, None) == {"state": "stable 1: version 1 to all"}
    assert handler({**ask, "version": 2, "percent": 20}, None) == {
        "state": "stable 2: version 2 to 20 %, version 1 to the others"
    }
    widen = {"action": "rollout", "channel": "stable", "percent": 50, **WHO}
    assert handler(widen, None) == {"state": "stable 3: version 2 to 50 %, version 1 to the others"}
    assert handler(ROLLBACK, None) == {"state": "stable 4: version 1 to all"}
    assert cloud.read(objects, seen=4)["by"] == "Bob"


def test_it_keeps_who_was_signed_in_beside_the_name_that_was_given(cloud, objects):
    cloud.approve()
    ask = {"action": "publish", "channel": "stable", "version": 1, "percent": 10, **WHO, "identity": PERSON}
    handler(ask, None)
    assert cloud.read(objects)["identity"] == PERSON
    handler({"action": "rollout", "channel": "stable", "percent": 50, **WHO, "identity": "arn:other"}, None)
    said = cloud.read(objects)
    assert (said["by"], said["identity"]) == (WHO["by"], "arn:other")


def test_after_a_change_of_its_key_the_deployed_former_ones_count(cloud, objects, monkeypatch):
    cloud.approve()
    handler({"action": "publish", "channel": "stable", "version": 1, "percent": 10, **WHO}, None)
    former = "".join(cloud.signer.public_pem.decode().splitlines()[1:-1])
    kms = new_clients()["kms"]
    newer = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=ENVIRONMENT.signing_key_alias, TargetKeyId=newer)
    widen = {"action": "rollout", "channel": "stable", "percent": 50, **WHO}
    assert "is signed by none of the 1 keys" in handler(widen, None)["error"]
    monkeypatch.setenv("TILEGATE_TRUSTED_KEYS", former)
    assert handler(widen, None) == {"state": "stable 2: version 1 to 50 %, no model to the others"}


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (ROLLBACK, "there is no channel stable: nothing can be rolled back"),
        ({"action": "delete"}, "action 'delete': one of publish, rollout, rollback is wanted"),
        ({"action": "publish"}, "the request publish wants version, channel, percent, by, reason"),
        ({**ROLLBACK, "version": "1"}, "the request rollback wants"),
        ({**ROLLBACK, "version": True}, "the request rollback wants"),
        ({**ROLLBACK, "force": 1}, "the request rollback wants"),
        ({**ROLLBACK, "identity": 1}, "the request rollback wants"),
        ({"action": "rollout", "channel": "stable", "percent": False, **WHO}, "the request rollout wants"),
        ({"action": "rollout", "channel": "stable", "percent": 0.5, **WHO}, r"got .*percent \(float\)"),
        ({"action": "rollout", "channel": "../x", "percent": 5, **WHO}, "channel '../x': 1 to 32 small letters"),
        ({"action": "publish", "channel": "stable", "percent": 5, "version": 9, **WHO}, "has no version 9"),
    ],
)
def test_a_request_that_cannot_be_granted_is_answered_in_a_sentence(cloud, objects, capsys, request_, sentence):
    answer = handler(request_, None)
    assert list(answer) == ["error"]
    assert re.search(sentence, answer["error"])
    assert everything(objects) == {}
    assert HIDDEN not in capsys.readouterr().out


def test_what_a_further_delivery_may_mend_is_raised(cloud, objects):
    """Somebody has put a file where the release belongs: retries end in the dead-letter queue, and people are told."""
    cloud.approve()
    objects.put("releases/1/model.tflite", b"somebody's")
    with pytest.raises(UserError, match=r"releases/1/model.tflite has sha256 .* never written over"):
        handler(approval(1), None)
    objects.delete("releases/1/model.tflite")
    assert handler(approval(1), None)["state"].startswith("stable 1: version 1")
