"""Signers: a key of AWS KMS that never leaves it, or on one machine a key in a file that only its owner reads."""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from pipelines.aws.errors import aws_errors
from pipelines.owner_files import secret
from pipelines.release.verify import VerificationError, authenticated, opened, read_keys
from steps.core.common.errors import UserError

_KEY_FILE = "release-signing.pem"


class Signer(Protocol):
    """A key of the curve P-256."""

    @property
    def public_pem(self) -> bytes:
        """Return the public key in PEM."""

    def sign(self, message: bytes) -> bytes:
        """Return the ECDSA signature with SHA-256 over the message, in DER."""


class LocalSigner:
    """A key in `<folder>/release-signing.pem`, made when it is first needed. Raises UserError for an unusable file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _KEY_FILE

    @property
    def public_pem(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message, ECDSA(hashes.SHA256()))

    @cached_property
    def _key(self) -> EllipticCurvePrivateKey:
        try:
            key = load_pem_private_key(secret(self._path, _new_key), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{self._path} holds no usable key ({error}): restore it, phones trust no other") from None
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise UserError(f"{self._path} holds no key of the curve P-256: restore the one that was made")
        return key


def _new_key() -> bytes:
    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class KmsSigner:
    """An asymmetric key (ECC_NIST_P256, SIGN_VERIFY) of AWS KMS, by its alias or ARN."""

    def __init__(self, client: Any, key: str) -> None:
        self._client, self._name = client, key

    @cached_property
    def public_pem(self) -> bytes:
        with aws_errors("read the public release key"):
            der = self._client.get_public_key(KeyId=self._name)["PublicKey"]
        return load_der_public_key(der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, message: bytes) -> bytes:
        digest = hashlib.sha256(message).digest()
        with aws_errors("sign a release"):
            answer = self._client.sign(
                KeyId=self._name, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256"
            )
        return bytes(answer["Signature"])


def sealed(payload: Mapping[str, Any], payload_type: str, signer: Signer) -> bytes:
    """Return the signed envelope of a payload, as `pipelines.release.verify` opens it, which is tried at once.

    Raises UserError if that fails: another key has come in the place of the signer's meanwhile.
    """
    body = json.dumps(payload, indent=1, sort_keys=True, ensure_ascii=False).encode()
    keys = read_keys([signer.public_pem])
    signature = signer.sign(authenticated(payload_type, body))
    envelope = {
        "payloadType": payload_type,
        "payload": base64.b64encode(body).decode(),
        "signatures": [{"keyid": next(iter(keys)), "sig": base64.b64encode(signature).decode()}],
    }
    data = (json.dumps(envelope, indent=1) + "\n").encode()
    try:
        opened(data, payload_type, keys, "the new signature")
    except VerificationError as error:
        raise UserError(f"the key signed otherwise than its public half says ({error}): do the same again") from None
    return data
