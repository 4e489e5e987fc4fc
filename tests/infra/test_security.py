"""Every bucket, key, queue, topic, function and image, held against what each of its kind has to be."""

import json

import pytest

from tests.infra.conftest import PREFIX_LIST, of_type
from tests.infra.iam import every_policy, many, text

pytestmark = pytest.mark.integration


def policies_of(resources, kind, field):
    """Return the statements of resource policies by what they belong to, as text."""
    found = {}
    for properties in of_type(resources, kind).values():
        owner = properties[field]
        for one in owner if isinstance(owner, list) else [owner]:
            found.setdefault(text(one), []).extend(properties["PolicyDocument"]["Statement"])
    return found


def by_sid(statements):
    return {s.get("Sid", ""): s for s in statements}


def named(buckets, policies, name):
    logical = next(key for key, b in buckets.items() if b["BucketName"] == name)
    return by_sid(policies[f"<{logical}>"])


@pytest.fixture(scope="session")
def buckets(resources):
    return of_type(resources, "AWS::S3::Bucket")


@pytest.fixture(scope="session")
def bucket_policies(resources):
    return policies_of(resources, "AWS::S3::BucketPolicy", "Bucket")


def test_every_bucket_is_private_versioned_and_encrypted(buckets):
    assert len(buckets) == 4
    for name, bucket in buckets.items():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}, name
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}, name
        assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}], name
        assert "AccessControl" not in bucket, name


def test_buckets_of_data_take_the_data_key_and_log_who_reads_them(buckets):
    for name, bucket in buckets.items():
        if "AccessLogs" in name:
            continue
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["BucketKeyEnabled"] is True, name
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms", name
        assert "KeysData" in text(rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"]), name
        assert "AccessLogs" in text(bucket["LoggingConfiguration"]["DestinationBucketName"]), name


def test_every_bucket_refuses_plain_http_and_old_tls(buckets, bucket_policies):
    for name in buckets:
        denied = [s for s in bucket_policies[f"<{name}>"] if s["Effect"] == "Deny" and s["Action"] == "s3:*"]
        conditions = [s["Condition"] for s in denied]
        assert {"Bool": {"aws:SecureTransport": "false"}} in conditions, name
        assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in conditions, name


def test_unfinished_and_replaced_objects_do_not_pile_up(buckets):
    for name, bucket in buckets.items():
        rules = bucket["LifecycleConfiguration"]["Rules"]
        assert any("AbortIncompleteMultipartUpload" in rule for rule in rules), name
        assert any("NoncurrentVersionExpiration" in rule for rule in rules), name


def test_only_what_can_be_made_again_expires(buckets, environment):
    expiring = {
        b["BucketName"]: {
            r["Prefix"]: r["ExpirationInDays"] for r in b["LifecycleConfiguration"]["Rules"] if "Prefix" in r
        }
        for n, b in buckets.items()
        if "AccessLogs" not in n
    }
    assert expiring[environment.data_bucket] == expiring[environment.release_bucket] == {}
    assert set(expiring[environment.artifact_bucket]) == {"runs/", "training/", "tuning/", "checkpoints/"}
    # The step cache of 30 days refers to what these hold.
    assert min(d for p, d in expiring[environment.artifact_bucket].items() if p != "checkpoints/") >= 60
    for bucket in buckets.values():
        assert not [
            r for r in bucket["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in r and "Prefix" not in r
        ] or ("access-logs" in bucket["BucketName"])


@pytest.mark.parametrize("which", ["data_bucket", "artifact_bucket", "release_bucket"])
def test_objects_under_another_key_are_refused(buckets, bucket_policies, environment, which):
    statements = named(buckets, bucket_policies, getattr(environment, which))
    other, unnamed = statements["NoOtherKey"], statements["NoUnnamedKey"]
    header = "s3:x-amz-server-side-encryption"
    for statement in (other, unnamed):
        assert (statement["Effect"], statement["Action"], statement["Principal"]) == (
            "Deny",
            "s3:PutObject",
            {"AWS": "*"},
        )
    assert "KeysData" in text(other["Condition"]["StringNotEquals"][f"{header}-aws-kms-key-id"])
    assert other["Condition"]["Null"] == {f"{header}-aws-kms-key-id": "false"}
    assert unnamed["Condition"] == {"Null": {header: "false", f"{header}-aws-kms-key-id": "true"}}
    # A request for checkpoints can name no key, so what SageMaker sends with them is not ours to say.
    exempt = ["/checkpoints/*"] if which == "artifact_bucket" else []
    assert [text(arn).partition(">")[2] for arn in many(unnamed.get("NotResource", []))] == exempt


def test_the_publisher_alone_writes_releases(buckets, bucket_policies, environment):
    statement = named(buckets, bucket_policies, environment.release_bucket)["PublisherAlone"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:PutObject")
    assert text(statement["Resource"]).endswith("/*")
    assert statement["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": environment.role_arn("publisher")}}


def test_the_approver_alone_appends_decisions_and_replaces_none(buckets, bucket_policies, environment):
    statements = named(buckets, bucket_policies, environment.artifact_bucket)
    alone, appended = statements["ApproverAlone"], statements["DecisionsAreAppended"]
    for statement in (alone, appended):
        assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:PutObject")
        assert text(statement["Resource"]).endswith("/registry/*/decisions/*")
    assert alone["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": environment.role_arn("approver")}}
    assert appended["Condition"] == {"Null": {"s3:if-none-match": "true"}}


@pytest.mark.parametrize(
    ("which", "prefixes"),
    [
        ("data_bucket", {"catalogue", "datasets", "withdrawn"}),
        ("artifact_bucket", {"registry", "ledger", "champions"}),
        ("release_bucket", {"releases", "channels"}),
    ],
)
def test_no_role_of_the_deployment_removes_what_is_kept_for_ever(
    buckets, bucket_policies, environment, which, prefixes
):
    statement = named(buckets, bucket_policies, getattr(environment, which))["KeptForEver"]
    assert set(many(statement["Action"])) == {"s3:DeleteObject", "s3:DeleteObjectVersion"}
    assert {arn.rpartition(">/")[2].removesuffix("/*") for arn in many(statement["Resource"])} == prefixes
    assert statement["Condition"] == {"ArnLike": {"aws:PrincipalArn": environment.role_arn("*")}}


def test_the_operator_alone_of_all_roles_erases_what_was_delivered(buckets, bucket_policies, environment):
    statements = named(buckets, bucket_policies, environment.data_bucket)
    erases, appended = statements["OperatorAloneErases"], statements["WithdrawalsAreAppended"]
    assert set(many(erases["Action"])) == {"s3:DeleteObject", "s3:DeleteObjectVersion"}
    assert text(erases["Resource"]).endswith("/labelled/*")
    assert erases["Condition"] == {
        "ArnLike": {"aws:PrincipalArn": environment.role_arn("*")},
        "ArnNotEquals": {"aws:PrincipalArn": environment.role_arn("operator")},
    }
    assert text(appended["Resource"]).endswith("/withdrawn/*")
    assert appended["Condition"] == {"Null": {"s3:if-none-match": "true"}}


@pytest.mark.parametrize("which", ["data_bucket", "artifact_bucket"])
def test_jobs_delete_nothing_at_all(buckets, bucket_policies, environment, which):
    statement = named(buckets, bucket_policies, getattr(environment, which))["JobsDeleteNothing"]
    roles = {environment.role_arn(duty) for duty in ("data", "training", "judge", "pipeline")}
    assert set(statement["Condition"]["ArnEquals"]["aws:PrincipalArn"]) == roles
    assert {"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutBucketPolicy"} <= set(many(statement["Action"]))


def test_no_policy_lets_everybody_in(resources):
    for name, policy in every_policy(resources):
        for statement in policy["Statement"]:
            if statement["Effect"] == "Allow" and statement.get("Principal") in ("*", {"AWS": "*"}):
                condition = json.dumps(statement.get("Condition", {}))
                assert "aws:PrincipalAccount" in condition or "aws:SourceAccount" in condition, name


def test_symmetric_keys_rotate(resources):
    keys = of_type(resources, "AWS::KMS::Key")
    assert len(keys) == 4
    for name, key in keys.items():
        assert key.get("KeySpec") == "ECC_NIST_P256" or key["EnableKeyRotation"] is True, name


def test_iam_alone_gives_nobody_the_right_to_sign(resources, environment):
    key = next(key for name, key in of_type(resources, "AWS::KMS::Key").items() if "Signing" in name)
    assert (key["KeySpec"], key["KeyUsage"]) == ("ECC_NIST_P256", "SIGN_VERIFY")
    signing = [s for s in key["KeyPolicy"]["Statement"] if {"kms:Sign", "kms:*"} & set(many(s["Action"]))]
    assert [s["Condition"]["ArnEquals"] for s in signing] == [{"aws:PrincipalArn": environment.role_arn("publisher")}]
    assert not [s for s in key["KeyPolicy"]["Statement"] if "kms:CreateGrant" in many(s["Action"])]


def test_repositories_keep_what_was_pushed_and_scan_it(resources, environment):
    repositories = of_type(resources, "AWS::ECR::Repository")
    assert {r["RepositoryName"] for r in repositories.values()} == {
        environment.repository(i) for i in ("data", "model", "control")
    }
    for name, repository in repositories.items():
        assert repository["ImageTagMutability"] == "IMMUTABLE", name
        assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}, name
        assert repository["EncryptionConfiguration"]["EncryptionType"] == "KMS", name
        assert repository["LifecyclePolicy"], name


def test_the_network_has_no_way_out(resources):
    kinds = {r["Type"] for r in resources.values()}
    ways_out = ("InternetGateway", "NatGateway", "EgressOnlyInternetGateway", "Route", "VPCPeeringConnection", "EIP")
    assert not kinds & {f"AWS::EC2::{kind}" for kind in ways_out}
    assert {s["MapPublicIpOnLaunch"] for s in of_type(resources, "AWS::EC2::Subnet").values()} == {False}
    (flows,) = of_type(resources, "AWS::EC2::FlowLog").values()
    assert flows["TrafficType"] == "REJECT"


def test_the_security_group_opens_to_itself_and_s3_alone(resources):
    (group,) = of_type(resources, "AWS::EC2::SecurityGroup").values()
    assert "SecurityGroupIngress" not in group
    assert [(r["DestinationPrefixListId"], r["FromPort"], r["ToPort"]) for r in group["SecurityGroupEgress"]] == [
        (PREFIX_LIST, 443, 443)
    ]
    # Training on several hosts hangs without the last two, as traffic between them is encrypted (DG train-encrypt).
    wanted = [("50", None, None), ("tcp", 0, 65535), ("udp", 500, 500)]
    for kind, field in (("Ingress", "SourceSecurityGroupId"), ("Egress", "DestinationSecurityGroupId")):
        rules = list(of_type(resources, f"AWS::EC2::SecurityGroup{kind}").values())
        opened = sorted((r["IpProtocol"], r.get("FromPort"), r.get("ToPort")) for r in rules)
        assert opened == wanted
        assert all(rule["GroupId"] == rule[field] and "CidrIp" not in rule for rule in rules)


def test_the_door_to_s3_leads_to_our_buckets_and_knows_no_deleting(resources, environment):
    (endpoint,) = of_type(resources, "AWS::EC2::VPCEndpoint").values()
    assert endpoint["VpcEndpointType"] == "Gateway"
    (statement,) = endpoint["PolicyDocument"]["Statement"]
    names = (environment.data_bucket, environment.artifact_bucket)
    assert set(statement["Resource"]) == {f"arn:aws:s3:::{n}{rest}" for n in names for rest in ("", "/*")}
    assert not [a for a in statement["Action"] if "*" in a or "Delete" in a]


def test_every_queue_and_topic_is_encrypted_and_wants_tls(resources):
    queues, topics = of_type(resources, "AWS::SQS::Queue"), of_type(resources, "AWS::SNS::Topic")
    assert (len(queues), len(topics)) == (4, 1)
    for name, thing in {**queues, **topics}.items():
        assert "KeysOperations" in text(thing["KmsMasterKeyId"]), name
    policies = policies_of(resources, "AWS::SQS::QueuePolicy", "Queues") | policies_of(
        resources, "AWS::SNS::TopicPolicy", "Topics"
    )
    assert len(policies) == 5
    for owner, statements in policies.items():
        refused = [s for s in statements if s["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in [s["Condition"] for s in refused], owner


def test_every_target_has_a_queue_for_what_cannot_be_delivered(resources):
    for name, rule in of_type(resources, "AWS::Events::Rule").items():
        for target in rule["Targets"]:
            assert target["DeadLetterConfig"]["Arn"], name
            assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0, name
    (schedule,) = of_type(resources, "AWS::Scheduler::Schedule").values()
    assert schedule["Target"]["DeadLetterConfig"]["Arn"]
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] > 0
    delivered = of_type(resources, "AWS::Lambda::EventInvokeConfig").values()
    assert len(delivered) == len(of_type(resources, "AWS::Lambda::Function")) == 3
    for config in delivered:
        assert config["DestinationConfig"]["OnFailure"]["Destination"]
        assert config["MaximumRetryAttempts"] == 2


def test_rules_may_put_letters_into_the_queues_they_name(resources):
    policies = policies_of(resources, "AWS::SQS::QueuePolicy", "Queues")
    for rule in of_type(resources, "AWS::Events::Rule").values():
        for target in rule["Targets"]:
            queue = f"<{target['DeadLetterConfig']['Arn']['Fn::GetAtt'][0]}>"
            sources = [
                text(s["Condition"]["ArnEquals"]["aws:SourceArn"]) for s in policies[queue] if s["Effect"] == "Allow"
            ]
            assert any(source.endswith(f"rule/{rule['Name']}") for source in sources), rule["Name"]


def test_every_function_is_pinned_bounded_and_logs_to_an_encrypted_group(resources):
    groups = {g["LogGroupName"]: g for g in of_type(resources, "AWS::Logs::LogGroup").values()}
    for group in groups.values():
        assert group["RetentionInDays"]
        assert "KeysOperations" in text(group["KmsKeyId"])
    for name, function in of_type(resources, "AWS::Lambda::Function").items():
        assert "@sha256:" in function["Code"]["ImageUri"], name
        assert function["ReservedConcurrentExecutions"] > 0, name
        assert "KeysOperations" in text(function["KmsKeyArn"]), name
        assert f"/aws/lambda/{function['FunctionName']}" in groups, name
        assert "VpcConfig" not in function, name


def test_handlers_are_where_the_image_looks_for_them(resources):
    from importlib.util import find_spec

    for function in of_type(resources, "AWS::Lambda::Function").values():
        (command,) = function["ImageConfig"]["Command"]
        assert find_spec(command.removesuffix(".handler")), command


def test_what_is_lost_with_a_stack_is_kept_in_prod(templates, environment):
    stateful = ("AWS::S3::Bucket", "AWS::KMS::Key", "AWS::ECR::Repository", "AWS::Logs::LogGroup")
    found = [r for t in templates.values() for r in t["Resources"].values() if r["Type"] in stateful]
    wanted = "RetainExceptOnCreate" if environment.name == "prod" else "Delete"
    assert {r["DeletionPolicy"] for r in found} == {wanted}
