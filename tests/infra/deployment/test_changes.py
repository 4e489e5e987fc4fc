"""What of a change set costs contents, and how it is shown."""

import pytest

from infra.deployment.change_sets import Change, in_order

BUCKET, ROLE = "AWS::S3::Bucket", "AWS::IAM::Role"


@pytest.mark.parametrize(
    ("change", "loses"),
    [
        (Change("Remove", "data", BUCKET), True),
        (Change("Remove", "data", BUCKET, policy="Retain"), False),
        (Change("Modify", "data", BUCKET, "True"), True),
        (Change("Modify", "data", BUCKET, "Conditional"), True),
        (Change("Modify", "data", BUCKET, "True", "ReplaceAndRetain"), False),
        (Change("Modify", "data", BUCKET, "False"), False),
        (Change("Add", "data", BUCKET), False),
        (Change("Remove", "starter", ROLE), False),
        (Change("Remove", "key", "AWS::KMS::Key", policy="Delete"), True),
    ],
)
def test_contents_are_lost_where_what_holds_them_goes_and_is_not_kept(change, loses):
    assert change.loses == loses
    assert ("lost" in str(change)) == loses


def test_what_is_lost_is_shown_first_then_what_is_removed_and_replaced():
    added, removed = Change("Add", "b", ROLE), Change("Remove", "a", ROLE)
    changed, replaced = Change("Modify", "d", ROLE, "False"), Change("Modify", "c", ROLE, "True")
    lost = Change("Remove", "data", BUCKET)
    assert in_order([added, changed, replaced, removed, lost]) == [lost, removed, replaced, changed, added]


def test_a_change_is_read_as_cloudformation_tells_it():
    told = {"Action": "Modify", "LogicalResourceId": "Data", "ResourceType": BUCKET, "Replacement": "True"}
    assert str(Change.read({"ResourceChange": told | {"PhysicalResourceId": "tilegate-data"}})) == (
        "± AWS::S3::Bucket tilegate-data (replaced) - its contents are lost"
    )
