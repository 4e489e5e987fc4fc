"""The real handlers in the deployed stacks, under their roles: each does its duty, also when it is called twice."""

import hashlib
import io
import json
import tarfile

import pytest

from pipelines.release.store import StoredBucket
from pipelines.release.verify import accepted, chosen, read_keys
from pipelines.runs.sample_data import write_sample
from tests.aws.executions import end

pytestmark = pytest.mark.aws

WHY = ("--by", "Ada", "--reason", "looked at the report")


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """A folder as a team drops it: a few screenshots with their labels."""
    return write_sample(tmp_path_factory.mktemp("sample"), screenshots=24, workers=1)


@pytest.fixture
def chosen_classes(cloud):
    """Give the starter its run parameters, as a team does."""
    variables = {"TILEGATE_ENV": "prod", "TILEGATE_PARAMETERS": json.dumps({"Classes": "other,promotion"})}
    name = cloud.environment.function("starter")
    cloud.client("lambda").update_function_configuration(FunctionName=name, Environment={"Variables": variables})


def archive(text):
    """A bundle's archive, as far as a release looks into it; other text, another model."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, data in {"model.tflite": text.encode(), "model.json": b'{"version": 2}'}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def register(cloud, execution):
    """Register a version as the pipeline's step does, and return its number."""
    data, key = archive(execution), f"runs/{execution}/ConvertToTFLite/bundle/model.tar.gz"
    cloud.artifacts.put(key, data)
    made = cloud.client("sagemaker").create_model_package(
        ModelPackageGroupName=cloud.environment.model_package_group,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": "image@sha256:0", "ModelDataUrl": cloud.artifacts.uri(key)}],
            "SupportedContentTypes": ["application/octet-stream"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        CustomerMetadataProperties={
            "archive_sha256": hashlib.sha256(data).hexdigest(),
            "tflite_sha256": hashlib.sha256(execution.encode()).hexdigest(),
            "failed_checks": "0",
            "execution": execution,
        },
    )
    return made["ModelPackageArn"].rpartition("/")[2]


def offered(cloud, channel="stable"):
    """Verify what phones would, with the signing key's public half alone, and return the version that they run."""
    key = cloud.client("kms").get_public_key(KeyId=cloud.environment.signing_key_alias)["PublicKey"]
    keys = read_keys([pem(key)])
    payload, _ = accepted(channel, StoredBucket(cloud.releases), keys)
    return chosen(payload, "phone")["version"]


def pem(der):
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

    return load_der_public_key(der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def last(cloud, function):
    return cloud.functions.of(cloud.environment.function(function))[-1]


def test_a_night_without_labels_is_a_decision_and_starts_nothing(cloud):
    assert not cloud.has_data("no-decision")
    assert cloud.fire()
    assert last(cloud, "starter").error is None
    assert last(cloud, "starter").answer["night"].startswith("no data, nothing is started")
    assert cloud.executions() == []
    assert cloud.has_data("no-decision")


def test_a_night_with_a_new_batch_starts_exactly_one_execution_however_often_it_is_fired(cloud, batch, chosen_classes):
    cloud.drop(batch, "first")
    cloud.fire()
    assert last(cloud, "starter").error is None, last(cloud, "starter").error
    (execution,) = cloud.executions()
    assert last(cloud, "starter").answer["night"].startswith(f"started {execution.rpartition('/')[2]}: 24 new labels")
    assert list(cloud.data.list("inbox/first/images/")) == []
    told = cloud.client("sagemaker").list_pipeline_parameters_for_execution(PipelineExecutionArn=execution)
    given = {p["Name"]: p["Value"] for p in told["PipelineParameters"]}
    for name in ("DatasetUri", "PlanUri"):
        assert list(cloud.data.list(given[name].removeprefix(cloud.data.uri()).strip("/") + "/")), name
    cloud.fire()
    assert last(cloud, "starter").answer["night"].startswith("executing, nothing is started")
    end(execution, "Succeeded")
    cloud.fire()
    assert last(cloud, "starter").answer["night"].startswith("nothing new, nothing is started")
    assert cloud.executions() == [execution]
    assert cloud.letters("starter") == []


def test_the_night_after_a_rejection_counts_it_and_starts_nothing(cloud, batch, chosen_classes):
    people = cloud.listen()
    cloud.drop(batch, "first")
    cloud.fire()
    (execution,) = cloud.executions()
    reason = "the limit is 1 %, and 2 % were found"
    end(execution, "Failed", steps=[{"StepName": "RejectModel", "StepStatus": "Failed", "FailureReason": reason}])
    texts = [message["Message"] for message in cloud.messages(people)]
    assert any("rejected the candidate" in text for text in texts)
    cloud.fire()
    assert last(cloud, "starter").answer["night"].endswith("has decided on these data: Rejected")
    assert json.loads(last(cloud, "starter").told[-1])["Rejections"] == 1
    assert cloud.executions() == [execution]


def test_an_operator_sees_with_the_commands_what_the_night_started(cloud, batch, chosen_classes):
    cloud.drop(batch, "first")
    cloud.fire()
    told = cloud.command("operator", "status")
    assert told.exit_code == 0, told.output + repr(told.exception)
    assert cloud.executions()[0].rpartition("/")[2] in told.output


def test_an_approval_by_name_and_reason_makes_a_signed_release(cloud):
    number = register(cloud, "e1")
    done = cloud.command("approver", "models", "approve", number, *WHY)
    assert done.exit_code == 0, done.output + repr(done.exception)
    assert last(cloud, "publisher").error is None, last(cloud, "publisher").error
    assert offered(cloud) == 1
    assert cloud.letters("publisher") == []


def test_the_same_approval_delivered_again_changes_nothing(cloud):
    cloud.command("approver", "models", "approve", register(cloud, "e1"), *WHY)
    event = last(cloud, "publisher").event
    before = {info.key: cloud.releases.sha256(info.key) for info in cloud.releases.list()}
    cloud.functions.deliver(cloud.environment.arn("lambda", "function:tilegate-prod-publisher"), event)
    assert last(cloud, "publisher").error is None
    assert {info.key: cloud.releases.sha256(info.key) for info in cloud.releases.list()} == before


def test_an_approval_in_the_console_is_not_released_and_people_hear_of_it(cloud):
    number = register(cloud, "e1")
    arn = cloud.environment.arn("sagemaker", f"model-package/{cloud.environment.model_package_group}/{number}")
    cloud.client("sagemaker").update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    assert "nothing is released" in last(cloud, "publisher").answer["error"]
    assert cloud.has_data("release-refused")
    assert list(cloud.releases.list()) == []
    assert cloud.letters("publisher") == []
    listed = cloud.command("approver", "models", "list")
    assert "outside" in listed.output, listed.output


def test_a_second_version_replaces_the_first_and_a_rollback_brings_it_back(cloud):
    for execution in ("e1", "e2"):
        done = cloud.command("approver", "models", "approve", register(cloud, execution), *WHY)
        assert done.exit_code == 0, done.output + repr(done.exception)
    assert offered(cloud) == 2
    done = cloud.command("approver", "release", "rollback", *WHY)
    assert done.exit_code == 0, done.output + repr(done.exception)
    assert offered(cloud) == 1


def test_nobody_but_the_approver_decides(cloud):
    number = register(cloud, "e1")
    for duty in ("operator", "starter", "publisher", "training", "judge", "data", "pipeline"):
        done = cloud.command(duty, "models", "approve", number, *WHY)
        assert "may not approve or reject models" in str(done.exception)
    assert list(cloud.artifacts.list("registry/")) == []
    assert list(cloud.releases.list()) == []


@pytest.mark.parametrize("action", ["kms:Sign", "s3:PutObject", "sagemaker:DescribeModelPackage"])
def test_a_publisher_that_lacks_a_permission_says_which_and_its_event_is_kept(cloud, action):
    take_away(cloud, "publisher", action)
    cloud.command("approver", "models", "approve", register(cloud, "e1"), *WHY)
    assert action in str(last(cloud, "publisher").error)
    (letter,) = cloud.letters("publisher")
    assert action in letter["responsePayload"]["errorMessage"]
    assert not any(info.key.startswith("channels/") for info in cloud.releases.list())


def take_away(cloud, duty, action):
    iam, role = cloud.client("iam"), cloud.environment.role(duty)
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        text = json.dumps(document).replace(f'"{action}"', '"s3:GetObjectTorrent"')
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=text)
