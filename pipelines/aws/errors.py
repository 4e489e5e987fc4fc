"""AWS's refusals, in one sentence for whoever has to mend them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.definition.settings import PIPELINE_NAME
from steps.core.common.errors import UserError

_DENIED = re.compile(
    r"(?:User: (?P<who>\S+) is )?not authorized to perform: (?P<action>\S+)(?: on resource: (?P<on>\S+))?"
)
_ROLE = re.compile(r"(?:assumed-role|role)/([^/]+)")
_DENIED_CODES = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403")
_MISSING = "there is no such thing ({}); `tilegate deploy` makes what an environment needs"
_QUOTA = "a quota of the account is used up ({}); ask for more in Service Quotas, or wait"
_BUSY = "AWS is asked too often ({}), also after several attempts; wait a minute and try again"
_EXPIRED = "the AWS session has expired; sign in again"
_UNKNOWN = "AWS does not accept these credentials ({}); sign in again, or look at AWS_PROFILE"
# Which role that people take on has which permissions.
_DUTIES = {
    "approver": ("sagemaker:UpdateModelPackage",),
    "operator": (
        *("sagemaker:StartPipelineExecution", "sagemaker:StopPipelineExecution", "sagemaker:UpdatePipelineExecution"),
        *("sagemaker:ListPipelineExecution", "sagemaker:DescribePipeline", "logs:"),
    ),
}
# What to say of a code; {} stands for AWS's own words.
_SENTENCES = {
    **dict.fromkeys(("ResourceLimitExceeded", "LimitExceededException", "ServiceQuotaExceededException"), _QUOTA),
    **dict.fromkeys(("Throttling", "ThrottlingException", "TooManyRequestsException"), _BUSY),
    **dict.fromkeys(("RequestLimitExceeded", "SlowDown"), _BUSY),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "RequestExpired"), _EXPIRED),
    **dict.fromkeys(("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"), _UNKNOWN),
    **dict.fromkeys(("SignatureDoesNotMatch", "AuthFailure"), _UNKNOWN),
    **dict.fromkeys(("ResourceNotFound", "ResourceNotFoundException", "NoSuchBucket", "NoSuchEntity"), _MISSING),
}


# What to say where no answer came, by the names of botocore's exceptions; {} stands for its words.
_TROUBLE = {
    ("NoCredentialsError", "PartialCredentialsError"): "there are no (or not all) AWS credentials ({}); sign in, for "
    "example with `aws sso login`, or set AWS_PROFILE",
    ("TokenRetrievalError", "SSOError", "CredentialRetrievalError"): "the AWS session cannot be renewed ({}); sign in "
    "again",
    ("ProfileNotFound",): "{}; AWS_PROFILE has to name a profile of your AWS configuration",
    ("NoRegionError",): "no AWS region is chosen; give --region or set AWS_REGION",
    ("HTTPClientError", "ConnectionError"): "AWS cannot be reached ({}); look at the network, then try again",
    ("ParamValidationError",): "AWS would refuse the request: {}",
}


@contextmanager
def aws_errors(what: str) -> Iterator[None]:
    """Raise UserError for what botocore raises; `what` says what was being done ("start the pipeline tilegate-dev")."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        raise UserError(f"cannot {what}: {_sentence(error)}") from None
    except exceptions.BotoCoreError as error:
        for names, sentence in _TROUBLE.items():
            if isinstance(error, tuple(getattr(exceptions, name) for name in names)):
                raise UserError(f"cannot {what}: {sentence.format(' '.join(str(error).split()))}") from None
        raise


def _sentence(error: Any) -> str:
    details = error.response.get("Error", {})
    code, message = str(details.get("Code", "")), " ".join(str(details.get("Message", "")).split())
    if code in _DENIED_CODES:
        return _denied(error.operation_name, message)
    if "does not exist" in message:
        return _MISSING.format(message)
    return _SENTENCES.get(code, f"AWS says {code}: {{}}").format(message or code)


def _denied(operation: str, message: str) -> str:
    """Name the permission, what it is wanted for, and who wants it, as far as AWS tells."""
    match = _DENIED.search(message)
    if match is None:
        return f"access denied for {operation} ({message})"
    role = _ROLE.search(match["who"] or "")
    who = f"the role {role[1]}" if role else "whoever calls"
    on = f" on {match['on'].rstrip('.')}" if match["on"] else ""
    whose = _whose(match["action"], role[1] if role else "")
    return f"access denied: {who} needs the permission {match['action']}{on}{whose}"


def _whose(action: str, role: str) -> str:
    """Tell a person which role to take on for an action, if there is one. A role of ours is no person."""
    if role.startswith(f"{PIPELINE_NAME}-"):
        return ""
    duty = next((duty for duty, actions in _DUTIES.items() if action.startswith(actions)), None)
    return f"; the deployment's role {duty} has it, which people take on with a second factor" if duty else ""
