"""Opening an environment, and what AWS refuses as sentences: what is wrong, and what to do."""

import socket

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.server import ThreadedMotoServer

from pipelines.aws.session import aws_errors, open_environment
from steps.core.common.errors import UserError

STARTER = "arn:aws:sts::123456789012:assumed-role/tilegate-dev-starter/function"
PIPELINE = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/tilegate-dev"


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """A machine that knows nothing of AWS."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


def test_an_environment_is_of_the_callers_account(nobody, monkeypatch):
    with mock_aws():
        deployment = open_environment("dev", "eu-west-1")
        assert deployment.environment.pipeline_arn == PIPELINE
        assert deployment.identity.startswith("arn:aws:sts::123456789012:")
        s3 = deployment.client("s3")
        assert deployment.client("s3") is s3
        assert s3.meta.region_name == "eu-west-1"
        assert s3.meta.config.connect_timeout < 10
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        assert open_environment("prod").environment.region == "us-east-1"


def test_without_a_region_it_says_how_to_choose_one(nobody):
    with mock_aws(), pytest.raises(UserError, match="no AWS region is chosen; give --region"):
        open_environment("dev")


def test_without_credentials_it_says_how_to_sign_in(nobody):
    with pytest.raises(UserError, match=r"cannot open dev: there are no .*sign in"):
        open_environment("dev", "eu-west-1")


def test_an_unknown_environment_is_refused(nobody):
    with mock_aws(), pytest.raises(UserError, match="environment 'test': one of dev, prod"):
        open_environment("test", "eu-west-1")


def client_error(code, message=""):
    return ClientError({"Error": {"Code": code, "Message": message}}, "StartPipelineExecution")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            client_error(
                "AccessDeniedException",
                f"User: {STARTER} is not authorized to perform: sagemaker:StartPipelineExecution on resource: "
                f"{PIPELINE} because no identity-based policy allows it",
            ),
            "access denied: the role tilegate-dev-starter needs the permission sagemaker:StartPipelineExecution on "
            + PIPELINE,
        ),
        (client_error("AccessDenied", "Access Denied"), "access denied for StartPipelineExecution (Access Denied)"),
        (client_error("ResourceLimitExceeded", "ml.g5: 0"), "a quota of the account is used up (ml.g5: 0)"),
        (client_error("ThrottlingException"), "AWS is asked too often"),
        (client_error("ExpiredTokenException"), "the AWS session has expired; sign in again"),
        (client_error("UnrecognizedClientException"), "AWS does not accept these credentials"),
        (client_error("ValidationException", "Pipeline x does not exist"), "there is no such thing (Pipeline x"),
        (client_error("ResourceNotFound", "gone"), "there is no such thing (gone); `tilegate deploy`"),
        (client_error("InternalFailure", "oops"), "AWS says InternalFailure: oops"),
        (exceptions.NoCredentialsError(), "there are no (or not all) AWS credentials"),
        (exceptions.PartialCredentialsError(provider="env", cred_var="x"), "there are no (or not all) AWS credentials"),
        (exceptions.TokenRetrievalError(provider="sso", error_msg="old"), "the AWS session cannot be renewed"),
        (exceptions.ProfileNotFound(profile="x"), "AWS_PROFILE has to name"),
        (exceptions.NoRegionError(), "no AWS region is chosen"),
        (exceptions.EndpointConnectionError(endpoint_url="https://x"), "AWS cannot be reached"),
        (exceptions.ReadTimeoutError(endpoint_url="https://x"), "AWS cannot be reached"),
        (exceptions.ParamValidationError(report="bad\n name"), "AWS would refuse the request"),
    ],
)
def test_what_aws_refuses_is_one_sentence(error, says):
    with pytest.raises(UserError) as raised, aws_errors("start the pipeline"):
        raise error
    assert str(raised.value).startswith("cannot start the pipeline: ")
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_other_errors_are_left_alone():
    with pytest.raises(UserError, match=r"^mine$"), aws_errors("start"):
        raise UserError("mine")
    with pytest.raises(KeyError), aws_errors("start"):
        raise KeyError("x")


@pytest.mark.parametrize(
    ("action", "role"),
    [
        ("sagemaker:StopPipelineExecution", "operator"),
        ("sagemaker:UpdateModelPackage", "approver"),
        ("s3:GetObject", ""),
    ],
)
def test_a_person_hears_which_role_has_the_permission(action, role):
    message = f"User: arn:aws:iam::123456789012:user/ann is not authorized to perform: {action} on resource: x"
    with pytest.raises(UserError) as raised, aws_errors("do that"):
        raise client_error("AccessDeniedException", message)
    says = f"whoever calls needs the permission {action} on x"
    more = f"; the deployment's role {role} has it, which people take on with a second factor" if role else ""
    assert str(raised.value) == f"cannot do that: access denied: {says}{more}"


def test_another_endpoint_takes_the_place_of_aws(nobody, monkeypatch):
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        deployment = open_environment("dev", "eu-west-1")
        deployment.client("sqs").create_queue(QueueName="one")
        assert len(deployment.client("sqs").list_queues()["QueueUrls"]) == 1
    finally:
        server.stop()


def test_an_endpoint_that_nobody_serves_is_one_sentence(nobody, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.setattr("pipelines.aws.session._ATTEMPTS", 1)
        with pytest.raises(UserError, match="cannot open dev: AWS cannot be reached"):
            open_environment("dev", "eu-west-1")
