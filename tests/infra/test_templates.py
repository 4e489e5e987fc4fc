"""What the templates build: the pipeline as compiled, a schedule, rules, alarms, a budget."""

import json
import re
from dataclasses import replace

import pytest

from infra.options import Images, Options
from infra.template.pipeline import compile_minified, placeholder_settings
from infra.template.synth import synthesise
from pipelines.definition.requests import check_requests
from steps.core.common.errors import UserError
from tests.infra.conftest import PREFIX_LIST, images_of, of_type
from tests.infra.iam import text

pytestmark = pytest.mark.integration

SECRET = re.compile(r"AKIA[0-9A-Z]{16}|-----BEGIN|(?i:password|secret_?access|api_?key)\W")


def deployed(resources, replacing):
    """Return the definition as CloudFormation would make it, with values for the stack's references."""
    (pipeline,) = of_type(resources, "AWS::SageMaker::Pipeline").values()
    body = text(pipeline["PipelineDefinition"]["PipelineDefinitionBody"])
    return re.sub(r"<([\w.]+)>", lambda match: replacing(match[1]), body)


def test_an_environment_has_two_stacks_and_images_come_first(templates, environment):
    assert list(templates) == [environment.images_stack, environment.project]


def test_the_repositories_can_be_deployed_before_there_are_images(environment, options):
    assert list(synthesise(environment, None, options)) == [environment.images_stack]


def test_nothing_has_to_be_uploaded_or_bootstrapped(templates):
    for name, template in templates.items():
        assert "Parameters" not in template, name
        assert "Rules" not in template, name
        assert "cdk-bootstrap" not in json.dumps(template), name
        assert len(json.dumps(template)) < 1_000_000, name
        assert len(template["Resources"]) < 500, name


def test_the_definition_in_the_template_is_the_compiled_one(resources, environment):
    body = deployed(resources, lambda name: name.replace(".", "-").lower())
    assert without_own_digest(body) == without_own_digest(_compiled(resources, environment))
    assert "placeholder" not in body


def without_own_digest(definition):
    """A definition that is deployed names itself by what it was compiled to, before the stack's ids came in."""
    text, count = re.subn(r'"definition":"[0-9a-f]{64}"', '"definition":""', definition)
    assert count == 1
    return text


def _compiled(resources, environment):
    """Compile with the very names that the template's references stand for."""
    find = lambda kind, part="": next(n for n in of_type(resources, kind) if part in n)  # noqa: E731
    subnets = [f"{n}".lower() for n in of_type(resources, "AWS::EC2::Subnet")]
    group = f"{find('AWS::EC2::SecurityGroup')}-GroupId".lower()
    key = f"{find('AWS::KMS::Key', 'KeysData')}-Arn".lower()
    settings = placeholder_settings(environment, images_of(environment))
    return compile_minified(replace(settings, subnets=tuple(subnets), security_groups=(group,), kms_key_arn=key))


def test_every_request_of_the_definition_is_valid_and_holds_no_secret(resources):
    values = {
        "Subnet0": "subnet-0a",
        "Subnet1": "subnet-0b",
        "Group": "sg-0a",
        "Key": "arn:aws:kms:eu-west-1:123456789012:key/k",
    }
    body = deployed(resources, lambda name: next(value for part, value in values.items() if part in name))
    assert check_requests(json.loads(body)) == []
    assert not SECRET.search(body)


def test_the_templates_hold_no_secret(templates):
    assert not SECRET.search(json.dumps(templates))


def test_names_are_the_environments(resources, environment):
    (pipeline,) = of_type(resources, "AWS::SageMaker::Pipeline").values()
    (group,) = of_type(resources, "AWS::SageMaker::ModelPackageGroup").values()
    assert pipeline["PipelineName"] == environment.pipeline
    assert "_" not in pipeline["PipelineName"]
    assert group["ModelPackageGroupName"] == environment.model_package_group
    buckets = {b["BucketName"] for b in of_type(resources, "AWS::S3::Bucket").values()}
    assert {environment.data_bucket, environment.artifact_bucket, environment.release_bucket} < buckets
    aliases = {a["AliasName"] for a in of_type(resources, "AWS::KMS::Alias").values()}
    assert environment.signing_key_alias in aliases
    functions = {f["FunctionName"] for f in of_type(resources, "AWS::Lambda::Function").values()}
    assert functions == {environment.function(name) for name in ("starter", "publisher", "recorder")}
    assert pipeline["ParallelismConfiguration"]["MaxParallelExecutionSteps"] > 0


def test_the_night_is_held_in_prod_and_not_in_dev(resources, environment):
    (schedule,) = of_type(resources, "AWS::Scheduler::Schedule").values()
    assert schedule["State"] == ("ENABLED" if environment.name == "prod" else "DISABLED")
    fields = re.fullmatch(r"cron\((.+)\)", schedule["ScheduleExpression"])[1].split()
    assert len(fields) == 6
    assert schedule["Target"]["Arn"] == environment.arn("lambda", f"function:{environment.function('starter')}")


def test_nights_run_with_the_parameters_that_were_chosen(resources):
    starter = next(
        f for f in of_type(resources, "AWS::Lambda::Function").values() if f["FunctionName"].endswith("-starter")
    )
    assert json.loads(starter["Environment"]["Variables"]["TILEGATE_PARAMETERS"]) == {"MaxFpr": 0.005}


def test_a_missing_night_is_an_alarm_where_nights_are_held(resources, environment):
    alarms = {a["AlarmName"]: a for a in of_type(resources, "AWS::CloudWatch::Alarm").values()}
    name = f"{environment.project}-no-decision"
    assert (name in alarms) == (environment.name == "prod")
    if name in alarms:
        alarm = alarms[name]
        assert alarm["TreatMissingData"] == "breaching"
        assert alarm["Period"] * alarm["EvaluationPeriods"] == 26 * 3600
        assert (alarm["Namespace"], alarm["MetricName"]) == (environment.metric_namespace, "Decisions")


def test_every_alarm_tells_the_topic_and_says_what_to_do(resources):
    alarms = of_type(resources, "AWS::CloudWatch::Alarm")
    names = {a["AlarmName"].split("-", 2)[2] for a in alarms.values()}
    wanted = {"execution-failed", "candidate-rejected", "starter-errors", "publisher-errors", "release-refused"}
    assert wanted | {f"{n}-dead-letters" for n in ("starter", "publisher", "alerts")} <= names
    for name, alarm in alarms.items():
        assert "AlertsTopic" in text(alarm["AlarmActions"][0]), name
        assert ":" in alarm["AlarmDescription"], name


def test_alarms_of_rules_name_rules_that_exist(resources):
    rules = {rule["Name"] for rule in of_type(resources, "AWS::Events::Rule").values()}
    watched = {
        d["Value"]
        for a in of_type(resources, "AWS::CloudWatch::Alarm").values()
        for d in a.get("Dimensions", [])
        if d["Name"] == "RuleName"
    }
    assert watched
    assert watched < rules


def test_only_approvals_of_our_group_reach_the_publisher(resources, environment):
    rule = next(r for r in of_type(resources, "AWS::Events::Rule").values() if r["Name"].endswith("-approved"))
    assert rule["EventPattern"]["detail"] == {
        "ModelPackageGroupName": [environment.model_package_group],
        "ModelApprovalStatus": ["Approved"],
    }
    permissions = of_type(resources, "AWS::Lambda::Permission").values()
    assert {p["Principal"] for p in permissions} == {"events.amazonaws.com"}
    assert {text(p["SourceArn"]).split("Rule")[0] for p in permissions} == {"<Approval", "<Recording"}


def test_only_executions_that_have_ended_are_recorded(resources, environment):
    rule = next(r for r in of_type(resources, "AWS::Events::Rule").values() if r["Name"].endswith("-execution-ended"))
    assert rule["EventPattern"]["detail"] == {
        "pipelineArn": [environment.pipeline_arn],
        "currentPipelineExecutionStatus": ["Succeeded", "Failed", "Stopped"],
    }


def test_the_budget_tells_before_and_when_the_money_is_gone(resources, environment):
    (budget,) = of_type(resources, "AWS::Budgets::Budget").values()
    assert budget["Budget"]["CostFilters"] == {"TagKeyValue": [f"user:project${environment.project}"]}
    told = [
        (n["Notification"]["NotificationType"], n["Notification"]["Threshold"])
        for n in budget["NotificationsWithSubscribers"]
    ]
    assert told == [("ACTUAL", 80), ("FORECASTED", 100)]


def test_what_can_be_tagged_tells_its_project(resources, environment):
    for kind in (
        "AWS::S3::Bucket",
        "AWS::KMS::Key",
        "AWS::Lambda::Function",
        "AWS::SageMaker::Pipeline",
        "AWS::IAM::Role",
    ):
        for name, properties in of_type(resources, kind).items():
            assert {"Key": "project", "Value": environment.project} in properties["Tags"], name


def test_mlflow_is_the_serverless_app_unless_a_server_is_wanted(resources, environment, options):
    assert of_type(resources, "AWS::SageMaker::MlflowApp")
    if environment.name == "dev":
        template = synthesise(environment, images_of(environment), replace(options, mlflow="server"))[
            environment.project
        ]
        assert of_type(template["Resources"], "AWS::SageMaker::MlflowTrackingServer")
        assert not of_type(template["Resources"], "AWS::SageMaker::MlflowApp")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schedule": "cron(0 2 * * *)"}, "six fields"),
        ({"schedule": "rate(1 day)"}, "six fields"),
        ({"s3_prefix_list": ""}, "pl-"),
        ({"approvers": ("*",)}, "without a wildcard"),
        ({"spot": True, "warm_pool_seconds": 60}, "choose one of the two"),
        ({"trusted_keys": ("no key",)}, "trusted keys: a public key in PEM is wanted"),
        ({"parameters": ("MaxFpr",)}, "NAME=VALUE is wanted"),
        ({"parameters": ("MaxFPR=0.1",)}, "with one of .*MaxFpr"),
        ({"parameters": ("MaxFpr=low",)}, "'low' is not of its kind, float"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes, said):
    with pytest.raises(UserError, match=said):
        Options(**{"s3_prefix_list": PREFIX_LIST, **changes})


def test_an_image_by_its_tag_is_refused():
    with pytest.raises(UserError, match="sha256"):
        Images("repository/data:latest", "repository/model:1", "repository/control:1")


@pytest.mark.parametrize("duty", ["training", "publisher", "starter"])
def test_a_role_of_the_deployment_is_no_person(environment, options, duty):
    with pytest.raises(UserError, match="role of this deployment"):
        synthesise(environment, images_of(environment), replace(options, approvers=(environment.role_arn(duty),)))


def test_approvers_are_those_that_were_named(environment, options):
    people = ("arn:aws:iam::123456789012:role/release-managers", "arn:aws:iam::123456789012:user/ada")
    if environment.name == "prod":
        template = synthesise(environment, images_of(environment), replace(options, approvers=people))[
            environment.project
        ]
        role = next(
            r for r in of_type(template["Resources"], "AWS::IAM::Role").values() if r["RoleName"].endswith("-approver")
        )
        allowed = [s for s in role["AssumeRolePolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
        assert sorted(s["Principal"]["AWS"] for s in allowed) == sorted(people)
        assert all(s["Condition"] == {"Bool": {"aws:MultiFactorAuthPresent": "true"}} for s in allowed)
