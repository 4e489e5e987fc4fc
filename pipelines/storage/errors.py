"""What S3 refuses, in this package's words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.storage.protocol import AccessDeniedError, LostRace, NoSuchObject
from steps.core.common.errors import UserError

_MISSING = ("404", "NoSuchKey", "NoSuchVersion", "NotFound")
_LOST = ("412", "409", "PreconditionFailed", "ConditionalRequestConflict")
_DENIED = ("403", "AccessDenied", "Forbidden")


@contextmanager
def s3_errors(
    client: Any, bucket: str, action: str, key: str = "", source: str = "", *, conditional: bool = False
) -> Iterator[None]:
    """Raise this package's errors; `action` is what a role needs for it, `source` is what a copy reads."""
    try:
        yield
    except client.exceptions.ClientError as error:
        told = error.response["Error"]
        code = str(told.get("Code", ""))
        place = f"s3://{bucket}/{source or key}"
        if conditional and code in (_LOST if source else (*_LOST, *_MISSING)):
            raise LostRace(f"{place} is no longer what the write was meant for") from None
        if code in _MISSING:
            raise NoSuchObject(f"there is no object {place}") from None
        if code == "NoSuchBucket":
            raise UserError(f"there is no bucket {bucket}: deploy the environment first") from None
        if code in _DENIED:
            arn = f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "")
            raise AccessDeniedError(
                f"access denied: {action} on {arn} is wanted ({told.get('Message', code)}); let the role have it, "
                "and the use of the bucket's key"
            ) from None
        raise
