"""Signers: a key of AWS KMS that never leaves it, or on one machine a key in a file that only its owner reads."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.owner_files import secret
from steps.core.common.errors import UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

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
        self._loaded: EllipticCurvePrivateKey | None = None

    @property
    def public_pem(self) -> bytes:
        from cryptography.hazmat.primitives import serialization

        public = self._key().public_key()
        return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, message: bytes) -> bytes:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        return self._key().sign(message, ec.ECDSA(hashes.SHA256()))

    def _key(self) -> "EllipticCurvePrivateKey":
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def _load(self) -> "EllipticCurvePrivateKey":
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            key = serialization.load_pem_private_key(secret(self._path, _new_key), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{self._path} holds no usable key ({error}): restore it, phones trust no other") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise UserError(f"{self._path} holds no key of the curve P-256: restore the one that was made")
        return key


def _new_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class KmsSigner:
    """An asymmetric key (ECC_NIST_P256, SIGN_VERIFY) of AWS KMS, by its alias or ARN."""

    def __init__(self, client: Any, key: str) -> None:
        self._client, self._name = client, key
        self._pem = b""

    @property
    def public_pem(self) -> bytes:
        from cryptography.hazmat.primitives import serialization

        from pipelines.aws.errors import aws_errors

        if not self._pem:
            with aws_errors("read the public release key"):
                der = self._client.get_public_key(KeyId=self._name)["PublicKey"]
            key = serialization.load_der_public_key(der)
            self._pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return self._pem

    def sign(self, message: bytes) -> bytes:
        from pipelines.aws.errors import aws_errors

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
    from pipelines.release.verify import VerificationError, authenticated, opened, read_keys

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
