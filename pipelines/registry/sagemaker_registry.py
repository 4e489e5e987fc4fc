"""The model registry in AWS: SageMaker's model packages, and a log of decisions in the artefact bucket.

The log is the truth, the package's status mirrors it: an approval in the console has neither name nor reason, and here
counts for nothing. `approve` writes the log, then the package, by which EventBridge hears of it; where a kill kept it
from the second, the next decision makes up for it.

A pipeline that reuses every step registers the same bytes again: `versions` then has several of one sha256, each with
decisions of its own, and the bytes are those of the one that is approved.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipelines.aws.errors import aws_errors
from pipelines.environment import Environment
from pipelines.registry import packages
from pipelines.registry.artifact import check_artifact, fetch_verified, stage
from pipelines.registry.decision_log import DecisionLog, Entry, histories_of
from pipelines.registry.decisions import Wish, champion_of, decide, is_repeated, wished_version
from pipelines.registry.people import check_decider
from pipelines.registry.protocol import APPROVED, PENDING, REJECTED, ModelVersion, RegistryError
from pipelines.registry.requests import ARCHIVE_SHA256, check_archive, check_pending, checked_group, group_of
from pipelines.storage.protocol import LostRace, ObjectStore
from steps.core.common.files import sha256_file
from steps.core.common.scratch import scratch
from steps.network.archive import FILE_NAME as ARCHIVE

_PAGE = 100
_AT_ONCE = 8
_ATTEMPTS = 20


class SageMakerRegistry:
    """Model versions of an environment.

    `client` is boto3's for SageMaker, `artifacts` the artefact bucket, where the archives and the log are. `identity`
    says who decides, as STS tells it, and is asked only then; without it the registry is for reading.
    """

    def __init__(
        self,
        client: Any,
        artifacts: ObjectStore,
        environment: Environment,
        *,
        identity: Callable[[], str] = str,
    ) -> None:
        self._client = client
        self._artifacts = artifacts
        self._environment = environment
        self._identity = identity
        self._logs: dict[str, DecisionLog] = {}

    def register(self, arguments: Mapping[str, Any], model_data: Path) -> ModelVersion:
        """Add a version by hand; in AWS the pipeline's RegisterModel step does without this."""
        group = group_of(arguments)
        check_pending(arguments)
        if not model_data.is_file():
            raise RegistryError(f"{model_data} does not exist: {group} cannot get a version without its {ARCHIVE}")
        digest = sha256_file(model_data)
        check_archive(arguments, digest)
        for version in self.versions(group):
            if version.sha256 == digest:
                return version
        key = f"registry/{group}/models/{digest}/{ARCHIVE}"
        with scratch("register") as folder:
            stage(model_data, folder)
            if sha256_file(folder / ARCHIVE) != digest:
                raise RegistryError(f"{model_data} changed while it was registered: register it again")
            self._artifacts.upload(folder / ARCHIVE, key)
        with aws_errors(f"register a version of {group}"):
            self._ensure_group(group)
            made = self._client.create_model_package(**self._request(arguments, digest, key))
            described = self._client.describe_model_package(ModelPackageName=made["ModelPackageArn"])
        return packages.version_of(described, (), champion=None)

    def versions(self, group: str) -> list[ModelVersion]:
        entries = self._log(group).read()
        with aws_errors(f"list the versions of {group}"):
            arns = [summary["ModelPackageArn"] for summary in self._summaries(group)]
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                found = list(pool.map(lambda arn: self._client.describe_model_package(ModelPackageName=arn), arns))
        ours = [_version(package, entries) for package in found if packages.is_ours(package)]
        return sorted(ours, key=lambda version: version.version)

    def get(self, group: str, version: int) -> ModelVersion:
        return self._one(group, version, self._log(group).read())

    def load_champion(self, group: str) -> ModelVersion | None:
        entries = self._log(group).read()
        champion = champion_of(histories_of(entries))
        return self._one(group, champion, entries) if champion else None

    def approve(self, group: str, version: int, *, by: str, reason: str) -> ModelVersion:
        return self._decide(group, Wish(APPROVED, by, reason, version))

    def reject(self, group: str, version: int, *, by: str, reason: str) -> ModelVersion:
        return self._decide(group, Wish(REJECTED, by, reason, version))

    def rollback(self, group: str, *, by: str, reason: str, to: int | None = None) -> ModelVersion:
        return self._decide(group, Wish(APPROVED, by, reason, to, is_rollback=True))

    def download(self, version: ModelVersion, dest: Path) -> Path:
        what = f"{version.artifact_uri} of {version.group} version {version.version}"
        prefix = self._artifacts.uri().rstrip("/") + "/"
        if not version.artifact_uri.startswith(prefix):
            raise RegistryError(f"{what} is not in {prefix}: what is released comes from there; register it again")
        key = version.artifact_uri.removeprefix(prefix)
        return fetch_verified(lambda path: self._artifacts.download(key, path), dest, version.sha256, what)

    def _decide(self, group: str, wish: Wish) -> ModelVersion:
        identity = self._identity()
        check_decider(identity, self._environment)
        log = self._log(group)
        for _ in range(_ATTEMPTS):
            entries = log.read()
            histories = histories_of(entries)
            self._make_up(group, entries)
            version = self._one(group, wished_version(wish, group, histories), entries)
            if is_repeated(wish, version, histories):
                return version
            decision = decide(wish, version, histories, identity=identity)
            if wish.status == APPROVED:
                check_artifact(self, version)
            try:
                log.append(len(entries) + 1, version.version, decision)
            except LostRace:
                continue  # somebody has decided meanwhile: what they made is judged anew
            self._show(group, version.version)
            return self.get(group, version.version)
        raise RegistryError(f"{group} is being decided on by others all the time: nothing was decided; try again")

    def _make_up(self, group: str, entries: list[Entry]) -> None:
        """Let the packages show what the log says where a kill kept an earlier decision from it.

        Where a status differs it may as well have been set in the console: that is for a person to settle.
        """
        last = {entry.version: entry for entry in entries}
        with aws_errors(f"list the versions of {group}"):
            shown = {item["ModelPackageVersion"]: item["ModelApprovalStatus"] for item in self._summaries(group)}
        behind = {number for number, entry in last.items() if shown.get(number) != entry.decision.status}
        # An approval that was repeated leaves the status as it is.
        for number in sorted(behind | {entry.version for entry in entries[-1:]}):
            self._show(group, number)

    def _show(self, group: str, number: int) -> None:
        """Let a package show the log's last decision on it; read again after that, in case somebody was faster."""
        shown: Entry | None = None
        while True:
            last = [entry for entry in self._log(group).read() if entry.version == number][-1]
            if last == shown:
                return
            package = self._describe(group, number)
            if packages.shown(package) < last.number:
                with aws_errors(f"set the status of {group} version {number}"):
                    self._client.update_model_package(**packages.update_for(package, last))
            shown = last

    def _one(self, group: str, number: int, entries: list[Entry]) -> ModelVersion:
        package = self._describe(group, number)
        if not packages.is_ours(package):
            raise self._unknown(group, number)
        return _version(package, entries)

    def _describe(self, group: str, number: int) -> Mapping[str, Any]:
        # SageMaker writes the names of packages in lower case.
        arn = self._environment.arn("sagemaker", f"model-package/{group.lower()}/{number}")
        with aws_errors(f"read {group} version {number}"):
            try:
                described: Mapping[str, Any] = self._client.describe_model_package(ModelPackageName=arn)
            except self._client.exceptions.ClientError as error:
                if not _says_missing(error):
                    raise
                raise self._unknown(group, number) from None
        return described

    def _unknown(self, group: str, number: int) -> RegistryError:
        known = ", ".join(str(version.version) for version in self.versions(group)) or "none"
        return RegistryError(f"{group} has no version {number}: its versions are {known}")

    def _summaries(self, group: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        pages = self._client.get_paginator("list_model_packages")
        try:
            for page in pages.paginate(ModelPackageGroupName=group, PaginationConfig={"PageSize": _PAGE}):
                found.extend(page["ModelPackageSummaryList"])
        except self._client.exceptions.ClientError as error:
            if not _says_missing(error):
                raise
        return found

    def _ensure_group(self, group: str) -> None:
        try:
            self._client.describe_model_package_group(ModelPackageGroupName=group)
        except self._client.exceptions.ClientError as error:
            if not _says_missing(error):
                raise
            self._client.create_model_package_group(ModelPackageGroupName=group)

    def _request(self, arguments: Mapping[str, Any], digest: str, key: str) -> dict[str, Any]:
        specification = dict(arguments.get("InferenceSpecification") or {})
        container, *others = specification.get("Containers") or [{}]
        return {
            **arguments,
            "ModelApprovalStatus": PENDING,
            "InferenceSpecification": specification
            | {"Containers": [{**container, "ModelDataUrl": self._artifacts.uri(key)}, *others]},
            "CustomerMetadataProperties": packages.properties(arguments) | {ARCHIVE_SHA256: digest},
            # A repeated call, of a client that lost the answer, gives the version that it has made.
            "ClientToken": digest[:36],
        }

    def _log(self, group: str) -> DecisionLog:
        if group not in self._logs:
            self._logs[group] = DecisionLog(self._artifacts, checked_group(group))
        return self._logs[group]


def _version(package: Mapping[str, Any], entries: list[Entry]) -> ModelVersion:
    number = package["ModelPackageVersion"]
    champion = champion_of(histories_of(entries))
    return packages.version_of(package, [entry for entry in entries if entry.version == number], champion=champion)


def _says_missing(error: Any) -> bool:
    text = str(error.response["Error"].get("Message", "")).lower()
    return any(words in text for words in ("does not exist", "not found", "not be found", "not find"))
