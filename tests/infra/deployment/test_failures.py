"""What CloudFormation tells when something fails, as the sentences of a deployment. Its answers are stubbed."""

import hashlib
from datetime import UTC, datetime

import boto3
import pytest
from botocore.stub import ANY, Stubber

from infra.deployment.change_sets import propose
from infra.deployment.stacks_in_aws import Stacks, StackState
from steps.core.common.errors import UserError

NOBODY = dict.fromkeys(("aws_access_key_id", "aws_secret_access_key"), "testing")
NAME = "tilegate-dev"
ID = f"arn:aws:cloudformation:eu-west-1:123456789012:stack/{NAME}/1"
STACK = StackState(NAME, ID, "UPDATE_IN_PROGRESS")
NOW = datetime(2026, 11, 25, tzinfo=UTC)
TAKEN = (
    'Resource handler returned message: "tilegate-dev-data already exists (Service: S3, Status Code: 409)" '
    "(RequestToken: 1-2-3, HandlerErrorCode: AlreadyExists)"
)


@pytest.fixture
def cloudformation():
    client = boto3.client("cloudformation", "eu-west-1", **NOBODY)
    with Stubber(client) as stubber:
        yield client, stubber
        stubber.assert_no_pending_responses()


def state_is(stubber, status):
    stack = {"StackName": NAME, "StackId": ID, "StackStatus": status, "CreationTime": NOW}
    stubber.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": ANY})


def events_are(stubber, *events):
    """Let the next look find these events, each (number, type, logical id, status, reason), the newest first."""
    told = [
        {
            "StackId": ID,
            "StackName": NAME,
            "EventId": str(number),
            "ResourceType": f"AWS::{kind}",
            "LogicalResourceId": name,
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
            "Timestamp": NOW,
        }
        for number, kind, name, status, reason in events
    ]
    stubber.add_response("describe_stack_events", {"StackEvents": told}, {"StackName": ID})


STARTED = (1, "CloudFormation::Stack", NAME, "UPDATE_IN_PROGRESS", "")
BUCKET = (2, "S3::Bucket", "BucketsData", "CREATE_FAILED", TAKEN)
OTHER = (3, "SQS::Queue", "Letters", "CREATE_FAILED", "Resource creation cancelled")
BACK = (4, "CloudFormation::Stack", NAME, "UPDATE_ROLLBACK_IN_PROGRESS", "")


def test_the_first_cause_is_told_without_its_wrapping(cloudformation):
    client, stubber = cloudformation
    told, slept = [], []
    # The cancelled one came first: it is no cause.
    state_is(stubber, "UPDATE_IN_PROGRESS")
    events_are(stubber, OTHER, STARTED)
    state_is(stubber, "UPDATE_ROLLBACK_IN_PROGRESS")
    events_are(stubber, BACK, BUCKET, OTHER, STARTED)
    state_is(stubber, "UPDATE_ROLLBACK_COMPLETE")
    events_are(stubber, BACK, BUCKET, OTHER, STARTED)
    with pytest.raises(UserError) as raised:
        Stacks(client, told.append, slept.append).follow(STACK, set(), "update")
    assert str(raised.value) == (
        "cannot update the stack tilegate-dev: BucketsData (AWS::S3::Bucket, BucketsData): tilegate-dev-data already "
        "exists (Service: S3, Status Code: 409); everything was put back as it was; mend that, and deploy again"
    )
    assert len(told) == 4
    assert len(slept) == 2


def test_a_state_of_before_is_not_taken_for_the_end(cloudformation):
    client, stubber = cloudformation
    state_is(stubber, "UPDATE_COMPLETE")
    events_are(stubber)
    state_is(stubber, "UPDATE_COMPLETE")
    events_are(stubber, (5, "CloudFormation::Stack", NAME, "UPDATE_COMPLETE", ""), STARTED)
    slept = []
    assert Stacks(client, print, slept.append).follow(STACK, set(), "update") == "UPDATE_COMPLETE"
    assert len(slept) == 1


def test_what_could_not_be_cleared_away_is_told_and_is_no_failure(cloudformation):
    client, stubber = cloudformation
    state_is(stubber, "UPDATE_COMPLETE")
    done = (6, "CloudFormation::Stack", NAME, "UPDATE_COMPLETE", "")
    events_are(stubber, done, (5, "EC2::SecurityGroup", "Old", "DELETE_FAILED", "it is in use"), STARTED)
    told = []
    assert Stacks(client, told.append, print).follow(STACK, set(), "update") == "UPDATE_COMPLETE"
    assert any("delete failed" in line for line in told)


def test_a_way_back_that_failed_says_what_to_do(cloudformation):
    client, stubber = cloudformation
    state_is(stubber, "UPDATE_ROLLBACK_FAILED")
    events_are(stubber, BUCKET, STARTED)
    with pytest.raises(UserError, match="the way back failed as well: look at tilegate-dev"):
        Stacks(client, print, print).follow(STACK, set(), "update")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("UPDATE_IN_PROGRESS", "is being changed by somebody"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name tilegate-dev"),
        ("DELETE_FAILED", "could not be removed wholly"),
    ],
)
def test_a_stack_that_cannot_be_changed_says_why(cloudformation, status, says):
    client, stubber = cloudformation
    state_is(stubber, status)
    with pytest.raises(UserError, match=says):
        propose(Stacks(client, print, print), NAME, {"TemplateBody": "{}"}, {})


def test_what_a_failed_first_attempt_left_is_removed_first(cloudformation):
    client, stubber = cloudformation
    state_is(stubber, "ROLLBACK_COMPLETE")
    events_are(stubber)
    stubber.add_response("delete_stack", {}, {"StackName": ID})
    state_is(stubber, "DELETE_COMPLETE")
    events_are(stubber, (6, "CloudFormation::Stack", NAME, "DELETE_COMPLETE", ""))
    arn = f"arn:aws:cloudformation:eu-west-1:123456789012:changeSet/{NAME}/1"
    stubber.add_response("create_change_set", {"Id": arn, "StackId": ID})
    stubber.add_response("describe_change_set", {"Status": "CREATE_IN_PROGRESS"}, {"ChangeSetName": arn})
    change = {"Action": "Add", "LogicalResourceId": "Queue", "ResourceType": "AWS::SQS::Queue"}
    page = {"Status": "CREATE_COMPLETE", "Changes": [{"Type": "Resource", "ResourceChange": change}]}
    stubber.add_response("describe_change_set", page | {"NextToken": "more"}, {"ChangeSetName": arn})
    stubber.add_response("describe_change_set", page, {"ChangeSetName": arn, "NextToken": "more"})
    state_is(stubber, "REVIEW_IN_PROGRESS")
    proposal = propose(Stacks(client, print, lambda _: None), NAME, {"TemplateBody": "{}"}, {})
    assert proposal.is_new
    assert len(proposal.changes) == 2


def test_a_change_set_that_a_killed_attempt_left_is_made_anew(cloudformation):
    client, stubber = cloudformation
    state_is(stubber, "REVIEW_IN_PROGRESS")
    source = {"TemplateBody": "{}"}
    name = "tilegate-" + hashlib.sha256(repr(sorted(source.items())).encode()).hexdigest()[:32]
    old, new = "arn:" + "x" * 20, "arn:" + "y" * 20
    stubber.add_response("list_change_sets", {"Summaries": [{"ChangeSetName": name, "ChangeSetId": old}]})
    stubber.add_response("delete_change_set", {}, {"ChangeSetName": old})
    stubber.add_response("create_change_set", {"Id": new, "StackId": ID})
    stubber.add_response("describe_change_set", {"Status": "CREATE_COMPLETE"}, {"ChangeSetName": new})
    state_is(stubber, "REVIEW_IN_PROGRESS")
    proposal = propose(Stacks(client, print, print), NAME, source, {})
    assert (proposal.arn, proposal.is_new, proposal.changes) == (new, True, ())


def test_a_refused_template_says_why_and_leaves_no_change_set(cloudformation):
    client, stubber = cloudformation
    stubber.add_client_error("describe_stacks", "ValidationError", f"Stack with id {NAME} does not exist")
    stubber.add_response("create_change_set", {"Id": "arn:" + "x" * 20, "StackId": ID})
    stubber.add_response("describe_change_set", {"Status": "FAILED", "StatusReason": "Transform failed"})
    stubber.add_response("delete_change_set", {}, {"ChangeSetName": "arn:" + "x" * 20})
    with pytest.raises(UserError, match="CloudFormation refuses the template of tilegate-dev: Transform failed"):
        propose(Stacks(client, print, print), NAME, {"TemplateBody": "{}"}, {})
