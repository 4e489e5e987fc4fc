"""Keys: one in a file, one in KMS, and what is refused of both."""

import hashlib
import shutil
import subprocess
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from pipelines.release.signers import KmsSigner, LocalSigner, sealed
from pipelines.release.verify import CHANNEL_TYPE, MANIFEST_TYPE, VerificationError, authenticated, opened, read_keys
from steps.core.common.errors import UserError

# Larger than what KMS takes as a message: it has to be signed by its digest.
PAYLOAD = {"format": 1, "files": ["x" * 100] * 100}


@pytest.fixture(params=["here", "cloud"])
def signer(request):
    return request.getfixturevalue(request.param).signer


def test_what_was_sealed_opens_with_the_public_key_alone(signer):
    data = sealed(PAYLOAD, MANIFEST_TYPE, signer)
    assert opened(data, MANIFEST_TYPE, read_keys([signer.public_pem]), "it") == PAYLOAD
    with pytest.raises(VerificationError, match=r"it holds 'application/vnd.tilegate.release.v1\+json', and .*channel"):
        opened(data, CHANNEL_TYPE, read_keys([signer.public_pem]), "it")


def test_openssl_verifies_a_signature_as_well(signer, tmp_path):
    """Another implementation than the one that signs."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl here, so no other implementation has checked a signature")
    message = authenticated(MANIFEST_TYPE, b"payload")
    for name, data in {"key": signer.public_pem, "sig": signer.sign(message), "message": message}.items():
        (tmp_path / name).write_bytes(data)
    command = ["openssl", "dgst", "-sha256", "-verify", "key", "-signature", "sig", "message"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "Verified OK\n", done.stderr


def test_the_encoding_before_signing_is_that_of_the_standard():
    """The example of https://github.com/secure-systems-lab/dsse/blob/master/protocol.md."""
    message = authenticated("http://example.com/HelloWorld", b"hello world")
    assert message == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_a_key_s_id_is_the_sha256_of_its_public_half_in_der(signer, tmp_path):
    (identity,) = read_keys([signer.public_pem])
    body = b"".join(signer.public_pem.splitlines()[1:-1])
    assert identity == hashlib.sha256(b64decode(body)).hexdigest()


def test_a_local_key_is_made_once_and_its_owner_alone_reads_it(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        pems = set(pool.map(lambda _: LocalSigner(tmp_path / "keys").public_pem, range(8)))
    assert len(pems) == 1
    (path,) = (tmp_path / "keys").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(0o644)
    with pytest.raises(UserError, match=r"release-signing.pem is readable by others: `chmod 600` it"):
        LocalSigner(tmp_path / "keys").sign(b"x")


def private_pem(key):
    formats = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*formats)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"damaged", "holds no usable key"),
        (private_pem(ec.generate_private_key(ec.SECP384R1())), "holds no key of the curve P-256"),
        (private_pem(ed25519.Ed25519PrivateKey.generate()), "holds no key of the curve P-256"),
    ],
    ids=["damaged", "another curve", "another kind"],
)
def test_another_file_in_the_key_s_place_is_refused_and_kept(tmp_path, content, sentence):
    signer = LocalSigner(tmp_path)
    path = tmp_path / "release-signing.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UserError, match=sentence):
        signer.sign(b"x")
    assert path.read_bytes() == content


def test_a_key_that_signs_otherwise_than_its_public_half_says_signs_nothing(clients, signing_key):
    """Somebody moves the alias to a new key between the two questions."""
    kms = clients["kms"]
    signer = KmsSigner(kms, signing_key)
    assert signer.public_pem
    other = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=signing_key, TargetKeyId=other)
    with pytest.raises(UserError, match="the key signed otherwise than its public half says"):
        sealed(PAYLOAD, MANIFEST_TYPE, signer)
    assert sealed(PAYLOAD, MANIFEST_TYPE, KmsSigner(kms, signing_key))


def test_an_environment_without_a_key_is_told_in_a_sentence(clients, signing_key):
    with pytest.raises(UserError, match=r"cannot read the public release key: .*alias/none"):
        _ = KmsSigner(clients["kms"], "alias/none").public_pem


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
    ],
    ids=["another curve", "another kind"],
)
def test_only_keys_of_the_curve_are_trusted(key):
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(VerificationError, match="a public key of the curve P-256 is wanted"):
        read_keys([pem])
    with pytest.raises(VerificationError, match="a public key in PEM is wanted"):
        read_keys([b"no key"])
