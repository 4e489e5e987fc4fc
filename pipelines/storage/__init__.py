"""Objects of a bucket: in S3, or in a folder on one machine."""

from pipelines.storage.folder import FolderObjects
from pipelines.storage.protocol import AccessDeniedError, LostRace, NoSuchObject, ObjectInfo, ObjectStore
from pipelines.storage.s3 import S3Objects

__all__ = [
    "AccessDeniedError",
    "FolderObjects",
    "LostRace",
    "NoSuchObject",
    "ObjectInfo",
    "ObjectStore",
    "S3Objects",
]
