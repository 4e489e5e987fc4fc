"""The model registry in AWS: SageMaker's model packages, and a log of decisions in the artefact bucket.

The log is the truth, the package's status mirrors it: an approval in the console has neither name nor reason, and here
counts for nothing. `approve` writes the log, then the package, by which EventBridge hears of it; where a kill kept it
from the second, the next decision makes up for it.

A pipeline that reuses every step registers the same bytes again: `versions` then has several of one sha256, each with
decisions of its own, and the bytes are those of the one that is approved.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from typing import Any

from pipelines.aws.errors import aws_errors
from pipelines.environment import Environment
from pipelines.registry.artifact import check_artifact, fetch_verified
from pipelines.registry.decision_log import DecisionLog, Entry, histories_of
from pipelines.registry.decisions import champion_of, check_decider, decide, is_repeated, wished_version
from pipelines.registry.protocol import APPROVED, PENDING, ModelRegistry, ModelVersion, RegistryError, Wish
from pipelines.registry.requests import ARCHIVE_SHA256, checked_group, execution_of, metadata_of
from pipelines.storage.protocol import LostRace, ObjectStore

_PAGE = 100
_AT_ONCE = 8
_ATTEMPTS = 20
# The number of the decision that the package shows, written together with its status.
_SHOWN = "tilegate_decision"
_DESCRIPTION_CHARACTERS = 1024


class SageMakerRegistry(ModelRegistry):
    """Model versions of an environment, which its pipeline registers.

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

    def versions(self, group: str) -> list[ModelVersion]:
        entries = self._log(group).read()
        with aws_errors(f"list the versions of {group}"):
            arns = [summary["ModelPackageArn"] for summary in self._summaries(group)]
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                found = list(pool.map(lambda arn: self._client.describe_model_package(ModelPackageName=arn), arns))
        ours = [_version(package, entries) for package in found if _is_ours(package)]
        return sorted(ours, key=lambda version: version.version)

    def get(self, group: str, version: int) -> ModelVersion:
        return self._one(group, version, self._log(group).read())

    def load_champion(self, group: str) -> ModelVersion | None:
        entries = self._log(group).read()
        champion = champion_of(histories_of(entries))
        return self._one(group, champion, entries) if champion else None

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
                continue  # somebody has decided meanwhile: the wish is checked against what they made
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
            if _shown(package) < last.number:
                with aws_errors(f"set the status of {group} version {number}"):
                    self._client.update_model_package(**_update_for(package, last))
            shown = last

    def _one(self, group: str, number: int, entries: list[Entry]) -> ModelVersion:
        package = self._describe(group, number)
        if not _is_ours(package):
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

    def _log(self, group: str) -> DecisionLog:
        if group not in self._logs:
            self._logs[group] = DecisionLog(self._artifacts, checked_group(group))
        return self._logs[group]


def _says_missing(error: Any) -> bool:
    text = str(error.response["Error"].get("Message", "")).lower()
    return any(words in text for words in ("does not exist", "not found", "not be found", "not find"))


def _is_ours(package: Mapping[str, Any]) -> bool:
    """Tell whether the package says which bytes it means; one made by hand does not, and is left out."""
    return bool(_properties(package).get(ARCHIVE_SHA256))


def _properties(package: Mapping[str, Any]) -> dict[str, str]:
    return dict(package.get("CustomerMetadataProperties") or {})


def _shown(package: Mapping[str, Any]) -> int:
    """Return the number of the decision that the package shows, 0 for none."""
    number = _properties(package).get(_SHOWN, "0")
    return int(number) if number.isdecimal() else 0


def _version(package: Mapping[str, Any], entries: list[Entry]) -> ModelVersion:
    """Return the version of a package, given the whole log of its group."""
    number = int(package["ModelPackageVersion"])
    decisions = [entry for entry in entries if entry.version == number]
    last = decisions[-1] if decisions else None
    metadata = metadata_of(package)
    metadata.pop(_SHOWN, None)
    containers = (package.get("InferenceSpecification") or {}).get("Containers") or [{}]
    return ModelVersion(
        group=package["ModelPackageGroupName"],
        version=number,
        status=last.decision.status if last else PENDING,
        created=package["CreationTime"].astimezone(UTC).isoformat(timespec="milliseconds"),
        execution_id=execution_of(package),
        # What was decided on stays what it was, whatever the package's properties say by now.
        sha256=last.decision.sha256 if last else _properties(package)[ARCHIVE_SHA256],
        metadata=metadata,
        description=package.get("ModelPackageDescription", ""),
        decisions=tuple(entry.decision for entry in decisions),
        artifact_uri=str(containers[0].get("ModelDataUrl") or ""),
        is_champion=number == champion_of(histories_of(entries)),
        outside=_outside(package, last),
    )


def _outside(package: Mapping[str, Any], last: Entry | None) -> str:
    """Return the package's status if it is neither the log's nor one that the log has only not reached yet."""
    status = str(package.get("ModelApprovalStatus") or PENDING)
    if last is None:
        return status if status != PENDING else ""
    return status if _shown(package) >= last.number and status != last.decision.status else ""


def _update_for(package: Mapping[str, Any], last: Entry) -> dict[str, Any]:
    """Return the UpdateModelPackage request by which a package shows a decision; status and number go together."""
    decision = last.decision
    text = " ".join(f"{decision.by}: {decision.reason}".split())
    return {
        "ModelPackageArn": package["ModelPackageArn"],
        "ModelApprovalStatus": decision.status,
        "ApprovalDescription": text[:_DESCRIPTION_CHARACTERS],
        "CustomerMetadataProperties": _properties(package) | {_SHOWN: str(last.number)},
    }
