"""What moto 5.2 lacks of the services that this project needs, as far as its stacks and its nights need it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from moto.kms.utils import ECDSAPrivateKey

from tests.aws.account import taught_account
from tests.aws.delivery import taught_events
from tests.aws.executions import taught_sagemaker
from tests.aws.formation import taught_formation
from tests.aws.functions import Functions, taught_functions
from tests.aws.permissions import enforced


@contextmanager
def extended_moto() -> Iterator[Functions]:
    """Teach moto; within `mock_aws`. Gives what stands for Lambda."""
    with (
        taught_account(),
        taught_formation(),
        taught_functions() as functions,
        taught_events(functions),
        taught_sagemaker(),
        enforced(),
        mock.patch.object(ECDSAPrivateKey, "sign", _sign_digest),
    ):
        yield functions


def _sign_digest(key, message, signing_algorithm):
    """moto ignores MessageType and would hash the digest, which is what is signed here, again."""
    assert (len(message), signing_algorithm) == (hashlib.sha256().digest_size, "ECDSA_SHA_256")
    return key.private_key.sign(message, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
