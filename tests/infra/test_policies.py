"""Least privilege, asked of the templates: IAM itself is nowhere enforced here."""

import fnmatch
import json
import re

import pytest
from policy_sentry.querying.actions import get_action_data

from pipelines.definition.step_table import STEPS, TRAINING
from tests.infra.conftest import ACCOUNT, of_type
from tests.infra.documented_rules import EVERY_UNSCOPED, UNSCOPED, broken
from tests.infra.iam import allowing, every_policy, many, statements_of

pytestmark = pytest.mark.integration

DUTIES = (
    "pipeline",
    "data",
    "training",
    "judge",
    "starter",
    "publisher",
    "recorder",
    "approver",
    "operator",
    "scheduler",
    "mlflow",
)
JOBS = ("data", "training", "judge")


def artifact(environment, key):
    return f"arn:aws:s3:::{environment.artifact_bucket}/{key}"


def data(environment, key):
    return f"arn:aws:s3:::{environment.data_bucket}/{key}"


def release(environment, key):
    return f"arn:aws:s3:::{environment.release_bucket}/{key}"


def test_no_role_has_a_managed_policy_or_a_wildcard_action(resources):
    for name, role in of_type(resources, "AWS::IAM::Role").items():
        assert "ManagedPolicyArns" not in role, name
    for name, policy in of_type(resources, "AWS::IAM::Policy").items():
        for statement in policy["PolicyDocument"]["Statement"]:
            assert not [action for action in many(statement["Action"]) if "*" in action], name


def test_only_actions_that_know_no_resource_are_allowed_on_all(resources):
    for name, policy in of_type(resources, "AWS::IAM::Policy").items():
        for statement in policy["PolicyDocument"]["Statement"]:
            if "*" in many(statement["Resource"]):
                assert set(many(statement["Action"])) <= EVERY_UNSCOPED, name


def test_nothing_is_narrowed_that_aws_documents_as_not_to_be(resources):
    """IAM takes such a statement, and so do cdk-nag and cfn-lint; the job or the alert is refused when it comes."""
    assert list(broken(resources)) == []
    scoped = {
        "Effect": "Allow",
        "Action": ["ec2:DeleteNetworkInterface"],
        "Resource": "*",
        "Condition": {"Bool": {"a": 1}},
    }
    foreign = {"Type": "AWS::IAM::Policy", "Properties": {"PolicyDocument": {"Statement": [scoped]}}}
    assert list(broken({"Foreign": foreign})) == [f"Foreign : {UNSCOPED[0].source}"]


@pytest.mark.parametrize("duty", JOBS)
def test_a_job_is_placed_in_its_network_and_encrypts_its_volumes_and_outputs(resources, duty):
    """What SageMaker asks of the role of a job in a VPC with keys for its volumes and its outputs."""
    statements = statements_of(resources, duty)
    key = next(f"<{n}.Arn>" for n in of_type(resources, "AWS::KMS::Key") if "KeysData" in n)
    for action in UNSCOPED[0].names():
        assert allowing(statements, action, "*"), action
    for action in ("kms:CreateGrant", "kms:DescribeKey", "kms:Encrypt"):
        assert allowing(statements, action, key), action


def test_mlflow_reads_writes_lists_and_deletes_below_its_own_prefix_alone(resources, environment):
    statements = statements_of(resources, "mlflow")
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        assert allowing(statements, action, artifact(environment, "mlflow/1/report.html"))
        assert not allowing(statements, action, artifact(environment, "runs/e1/x"))
    assert allowing(statements, "s3:ListBucket", f"arn:aws:s3:::{environment.artifact_bucket}")


def test_every_action_and_condition_key_is_known_to_aws_for_its_resource(resources):
    """The service authorization reference, as policy_sentry brings it, knows each of them."""
    problems = []
    for name, policy in of_type(resources, "AWS::IAM::Policy").items():
        for statement in policy["PolicyDocument"]["Statement"]:
            keys = {key for test in statement.get("Condition", {}).values() for key in test}
            wanted = [r for r in many(statement["Resource"]) if r != "*" and not r.startswith("<")]
            reached = set()
            for action in many(statement["Action"]):
                service, verb = action.split(":")
                rows = (get_action_data(service, verb) or {}).get(service, [])
                known = {key.lower() for row in rows for key in row["condition_keys"]}
                unknown = [k for k in keys if not k.startswith("aws:") and k.lower() not in known]
                fitting = {resource for resource in wanted if _fits(rows, resource)}
                reached |= fitting
                if not rows or unknown or (wanted and not fitting):
                    problems.append(f"{name}: {action} of {wanted} with {unknown}")
            problems += [f"{name}: no action is of {resource}" for resource in set(wanted) - reached]
    assert not problems, "\n".join(problems)


def _fits(rows, resource):
    """Tell whether an ARN is of a resource type that an action is for."""
    patterns = [re.sub(r"\$\{[^}]+\}", "*", row["resource_arn_format"]) for row in rows]
    plain = resource.replace("<", "").replace(">", "")
    probes = [plain.replace("*", "x"), plain.replace("*", "log-stream:x")]
    return any(fnmatch.fnmatchcase(probe, pattern) for probe in probes for pattern in patterns if pattern != "*")


def test_training_cannot_read_what_models_are_judged_on(resources, environment):
    statements = statements_of(resources, "training")
    seen = ["runs/e1/ValidateData/development/dataset.parquet", "weights/sample/sample.weights.h5"]
    for key in seen:
        assert allowing(statements, "s3:GetObject", artifact(environment, key)), key
    hidden = [
        "champions/abc/model.tar.gz",
        "ledger/EvaluateModel/x.json",
        "registry/g/decisions/00000001.json",
    ]
    hidden += [f"runs/e1/{told}/x" for step in STEPS if step.role == TRAINING for told in step.hidden if "/" in told]
    for key in hidden:
        assert not allowing(statements, "s3:GetObject", artifact(environment, key)), key
    for key in ("labelled/b/labels.csv", "datasets/d/manifest.jsonl", "catalogue/b.parquet", "plans/p/plan.json"):
        assert not allowing(statements, "s3:GetObject", data(environment, key)), key
    for key in ("tiles/spec/part/shard.tfrecord", "features/key/spec/part/shard.npy"):
        assert allowing(statements, "s3:GetObject", data(environment, key)), key


def test_the_judge_reads_held_out_data_and_writes_its_own_outputs_only(resources, environment):
    statements = statements_of(resources, "judge")
    reads = [
        "runs/e1/ValidateData/screenshots/dataset.parquet",
        "champions/a/model.tar.gz",
        "training/j/output/model.tar.gz",
    ]
    for key in reads:
        assert allowing(statements, "s3:GetObject", artifact(environment, key)), key
    for key in ("runs/e1/EvaluateModel/evaluation/evaluation.json", "ledger/EvaluateModel/look.json"):
        assert allowing(statements, "s3:PutObject", artifact(environment, key)), key
    for key in (
        "champions/a/model.tar.gz",
        "ledgers/a/ledger.json",
        "training/j/output/model.tar.gz",
        "nights/t/claim.json",
    ):
        assert not allowing(statements, "s3:PutObject", artifact(environment, key)), key


@pytest.mark.parametrize("duty", JOBS)
def test_a_job_deletes_nothing_and_touches_neither_labels_nor_releases_nor_decisions(resources, environment, duty):
    statements = statements_of(resources, duty)
    for action in ("s3:DeleteObject", "s3:DeleteObjectVersion"):
        for where in (data, artifact, release):
            assert not allowing(statements, action, where(environment, "runs/e1/anything"))
    for key in ("labelled/b/labels.csv", "catalogue/b.json", "datasets/d/manifest.jsonl"):
        assert not allowing(statements, "s3:PutObject", data(environment, key))
    for verb in ("s3:GetObject", "s3:PutObject"):
        assert not allowing(statements, verb, release(environment, "channels/stable.json"))
        assert not allowing(statements, verb, artifact(environment, "registry/g/decisions/00000001.json"))


@pytest.mark.parametrize("duty", DUTIES)
def test_one_role_signs_one_releases_one_decides_and_one_kind_starts(resources, environment, duty):
    statements = statements_of(resources, duty)
    signing = next(n for n in of_type(resources, "AWS::KMS::Key") if "Signing" in n)
    group = environment.model_package_group
    probes = {
        ("kms:Sign", f"<{signing}.Arn>"): {"publisher"},
        ("s3:PutObject", release(environment, "channels/stable.json")): {"publisher"},
        ("s3:PutObject", artifact(environment, "registry/g/decisions/00000001.json")): {"approver"},
        ("sagemaker:UpdateModelPackage", environment.arn("sagemaker", f"model-package/{group}/1")): {"approver"},
        ("sagemaker:CreateModelPackage", environment.arn("sagemaker", f"model-package-group/{group}")): {"pipeline"},
        ("sagemaker:StartPipelineExecution", environment.pipeline_arn): {"starter", "operator"},
        ("sagemaker:StopPipelineExecution", f"{environment.pipeline_arn}/execution/e1"): {"operator"},
        ("sagemaker:CreateTrainingJob", environment.arn("sagemaker", "training-job/any")): {"pipeline"},
        ("iam:PassRole", environment.role_arn("training")): {"pipeline"},
        ("sagemaker:DescribeTrainingJob", environment.arn("sagemaker", "training-job/any")): {
            *("pipeline", "recorder", "operator"),
        },
        ("s3:DeleteObject", data(environment, "inbox/b/labels.csv")): {"starter", "operator"},
        ("lambda:InvokeFunction", environment.arn("lambda", f"function:{environment.function('publisher')}")): {
            "approver"
        },
        ("sagemaker:StartPipelineExecution", environment.arn("sagemaker", "pipeline/another")): set(),
        ("iam:PassRole", environment.role_arn("publisher")): set(),
        ("s3:DeleteObject", data(environment, "labelled/b/labels.csv")): set(),
        ("s3:DeleteObject", release(environment, "channels/stable.json")): set(),
        ("s3:PutBucketPolicy", f"arn:aws:s3:::{environment.release_bucket}"): set(),
    }
    for (action, resource), wanted in probes.items():
        assert bool(allowing(statements, action, resource)) == (duty in wanted), (duty, action, resource)


def test_roles_are_passed_to_sagemaker_alone(resources):
    passing = [s for s in statements_of(resources, "pipeline") if "iam:PassRole" in many(s["Action"])]
    assert [s["Condition"] for s in passing] == [{"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}]
    assert not [arn for s in passing for arn in many(s["Resource"]) if "*" in arn]


def test_the_pipeline_creates_only_jobs_that_are_isolated_encrypted_and_in_our_network(resources):
    create = next(s for s in statements_of(resources, "pipeline") if s.get("Sid") == "Create")
    condition = create["Condition"]
    assert condition["Bool"] == {
        "sagemaker:NetworkIsolation": "true",
        "sagemaker:InterContainerTrafficEncryption": "true",
    }
    assert set(condition["ForAllValues:StringEquals"]) == {"sagemaker:VpcSubnets", "sagemaker:VpcSecurityGroupIds"}
    assert condition["Null"] == {"sagemaker:VpcSubnets": "false", "sagemaker:VpcSecurityGroupIds": "false"}
    assert "sagemaker:OutputKmsKey" in condition["ArnEquals"]


def test_the_pipeline_registers_only_versions_that_wait_for_a_person(resources):
    register = next(s for s in statements_of(resources, "pipeline") if s.get("Sid") == "Register")
    assert register["Condition"] == {"StringEquals": {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}}


@pytest.mark.parametrize("duty", [d for d in DUTIES if d not in ("approver", "operator")])
def test_a_service_takes_a_role_on_for_this_account_only(resources, duty):
    role = _role(resources, duty)
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert set(statement["Principal"]) == {"Service"}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}


@pytest.mark.parametrize("duty", ["approver", "operator"])
def test_people_need_a_second_factor_and_no_role_of_the_deployment_takes_theirs(resources, environment, duty):
    allowed, denied = _role(resources, duty)["AssumeRolePolicyDocument"]["Statement"]
    assert allowed["Condition"] == {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    assert denied["Effect"] == "Deny"
    assert denied["Condition"] == {"ArnLike": {"aws:PrincipalArn": environment.role_arn("*")}}


def test_inline_policies_fit_into_a_role(resources):
    for name, policy in of_type(resources, "AWS::IAM::Policy").items():
        assert len(json.dumps(policy["PolicyDocument"], separators=(",", ":"))) < 10_240, name
    for name, policy in of_type(resources, "AWS::S3::BucketPolicy").items():
        assert len(json.dumps(policy["PolicyDocument"], separators=(",", ":"))) < 20_480, name


def test_sids_are_such_as_iam_takes(resources):
    for name, policy in every_policy(resources):
        sids = [s["Sid"] for s in policy["Statement"] if "Sid" in s]
        assert all(re.fullmatch(r"[A-Za-z0-9]+", sid) for sid in sids), name
        assert len(sids) == len(set(sids)), name


def _role(resources, duty):
    return next(r for r in of_type(resources, "AWS::IAM::Role").values() if r["RoleName"].endswith(f"-{duty}"))
