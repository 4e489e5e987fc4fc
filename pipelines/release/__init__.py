"""Signed releases of approved models, and the channels that phones follow."""

from pipelines.release.channels import Channels, State
from pipelines.release.publishing import Publisher, RefusedError
from pipelines.release.releasing import Release, ReleaseStore
from pipelines.release.signers import KmsSigner, LocalSigner, Signer

__all__ = [
    "Channels",
    "KmsSigner",
    "LocalSigner",
    "Publisher",
    "RefusedError",
    "Release",
    "ReleaseStore",
    "Signer",
    "State",
]
