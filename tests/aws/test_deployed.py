"""What the deployed stacks do, by behaviour: schedules, approvals, failures and rejections reach whom they should."""

import json
import re
from dataclasses import replace

import pytest
from moto.awslambda.models import lambda_backends

from infra.template.pipeline import compile_minified, placeholder_settings
from pipelines.definition.requests import check_requests
from tests.aws.executions import EXECUTION, STEP
from tests.infra.conftest import ACCOUNT, REGION, images_of

pytestmark = pytest.mark.aws

STARTER, PUBLISHER = "tilegate-prod-starter", "tilegate-prod-publisher"
OWN_DIGEST = re.compile(r'"definition":"[0-9a-f]{64}"')
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/tilegate-prod/execution/abc"


def version(cloud):
    created = cloud.client("sagemaker").create_model_package(
        ModelPackageGroupName=cloud.environment.model_package_group, ModelApprovalStatus="PendingManualApproval"
    )
    return created["ModelPackageArn"]


def fail(_event, _context):
    raise RuntimeError("no permission kms:Sign")


def test_every_resource_of_the_templates_is_made(cloud):
    for name, template in cloud.templates.items():
        status = cloud.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        assert status == "CREATE_COMPLETE"
        missing = template["Resources"].keys() - cloud.resources(name).keys()
        assert not missing, {n: template["Resources"][n]["Type"] for n in missing}


def test_the_definition_described_back_is_what_the_compiler_gives_for_the_stacks_own_network_and_key(cloud):
    text = cloud.client("sagemaker").describe_pipeline(PipelineName=cloud.environment.pipeline)["PipelineDefinition"]
    pipeline = json.loads(text)
    (network,) = {json.dumps(found) for found in of_key(pipeline, "VpcConfig")}
    (key,) = {found for name in ("VolumeKmsKeyId", "KmsKeyId") for found in of_key(pipeline, name)}
    subnets, (group,) = json.loads(network)["Subnets"], json.loads(network)["SecurityGroupIds"]
    ec2 = cloud.client("ec2")
    assert len(ec2.describe_subnets(SubnetIds=subnets)["Subnets"]) == len(subnets)
    assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert cloud.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeySpec"] == "SYMMETRIC_DEFAULT"
    settings = placeholder_settings(cloud.environment, images_of(cloud.environment))
    compiled = compile_minified(replace(settings, subnets=tuple(subnets), security_groups=(group,), kms_key_arn=key))
    # It names itself by the digest of what was compiled, before the stack's ids came in.
    assert text == OWN_DIGEST.sub(OWN_DIGEST.search(compile_minified(settings))[0], compiled)


def of_key(value, name):
    """Yield every value of a key, at any depth."""
    if isinstance(value, dict):
        yield from (found for key, found in value.items() if key == name)
        value = list(value.values())
    for item in value if isinstance(value, list) else []:
        yield from of_key(item, name)


def test_each_request_of_the_deployed_definition_is_one_that_the_service_takes(cloud):
    text = cloud.client("sagemaker").describe_pipeline(PipelineName=cloud.environment.pipeline)["PipelineDefinition"]
    assert check_requests(json.loads(text)) == []


def test_the_schedule_calls_the_starter(cloud):
    cloud.functions.stand_ins[STARTER] = lambda _event, _context: None
    assert cloud.fire()
    assert [call.event for call in cloud.functions.of(STARTER)] == [{"reason": ""}]
    assert cloud.letters("starter") == []


def test_an_approval_calls_the_publisher_and_a_rejection_does_not(cloud):
    cloud.functions.stand_ins[PUBLISHER] = lambda _event, _context: None
    sagemaker, arn = cloud.client("sagemaker"), version(cloud)
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
    assert cloud.functions.of(PUBLISHER) == []
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    assert [call.event["detail"]["ModelPackageArn"] for call in cloud.functions.of(PUBLISHER)] == [arn]


def test_an_approval_in_another_group_calls_nobody(cloud):
    sagemaker = cloud.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName="others")
    made = sagemaker.create_model_package(ModelPackageGroupName="others", ModelApprovalStatus="PendingManualApproval")
    sagemaker.update_model_package(ModelPackageArn=made["ModelPackageArn"], ModelApprovalStatus="Approved")
    assert cloud.functions.of(PUBLISHER) == []


@pytest.mark.parametrize("function", ["starter", "publisher", "recorder"])
def test_what_a_function_fails_at_is_tried_again_and_then_kept_and_counts_for_its_alarm(cloud, function):
    name = cloud.environment.function(function)
    cloud.functions.stand_ins[name] = fail
    if function == "starter":
        cloud.fire()
    elif function == "recorder":
        detail = {"pipelineArn": cloud.environment.pipeline_arn, "currentPipelineExecutionStatus": "Succeeded"}
        cloud.emit(EXECUTION, detail)
    else:
        cloud.client("sagemaker").update_model_package(ModelPackageArn=version(cloud), ModelApprovalStatus="Approved")
    assert len(cloud.functions.of(name)) == 3
    (letter,) = cloud.letters(function)
    assert letter["responsePayload"]["errorMessage"] == "no permission kms:Sign"
    assert letter["requestPayload"] == json.loads(json.dumps(cloud.functions.calls[0].event, default=str))
    assert cloud.has_data(f"{function}-errors")


def test_a_failure_that_passes_leaves_no_letter(cloud):
    def fail_once(_event, _context):
        if not cloud.functions.of(STARTER):
            raise TimeoutError

    cloud.functions.stand_ins[STARTER] = fail_once
    cloud.fire()
    assert [call.error is None for call in cloud.functions.of(STARTER)] == [False, True]
    assert cloud.letters("starter") == []


def test_an_event_that_its_rule_may_not_deliver_goes_to_the_dead_letters(cloud):
    lambda_backends[ACCOUNT][REGION].get_function(PUBLISHER).policy.statements.clear()
    cloud.client("sagemaker").update_model_package(ModelPackageArn=version(cloud), ModelApprovalStatus="Approved")
    assert cloud.functions.of(PUBLISHER) == []
    (letter,) = cloud.letters("publisher")
    assert letter["detail"]["ModelApprovalStatus"] == "Approved"


def test_the_recorder_hears_of_every_end_of_an_execution_and_of_nothing_else(cloud):
    detail = {"pipelineArn": cloud.environment.pipeline_arn, "pipelineExecutionArn": ARN}
    for status in ("Executing", "Succeeded", "Stopping", "Stopped", "Failed"):
        cloud.emit(EXECUTION, {**detail, "currentPipelineExecutionStatus": status})
    heard = [call.event["detail"] for call in cloud.functions.of(cloud.environment.function("recorder"))]
    assert [told["currentPipelineExecutionStatus"] for told in heard] == ["Succeeded", "Stopped", "Failed"]


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_failed_execution_is_told_in_a_sentence(cloud, status):
    people = cloud.listen()
    detail = {"pipelineArn": cloud.environment.pipeline_arn, "pipelineExecutionArn": ARN}
    cloud.emit(EXECUTION, {**detail, "currentPipelineExecutionStatus": "Succeeded"})
    other = f"{cloud.environment.pipeline_arn}-other"
    cloud.emit(EXECUTION, {**detail, "pipelineArn": other, "currentPipelineExecutionStatus": status})
    assert cloud.messages(people) == []
    cloud.emit(EXECUTION, {**detail, "currentPipelineExecutionStatus": status})
    (message,) = cloud.messages(people)
    assert json.loads(message["Message"]).startswith(f"tilegate-prod: the execution {ARN} has ended as {status}.")
    assert cloud.has_data("execution-failed")


@pytest.mark.parametrize("kind", ["AWS::KMS::Key", "AWS::SNS::TopicPolicy"])
def test_a_condition_that_eventbridge_does_not_know_keeps_alerts_from_people(cloud, kind):
    """The stand-in is as strict as AWS: with one in the topic's policy the letter is kept, in the key's it is not."""
    people, topic = cloud.listen(), cloud.environment.arn("sns", cloud.environment.alerts_topic)
    sns, kms = cloud.client("sns"), cloud.client("kms")
    attributes = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    key = attributes["KmsMasterKeyId"]
    policy = (
        kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
        if kind == "AWS::KMS::Key"
        else attributes["Policy"]
    )
    document = json.loads(policy)
    for statement in document["Statement"]:
        if statement["Principal"] == {"Service": "events.amazonaws.com"}:
            statement["Condition"] = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    if kind == "AWS::KMS::Key":
        kms.put_key_policy(KeyId=key, Policy=json.dumps(document), PolicyName="default")
    else:
        sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(document))
    detail = {"pipelineArn": cloud.environment.pipeline_arn, "pipelineExecutionArn": ARN}
    cloud.emit(EXECUTION, {**detail, "currentPipelineExecutionStatus": "Failed"})
    assert cloud.messages(people) == []
    letters = cloud.messages(f"{cloud.environment.project}-alerts-dead-letters")
    assert len(letters) == (kind != "AWS::KMS::Key")


def test_a_rejected_candidate_is_told_and_counts_for_its_alarm(cloud):
    people = cloud.listen()
    detail = {
        "pipelineArn": cloud.environment.pipeline_arn,
        "pipelineExecutionArn": ARN,
        "stepName": "RejectModel",
        "currentStepStatus": "Failed",
    }
    cloud.emit(STEP, {**detail, "stepName": "TrainModel"})
    assert cloud.messages(people) == []
    assert not cloud.has_data("candidate-rejected")
    cloud.emit(STEP, detail)
    (message,) = cloud.messages(people)
    assert "rejected the candidate" in message["Message"]
    assert cloud.has_data("candidate-rejected")


def test_buckets_are_as_the_template_says(cloud):
    s3 = cloud.client("s3")
    for bucket in (cloud.environment.data_bucket, cloud.environment.artifact_bucket, cloud.environment.release_bucket):
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        assert "NoOtherKey" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
