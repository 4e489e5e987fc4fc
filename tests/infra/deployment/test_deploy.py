"""Deploying an environment: what is made, what is asked before, and what doing it again changes."""

from dataclasses import fields

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from infra.cli import deploy as command
from infra.options import Images, Options, choose
from steps.core.common.errors import UserError

from .conftest import IMAGES

PREFIXES = "pl-0123abcd"


def test_without_images_only_the_repositories_are_made_and_it_says_how_to_go_on(account):
    assert account.deploy()
    assert account.stacks() == {"tilegate-dev-images": "CREATE_COMPLETE"}
    assert "123456789012.dkr.ecr.eu-west-1.amazonaws.com/tilegate-dev/model@sha256:…" in account.text


def test_a_deployment_is_filled_with_what_a_first_night_starts_from(account):
    assert account.deploy(**IMAGES)
    assert account.stacks() == {"tilegate-dev": "CREATE_COMPLETE", "tilegate-dev-images": "CREATE_COMPLETE"}
    assert account.keys(account.environment.artifact_bucket) == [
        "champions/none/champion.json",
        "ledgers/none/ledger.json",
        "weights/sample/sample.weights.h5",
    ]
    assert "Stack tilegate-dev: new, 2 resources" in account.text
    assert "AWS::S3::Bucket" in account.text
    assert account.asked == []


def test_deploying_again_changes_nothing_and_remembers_what_it_was_told(account):
    account.deploy(**IMAGES, channel="beta", alert_emails=("people@example.com",))
    assert account.deploy()
    assert account.told == [
        "Stack tilegate-dev-images: nothing to change.",
        "Stack tilegate-dev: nothing to change.",
        "tilegate-dev is deployed.",
    ]


def test_what_a_first_night_starts_from_is_never_overwritten(account):
    account.deploy(**IMAGES)
    bucket = account.environment.artifact_bucket
    account.client("s3").put_object(Bucket=bucket, Key="ledgers/none/ledger.json", Body=b"other")
    account.deploy()
    assert account.client("s3").get_object(Bucket=bucket, Key="ledgers/none/ledger.json")["Body"].read() == b"other"


def test_changes_are_shown_and_what_holds_nothing_is_changed_without_a_question(account):
    account.deploy(**IMAGES)
    account.queues = ["one", "two"]
    assert account.deploy()
    assert "+ AWS::SQS::Queue Queuetwo" in account.text
    assert account.asked == []


@pytest.mark.parametrize("answer", [True, False])
def test_before_contents_are_lost_it_asks(account, answer):
    account.queues = ["one", "two"]
    account.deploy(**IMAGES)
    account.queues, account.answer = ["one"], answer
    assert account.deploy() == answer
    assert "- AWS::SQS::Queue Queuetwo - its contents are lost" in account.text
    assert account.asked == ["The contents of Queuetwo will be lost for good. Go on?"]
    urls = account.client("sqs").list_queues()["QueueUrls"]
    assert any(url.endswith("tilegate-two") for url in urls) != answer


def test_a_dry_run_shows_the_changes_and_leaves_everything_as_it_is(account):
    assert account.deploy(dry_run=True, **IMAGES)
    assert "Stack tilegate-dev: new, 2 resources" in account.text
    assert account.stacks() == {}
    account.deploy(**IMAGES)
    account.queues = []
    assert account.deploy(dry_run=True)
    assert "its contents are lost" in account.text
    assert account.asked == []
    assert account.client("sqs").list_queues()["QueueUrls"]


def test_a_dry_run_of_a_first_deployment_claims_no_repositories(account):
    assert account.deploy(dry_run=True)
    assert account.text.startswith("Stack tilegate-dev-images: new")
    assert "Push an image" not in account.text


def test_prod_is_protected_against_deletion(account_of):
    account = account_of("prod")
    account.deploy(**IMAGES)
    told = account.client("cloudformation").describe_stacks()["Stacks"]
    assert [stack["EnableTerminationProtection"] for stack in told] == [True, True]


def test_a_template_too_large_for_a_request_goes_through_a_private_bucket(account):
    account.queues = [f"{number:0>60}" for number in range(400)]
    account.deploy(**IMAGES)
    s3, bucket = account.client("s3"), account.environment.deploy_bucket
    (key,) = account.keys(bucket)
    assert key.startswith("templates/tilegate-dev/")
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    assert "aws:SecureTransport" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    account.deploy()
    assert "Stack tilegate-dev: nothing to change." in account.told


def test_a_backbone_becomes_what_nights_start_from(account, tmp_path):
    path = tmp_path / "mine.weights.h5"
    path.write_bytes(b"weights")
    account.deploy(path, **IMAGES)
    (key,) = [
        key for key in account.keys(account.environment.artifact_bucket) if key.endswith("/pretrained.weights.h5")
    ]
    folder = key.split("/")[1]
    template = account.client("cloudformation").get_template(StackName="tilegate-dev")["TemplateBody"]
    assert template["Description"] == f"weights {folder}"
    account.deploy()
    assert "Stack tilegate-dev: nothing to change." in account.told


def test_a_file_that_is_no_backbone_is_refused(account, tmp_path):
    path = tmp_path / "mine.h5"
    path.write_bytes(b"weights")
    with pytest.raises(UserError, match=r"mine.h5 is no \*.weights.h5"):
        account.deploy(path, **IMAGES)
    assert account.stacks() == {}


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (IMAGES | {"data": "registry.example.com/data:latest"}, "data image .* ends in @sha256:"),
        ({"data": IMAGES["data"]}, "give --model-image, --control-image as well"),
    ],
)
def test_images_come_together_and_by_digest(account, images, says):
    with pytest.raises(UserError, match=says):
        account.deploy(**images)


def test_an_image_that_was_not_pushed_is_noticed_before_anything_changes(account):
    ours = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/tilegate-dev/data@sha256:" + "1" * 64
    with pytest.raises(UserError, match=r"the data image .* is not there: push it first"):
        account.deploy(**IMAGES | {"data": ours})
    account.client("ecr").create_repository(repositoryName="tilegate-dev/data")
    with pytest.raises(UserError, match=r"the data image .* is not there: push it first"):
        account.deploy(**IMAGES | {"data": ours})
    assert account.stacks() == {}


def test_what_aws_forbids_is_one_sentence(account, monkeypatch):
    refused = ClientError(
        {
            "Error": {
                "Code": "AccessDenied",
                "Message": "User: arn:aws:iam::123456789012:user/ann is not authorized to perform: "
                "cloudformation:CreateChangeSet on resource: arn:aws:cloudformation:eu-west-1:123456789012:stack/x",
            }
        },
        "CreateChangeSet",
    )

    def refuse(**_):
        raise refused

    monkeypatch.setattr(account.client("cloudformation"), "create_change_set", refuse)
    with pytest.raises(
        UserError, match=r"cannot prepare the stack tilegate-dev-images: access denied: .*CreateChangeSet"
    ):
        account.deploy(**IMAGES)


@pytest.mark.parametrize("words", [("--percent", "101"), ("--budget", "0")])
def test_a_number_out_of_its_range_is_refused(words):
    assert CliRunner().invoke(command, ["--env", "dev", *words]).exit_code == 2


def test_every_option_of_a_deployment_can_be_given():
    named = {parameter.name for parameter in command.params}
    wanted = {field.name for kind in (Images, Options) for field in fields(kind)}
    assert wanted - named == {"s3_prefix_list"}


def test_a_list_is_replaced_and_emptied_by_an_empty_one():
    choices = choose({"approvers": ["arn:aws:iam::123456789012:role/ann"]}, {"approvers": ["x"], **IMAGES}, PREFIXES)
    assert choices.options.approvers == ("arn:aws:iam::123456789012:role/ann",)
    assert choose({"approvers": ()}, {"approvers": ["x"]}, PREFIXES).options.approvers == ()
    assert choose({"approvers": None}, {"channel": "beta"}, PREFIXES).options.channel == "beta"
