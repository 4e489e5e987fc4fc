"""The objects of a bucket in S3, put with their sha256 as checksum, so that nobody has to read them for it."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.storage.protocol import (
    AccessDeniedError,
    Copy,
    LostRace,
    NoSuchObject,
    ObjectInfo,
    checked_key,
    checked_prefix,
)
from steps.core.common.errors import UserError
from steps.core.common.files import replacing, sha256_file

_CHUNK = 1 << 20
_MISSING = ("404", "NoSuchKey", "NoSuchVersion", "NotFound")
_LOST = ("412", "409", "PreconditionFailed", "ConditionalRequestConflict")
_DENIED = ("403", "AccessDenied", "Forbidden")


class _Bucket:
    """The bucket called `bucket`; `client` is boto3's of S3."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client, self._bucket = client, bucket

    @contextmanager
    def _errors(self, action: str, key: str = "", source: str = "", *, conditional: bool = False) -> Iterator[None]:
        """Raise this package's errors; `action` is what a role needs for it, `source` is what a copy reads."""
        bucket = self._bucket
        try:
            yield
        except self._client.exceptions.ClientError as error:
            fault = error.response["Error"]
            code = str(fault.get("Code", ""))
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
                    f"access denied: {action} on {arn} is wanted ({fault.get('Message', code)}); let the role have it, "
                    "and the use of the bucket's key"
                ) from None
            raise


class S3Objects(_Bucket):
    """The objects of a bucket. Permissions that are missing raise UserError."""

    def uri(self, key: str = "") -> str:
        return f"s3://{self._bucket}/{key}"

    def info(self, key: str) -> ObjectInfo | None:
        try:
            head = self._head(key)
        except NoSuchObject:
            return None
        return ObjectInfo(key, int(head["ContentLength"]), str(head["ETag"]), head["LastModified"])

    def sha256(self, key: str) -> str:
        head = self._head(key, ChecksumMode="ENABLED")
        checksum = str(head.get("ChecksumSHA256") or "")
        # That of an object of several parts is a checksum of checksums, and ends in their number.
        if checksum and head.get("ChecksumType") != "COMPOSITE" and "-" not in checksum:
            return base64.b64decode(checksum).hex()
        digest = hashlib.sha256()
        for chunk in self._chunks(key):
            digest.update(chunk)
        return digest.hexdigest()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for page in self._pages(checked_prefix(prefix)):
            for found in page.get("Contents", ()):
                yield ObjectInfo(found["Key"], int(found["Size"]), str(found["ETag"]), found["LastModified"])

    def folders(self, prefix: str) -> Iterator[str]:
        for page in self._pages(checked_prefix(prefix), Delimiter="/"):
            for found in page.get("CommonPrefixes", ()):
                yield found["Prefix"].removeprefix(prefix).rstrip("/")

    def get(self, key: str) -> bytes:
        return self.get_with_etag(key)[0]

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        with self._errors("s3:GetObject", key):
            found = self._client.get_object(Bucket=self._bucket, Key=checked_key(key))
            return found["Body"].read(), str(found["ETag"])

    def put(self, key: str, data: bytes, *, only_if_absent: bool = False, only_if_etag: str | None = None) -> str:
        condition = {"IfNoneMatch": "*"} if only_if_absent else {}
        if only_if_etag is not None:
            condition = {"IfMatch": only_if_etag}
        return self._put(key, data, **condition)

    def download(self, key: str, path: Path) -> None:
        with replacing(path) as beside, beside.open("wb") as stream:
            for chunk in self._chunks(key):
                stream.write(chunk)

    def upload(self, path: Path, key: str) -> str:
        sha256 = sha256_file(path)
        with path.open("rb") as stream:
            # S3 refuses bytes that are not those, and so a file that has changed since.
            self._put(key, stream, ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode())
        return sha256

    def copy(self, source: str, key: str, *, source_etag: str | None = None) -> None:
        condition = {"CopySourceIfMatch": source_etag} if source_etag is not None else {}
        with self._errors("s3:PutObject", key, source, conditional=bool(condition)):
            self._client.copy_object(
                Bucket=self._bucket,
                Key=checked_key(key),
                CopySource={"Bucket": self._bucket, "Key": checked_key(source)},
                ChecksumAlgorithm="SHA256",
                **condition,
            )

    def delete(self, key: str) -> None:
        with self._errors("s3:DeleteObject", key):
            self._client.delete_object(Bucket=self._bucket, Key=checked_key(key))

    def _put(self, key: str, body: Any, **options: Any) -> str:
        with self._errors("s3:PutObject", key, conditional=bool({"IfMatch", "IfNoneMatch"} & options.keys())):
            put = self._client.put_object(
                Bucket=self._bucket, Key=checked_key(key), Body=body, ChecksumAlgorithm="SHA256", **options
            )
        return str(put["ETag"])

    def _head(self, key: str, **options: Any) -> Any:
        with self._errors("s3:GetObject", key):
            return self._client.head_object(Bucket=self._bucket, Key=checked_key(key), **options)

    def _chunks(self, key: str) -> Iterator[bytes]:
        with self._errors("s3:GetObject", key):
            yield from self._client.get_object(Bucket=self._bucket, Key=checked_key(key))["Body"].iter_chunks(_CHUNK)

    def _pages(self, prefix: str, **options: Any) -> Iterator[Any]:
        pages = self._client.get_paginator("list_objects_v2")
        with self._errors("s3:ListBucket"):
            yield from pages.paginate(Bucket=self._bucket, Prefix=prefix, **options)


class S3Copies(_Bucket):
    """All versions of the objects of a bucket below some prefixes."""

    def __init__(self, client: Any, bucket: str, prefixes: Sequence[str]) -> None:
        super().__init__(client, bucket)
        self.name, self._prefixes = bucket, prefixes

    def all(self) -> Iterator[Copy]:
        pages = self._client.get_paginator("list_object_versions")
        for prefix in self._prefixes:
            with self._errors("s3:ListBucketVersions"):
                for page in pages.paginate(Bucket=self.name, Prefix=prefix):
                    for found in page.get("Versions", ()):
                        yield Copy(found["Key"], int(found["Size"]), str(found["VersionId"]), bool(found["IsLatest"]))

    def read(self, copy: Copy) -> bytes:
        with self._errors("s3:GetObjectVersion", copy.key):
            return bytes(self._client.get_object(**self._named(copy))["Body"].read())

    def sha256(self, copy: Copy) -> str:
        return hashlib.sha256(self.read(copy)).hexdigest()

    def remove(self, copy: Copy) -> None:
        with self._errors("s3:DeleteObjectVersion", copy.key):
            self._client.delete_object(**self._named(copy))

    def rewrite(self, copy: Copy, data: bytes) -> None:
        if copy.is_latest:
            with self._errors("s3:PutObject", copy.key):
                self._client.put_object(Bucket=self.name, Key=copy.key, Body=data, ChecksumAlgorithm="SHA256")
        self.remove(copy)

    def _named(self, copy: Copy) -> dict[str, str]:
        return {"Bucket": self.name, "Key": copy.key, "VersionId": copy.version}
