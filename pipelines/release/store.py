"""A release: the files of an approved version in the release bucket, and a signed manifest of them, written last."""

import contextlib
import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.registry.artifact import BUNDLE, check_model, stage
from pipelines.registry.protocol import REJECTED, ModelRegistry, ModelVersion
from pipelines.release.signers import Signer, sealed
from pipelines.release.verify import (
    FORMAT,
    MANIFEST_TYPE,
    PublicKeys,
    VerificationError,
    is_plain,
    opened,
    read_keys,
    verify_release,
)
from pipelines.storage.protocol import LostRace, NoSuchObject, ObjectStore
from steps.convert.summary import SUMMARY
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.common.scratch import scratch
from steps.device.contract import TFLITE_FILE

RELEASES, MANIFEST = "releases", "manifest.json"


@dataclass(frozen=True, slots=True)
class Release:
    """A version that phones can load: the key of its manifest, and the manifest's sha256."""

    version: int
    manifest: str
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class StoredBucket:
    """A bucket as the verifier reads it."""

    objects: ObjectStore

    def keys(self, prefix: str) -> list[str]:
        return [info.key for info in self.objects.list(prefix)]

    def get(self, key: str) -> bytes:
        return self.objects.get(key)


class ReleaseStore:
    """Releases of one group of models. Whatever lies in the bucket already is verified before it is relied on.

    `trusted` are public keys in PEM that the operator names beside the signer's: those that it has replaced. A key that
    lies in the bucket is none.
    """

    def __init__(self, releases: ObjectStore, signer: Signer, trusted: Iterable[bytes] = ()) -> None:
        self.objects, self.bucket, self.signer = releases, StoredBucket(releases), signer
        self._named, self._keys = tuple(trusted), dict[str, Any]()

    def trusted(self) -> PublicKeys:
        """Return the signer's own public key and those that the operator names; raises UserError for what is none."""
        if not self._keys:
            try:
                self._keys = dict(read_keys([self.signer.public_pem, *self._named]))
            except VerificationError as error:
                raise UserError(f"a key that the operator names: {error}") from None
        return self._keys

    def release(self, registry: ModelRegistry, version: ModelVersion) -> Release:
        """Write an approved version's release, or take it as it is if it is there, and return it.

        Raises UserError for a version without an approval by name and reason, or whose metadata do not say that it
        passed the gate, for an artefact that is not what was registered, and for a file in the bucket that is another
        than the one to be released.
        """
        approval = version.approval
        what = f"{version.group} version {version.version}"
        if approval is None:
            outside = f"{version.outside} outside of tilegate" if version.outside else version.status
            does = f"`tilegate models approve {version.version} --by NAME --reason TEXT` does so"
            if version.status == REJECTED:
                does = "what was rejected stays so, and a new run registers its successor"
            raise UserError(f"{what} is {outside}: only what was approved with a name and a reason is released; {does}")
        if found := self._present(version):
            return found
        with scratch("release") as staged:
            stage(registry.download(version, staged / "registered"), staged)
            paths = _files_of(staged / BUNDLE, version, what)
            self._check_strangers(version.version, paths)
            files = [self._put_file(version, path, name) for name, path in paths.items()]
            self._check_strangers(version.version, paths)
        payload = {
            "format": FORMAT,
            "group": version.group,
            "version": version.version,
            "archive_sha256": version.sha256,
            "files": files,
            "approval": {"by": approval.by, "reason": approval.reason, "at": approval.at},
            "gate": {name: version.metadata[name] for name in SUMMARY if name in version.metadata},
            "previous": self._before(version.version),
        }
        with contextlib.suppress(LostRace):  # somebody else may have been faster with the same version
            manifest = sealed(payload, MANIFEST_TYPE, self.signer)
            self.objects.put(self._key(version.version, MANIFEST), manifest, only_if_absent=True)
        if found := self._present(version):
            return found
        raise UserError(f"the manifest of {what} vanished while it was written: nothing may be removed from a release")

    def find(self, version: int) -> Release:
        """Return an earlier release, verified down to its files; raises UserError if there is none or it is damaged."""
        release = self._signed(version)
        if release is None:
            known = ", ".join(map(str, self.versions())) or "none"
            raise UserError(f"version {version} was never released: released are {known}")
        self.manifest_of(release)
        return release

    def manifest_of(self, release: Release) -> Mapping[str, Any]:
        """Verify a release down to its files and return its manifest; raises UserError."""
        try:
            return verify_release(asdict(release), self.bucket, self.trusted())
        except VerificationError as error:
            raise UserError(
                f"{error}; restore the object from the version of the bucket before it was changed"
            ) from None

    def versions(self) -> list[int]:
        """Return the numbers of all finished releases; raises UserError for a manifest that is not what was signed."""
        return [number for number in sorted(self._numbers()) if self._signed(number)]

    def remove_unsigned(self, kept: Collection[int]) -> None:
        """Remove what lies under numbers that have no manifest, but those in `kept`."""
        for number in set(self._numbers()) - set(kept):
            if self.objects.info(self._key(number, MANIFEST)) is None:
                for key in self.bucket.keys(self._key(number, "")):
                    self.objects.delete(key)

    def _signed(self, version: int) -> Release | None:
        """Return a release whose manifest is as it was signed; None if there is none."""
        key = self._key(version, MANIFEST)
        try:
            data = self.objects.get(key)
        except NoSuchObject:
            return None
        try:
            manifest = opened(data, MANIFEST_TYPE, self.trusted(), key)
        except VerificationError as error:
            raise UserError(f"{error}; a release is never written over: look who changed it") from None
        if manifest["version"] != version:
            raise UserError(f"{key} was signed for version {manifest['version']}: look who put it there")
        return Release(version, key, hashlib.sha256(data).hexdigest())

    def _present(self, version: ModelVersion) -> Release | None:
        release = self._signed(version.version)
        if release is None:
            return None
        manifest = self.manifest_of(release)
        if (manifest["group"], manifest["archive_sha256"]) != (version.group, version.sha256):
            raise UserError(
                f"{release.manifest} is of {manifest['group']} version {manifest['version']} with sha256 "
                f"{manifest['archive_sha256']}, and {version.sha256} was approved: a release is never written over"
            )
        return release

    def _before(self, version: int) -> dict[str, Any] | None:
        """Return number and manifest sha256 of the release before a version, by their numbers; None if it is the first.

        So the manifests are a chain: nobody can take one out of it, or put in another, without a later one telling.
        """
        for number in sorted((n for n in self._numbers() if n < version), reverse=True):
            if found := self._signed(number):
                return {"version": number, "manifest_sha256": found.manifest_sha256}
        return None

    def _numbers(self) -> list[int]:
        return [int(name) for name in self.objects.folders(f"{RELEASES}/") if name.isdecimal()]

    def _check_strangers(self, version: int, paths: Mapping[str, Path]) -> None:
        """Refuse what lies in a release's folder and is no file of the registered archive."""
        known = {self._key(version, name) for name in paths}
        for info in self.objects.list(self._key(version, "")):
            if info.key not in known and info.key != self._key(version, MANIFEST):
                raise UserError(
                    f"{self.objects.uri(info.key)} is no file of the archive that was approved: look who put it there, "
                    "and remove it"
                )

    def _put_file(self, version: ModelVersion, path: Path, name: str) -> dict[str, Any]:
        """Put a file where there is none, and hold one that is there against it; an upload is never left half-done."""
        key, sha256 = self._key(version.version, name), sha256_file(path)
        try:
            self.objects.put(key, path.read_bytes(), only_if_absent=True)
        except LostRace:
            found = hashlib.sha256(self.objects.get(key)).hexdigest()
            if found != sha256:
                raise UserError(
                    f"{self.objects.uri(key)} has sha256 {found}, and {sha256} was approved: a release is never "
                    "written over; look who put it there, and remove it"
                ) from None
        return {"path": name, "sha256": sha256, "bytes": path.stat().st_size}

    @staticmethod
    def _key(version: int, name: str) -> str:
        return f"{RELEASES}/{version}/{name}"


def _files_of(bundle: Path, version: ModelVersion, what: str) -> dict[str, Path]:
    """Return a bundle's files by their names; raises UserError for a bundle that no phone could use."""
    found = {path.relative_to(bundle).as_posix(): path for path in sorted(bundle.rglob("*")) if path.is_file()}
    check_model(version, bundle)
    if not version.metadata.get("tflite_sha256") or version.metadata.get("failed_checks") != "0":
        raise UserError(f"nothing says that the {TFLITE_FILE} of {what} has passed the gate: reject it")
    for name in found:
        if name == MANIFEST or not is_plain(name):
            raise UserError(f"{what} has a file {name!r}, which cannot be released under that name: reject it")
    return found
