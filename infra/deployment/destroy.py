"""`tilegate destroy`: remove an environment's stacks, and say before what goes with them and what stays."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from infra.deployment.stacks_in_aws import Sleep, Stacks, StackState, Tell
from pipelines.aws.session import Deployment, aws_errors
from pipelines.environment import Environment
from pipelines.runs.sagemaker_executions import SageMakerExecutions
from steps.core.common.errors import UserError

_RETAINING = ("Retain", "RetainExceptOnCreate")
_BUCKET, _GROUP = "AWS::S3::Bucket", "AWS::SageMaker::ModelPackageGroup"
_WITH_CONTENTS = (_BUCKET, _GROUP, "AWS::KMS::Key", "AWS::ECR::Repository")
_NAMES = ("BucketName", "RepositoryName", "ModelPackageGroupName", "Description", "Name")


def destroy(deployment: Deployment, *, tell: Tell, confirm: Callable[[str], bool], sleep: Sleep = time.sleep) -> bool:
    """Remove both stacks and the bucket of templates; return False if `confirm` said no. Raises UserError.

    A stack goes with its contents where its template does not keep them: buckets are emptied of all versions before.
    """
    environment = deployment.environment
    stacks = Stacks(deployment.client("cloudformation"), tell, sleep)
    found = [state for name in (environment.project, environment.images_stack) if (state := stacks.state(name))]
    if not found:
        tell(f"There is no {environment.project} in {environment.region}.")
        return True
    resources = [item for state in found for item in _resources(stacks, state)]
    executions = SageMakerExecutions(deployment.client("sagemaker"), environment.pipeline_arn)
    has_pipeline = any(kind == "AWS::SageMaker::Pipeline" for kind, _, _ in resources)
    if has_pipeline and (executing := executions.executing()):
        raise UserError(
            f"the execution {executing} goes on: wait for its end, or `tilegate stop {executing} --env "
            f"{environment.name} --reason …`"
        )
    stays = [(kind, name) for kind, name, is_kept in resources if is_kept]
    goes = [(kind, name) for kind, name, is_kept in resources if kind in _WITH_CONTENTS and not is_kept]
    # Access logs of a bucket's emptying still arrive in theirs: it comes last.
    goes.sort(key=lambda item: (item[1] == environment.access_log_bucket, item))
    for what, names in (("Is removed with all that is in it", goes), ("Stays", stays)):
        for kind, name in names:
            tell(f"{what}: {kind} {name}")
    if not confirm(f"Remove {environment.project} from account {environment.account}, {environment.region}?"):
        return False
    for state in found:
        stacks.protect(state, protected=False)
    _remove_contents(deployment, goes)
    for state in found:
        try:
            stacks.delete(state)
        except UserError as error:
            tell(f"{error}. Once more, because access logs may have arrived meanwhile.")
            _remove_contents(deployment, goes)
            stacks.delete(state)
    s3, bucket = deployment.client("s3"), environment.deploy_bucket
    _empty(s3, bucket, environment)
    with aws_errors(f"remove the bucket {bucket}"), suppress(s3.exceptions.NoSuchBucket):
        s3.delete_bucket(Bucket=bucket, ExpectedBucketOwner=environment.account)
    tell(f"{environment.project} is gone." + (f" {len(stays)} things stay, as said." if stays else ""))
    return True


def _resources(stacks: Stacks, state: StackState) -> Iterator[tuple[str, str, bool]]:
    """Yield kind and name of each resource of a stack, and whether it stays."""
    for logical, resource in stacks.template(state.name).get("Resources", {}).items():
        properties = resource.get("Properties", {})
        name = next((properties[key] for key in _NAMES if isinstance(properties.get(key), str)), logical)
        yield resource["Type"], name, resource.get("DeletionPolicy") in _RETAINING


def _remove_contents(deployment: Deployment, goes: list[tuple[str, str]]) -> None:
    for kind, name in goes:
        if kind == _BUCKET:
            _empty(deployment.client("s3"), name, deployment.environment)
        if kind == _GROUP:
            _remove_versions(deployment.client("sagemaker"), name)


def _empty(s3: Any, bucket: str, environment: Environment) -> None:
    """Remove every version of every object; nothing happens if there is no such bucket."""
    owner = {"ExpectedBucketOwner": environment.account}
    with aws_errors(f"empty the bucket {bucket}"), suppress(s3.exceptions.NoSuchBucket):
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, **owner):
            found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            if not found:
                continue
            batch = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True}, **owner)
            for error in answer.get("Errors", ()):
                raise UserError(f"{bucket}/{error['Key']} cannot be removed: {error.get('Message', error['Code'])}")


def _remove_versions(client: Any, group: str) -> None:
    """Remove the versions of a group: one that has any cannot be deleted."""
    with aws_errors(f"remove the versions of {group}"):
        pages = client.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
        arns = [item["ModelPackageArn"] for page in pages for item in page["ModelPackageSummaryList"]]
        for arn in arns:
            client.delete_model_package(ModelPackageName=arn)
