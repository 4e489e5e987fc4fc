"""What the registry is in SageMaker: the log decides, packages mirror it, whatever kills, consoles and races do."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from botocore.exceptions import ClientError

from pipelines.registry.protocol import RegistryError
from pipelines.storage.protocol import LostRace
from steps.core.common.errors import UserError
from tests.pipelines.registry.conftest import PERSON

LOG = "registry/screenshots/decisions/"


class Killed(BaseException):
    """The process is gone: nothing catches it."""


class Mortal:
    """Stands before a part and dies at the `at`th of its writes, before or after the write took effect."""

    def __init__(self, part, writes, clock, *, at, after):
        self._part, self._writes, self._clock, self._at, self._after = part, writes, clock, at, after

    def __getattr__(self, name):
        found = getattr(self._part, name)
        return self._guarded(found) if name in self._writes else found

    def _guarded(self, write):
        def call(*args, **kwargs):
            dies = next(self._clock) == self._at
            if dies and not self._after:
                raise Killed
            answer = write(*args, **kwargs)
            if dies:
                raise Killed
            return answer

        return call


def package(cloud, version=1, group="screenshots"):
    arn = cloud.environment.arn("sagemaker", f"model-package/{group}/{version}")
    return cloud.sagemaker.describe_model_package(ModelPackageName=arn)


def set_in_the_console(cloud, version, status, **changed):
    found = package(cloud, version)
    cloud.sagemaker.update_model_package(
        ModelPackageArn=found["ModelPackageArn"],
        ModelApprovalStatus=status,
        # moto forgets what is not sent again; SageMaker keeps it.
        CustomerMetadataProperties=found["CustomerMetadataProperties"] | changed,
    )


def statuses(cloud, group="screenshots"):
    page = cloud.sagemaker.list_model_packages(ModelPackageGroupName=group)
    return {item["ModelPackageVersion"]: item["ModelApprovalStatus"] for item in page["ModelPackageSummaryList"]}


def log_of(cloud, group="screenshots"):
    objects = cloud.objects.list(f"registry/{group}/decisions/")
    return [json.loads(cloud.objects.get(info.key)) for info in objects]


@pytest.fixture
def registry(cloud):
    return cloud.registry()


@pytest.fixture
def register(registry, bundle, request_of):
    return lambda text="weights": registry.register(request_of(), bundle(text))


def test_a_decision_is_in_the_log_and_the_package_shows_it(cloud, registry, register):
    made = register()
    registry.approve("screenshots", 1, by=" Ann ", reason="0 of 3,000\nfalse alarms")
    (info,) = cloud.objects.list(LOG)
    assert info.key == LOG + "00000001.json"
    (entry,) = log_of(cloud)
    assert (entry["format"], entry["group"], entry["version"], entry["status"]) == (1, "screenshots", 1, "Approved")
    assert (entry["by"], entry["reason"], entry["sha256"]) == ("Ann", "0 of 3,000\nfalse alarms", made.sha256)
    assert entry["identity"].endswith("role/tilegate-dev-approver/ann")
    shown = package(cloud)
    assert (shown["ModelApprovalStatus"], shown["ApprovalDescription"]) == ("Approved", "Ann: 0 of 3,000 false alarms")
    assert shown["CustomerMetadataProperties"]["dataset"] == "d1"
    assert registry.get("screenshots", 1).metadata == made.metadata


@pytest.mark.integration
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "decide",
    [
        lambda registry, group: registry.approve(group, 2, by="Bob", reason="better"),
        lambda registry, group: registry.reject(group, 1, by="Bob", reason="floods the team"),
        lambda registry, group: registry.rollback(group, to=1, by="Bob", reason="needed"),
    ],
    ids=["approve", "reject", "rollback"],
)
def test_a_kill_at_any_write_leaves_a_whole_history_and_the_next_decision_makes_up(
    cloud, bundle, request_of, decide, after
):
    """What the log says holds at once; after the next decision every package shows it, too."""
    for at in count():
        group, clock = f"screenshots-{at}", count()
        for text in "abcd":
            cloud.registry().register(request_of(group=group), bundle(text))
        for number in (1, 3):
            cloud.registry().approve(group, number, by="Ann", reason="good")
        client = Mortal(cloud.sagemaker, {"update_model_package"}, clock, at=at, after=after)
        mortal = cloud.registry(client=client, artifacts=Mortal(cloud.objects, {"put"}, clock, at=at, after=after))
        try:
            decide(mortal, group)
            died = False
        except Killed:
            died = True
        assert len(log_of(cloud, group)) == (2 if at == 0 and not after else 3)
        cloud.registry().approve(group, 4, by="Cyd", reason="the next decision")
        versions = cloud.registry().versions(group)
        assert {version.version: version.status for version in versions} == statuses(cloud, group)
        assert {version.outside for version in versions} == {""}
        for number, position in {entry["version"]: n for n, entry in enumerate(log_of(cloud, group), 1)}.items():
            assert package(cloud, number, group)["CustomerMetadataProperties"]["tilegate_decision"] == str(position)
        if not died:
            break
    assert at == 2  # the log and the package: a kill at either was survived


def test_an_approval_in_the_console_counts_for_nothing_until_somebody_gives_name_and_reason(cloud, registry, register):
    register()
    set_in_the_console(cloud, 1, "Approved")
    found = registry.get("screenshots", 1)
    assert (found.status, found.outside, found.is_champion) == ("PendingManualApproval", "Approved", False)
    assert found.approval is None
    assert registry.versions("screenshots") == [found]
    assert registry.load_champion("screenshots") is None
    decided = registry.approve("screenshots", 1, by="Ann", reason="looked at the report")
    assert (decided.status, decided.outside, decided.is_champion) == ("Approved", "", True)
    assert decided.approval.by == "Ann"


def test_what_the_console_changes_after_a_decision_is_told_and_stops_a_release(cloud, registry, register):
    register("a")
    register("b")
    registry.approve("screenshots", 1, by="Ann", reason="good")
    set_in_the_console(cloud, 1, "Rejected")
    found = registry.get("screenshots", 1)
    assert (found.status, found.outside, found.is_champion, found.approval) == ("Approved", "Rejected", True, None)
    registry.reject("screenshots", 2, by="Ann", reason="worse")
    assert statuses(cloud) == {1: "Rejected", 2: "Rejected"}  # a person's doing is not undone behind their back
    again = registry.approve("screenshots", 1, by="Ann", reason="it was a mistake")
    assert (again.outside, again.approval.reason) == ("", "it was a mistake")
    assert statuses(cloud)[1] == "Approved"


def test_a_rejected_version_that_the_console_approves_stays_rejected(cloud, registry, register):
    register()
    registry.reject("screenshots", 1, by="Ann", reason="floods the team")
    set_in_the_console(cloud, 1, "Approved")
    with pytest.raises(RegistryError, match="was rejected by Ann"):
        registry.approve("screenshots", 1, by="Bob", reason="please")
    assert registry.get("screenshots", 1).approval is None
    registry.reject("screenshots", 1, by="Ann", reason="and it stays so")
    assert statuses(cloud) == {1: "Rejected"}


@pytest.mark.parametrize("duty", ["pipeline", "data", "training", "judge", "starter", "publisher", "operator", "new"])
def test_a_role_of_the_deployment_may_not_decide(cloud, register, duty):
    register()
    role = cloud.environment.role(duty)
    arns = (f"arn:aws:sts::123456789012:assumed-role/{role}/x", f"arn:aws:iam::123456789012:role/path/{role}")
    for identity in arns:
        registry = cloud.registry(identity)
        for decide in (registry.approve, registry.reject):
            with pytest.raises(RegistryError, match=rf"the role {role} may not approve.*assume tilegate-dev-approver"):
                decide("screenshots", 1, by="Ann", reason="good")
        with pytest.raises(RegistryError, match="may not approve"):
            registry.rollback("screenshots", by="Ann", reason="good")
    assert log_of(cloud) == []
    assert statuses(cloud) == {1: "PendingManualApproval"}


def test_an_unknown_caller_may_not_decide_and_a_person_may(cloud, register):
    register()
    with pytest.raises(RegistryError, match="nobody knows who decides"):
        cloud.registry("").approve("screenshots", 1, by="Ann", reason="good")
    person = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Release_0123/ann@example.com"
    assert cloud.registry(person).approve("screenshots", 1, by="Ann", reason="good").decisions[0].identity == person
    user = "arn:aws:iam::123456789012:user/ann"
    assert cloud.registry(user).reject("screenshots", 1, by="Ann", reason="bad").decisions[1].identity == user


def test_who_comes_second_decides_on_what_the_first_has_made(cloud, registry, register):
    """Ann has read the log; before she writes, Bob approves the same version: she is told, and nothing is lost."""
    register("a")
    register("b")

    class Slow:
        def __getattr__(self, name):
            return getattr(cloud.objects, name)

        def put(self, key, data, **condition):
            if key.endswith("00000001.json"):
                cloud.registry().approve("screenshots", 2, by="Bob", reason="faster")
            return cloud.objects.put(key, data, **condition)

    ann = cloud.registry(artifacts=Slow())
    decided = ann.approve("screenshots", 1, by="Ann", reason="slower")
    assert [(entry["by"], entry["note"]) for entry in log_of(cloud)] == [
        ("Bob", "champion"),
        ("Ann", "champion in place of version 2"),
    ]
    assert decided.is_champion
    with pytest.raises(LostRace):
        cloud.objects.put(LOG + "00000001.json", b"{}", only_if_absent=True)


def test_people_who_decide_at_once_lose_no_decision_and_the_packages_end_as_the_log_does(cloud, register):
    for text in "abcd":
        register(text)

    def decide(person):
        registry = cloud.registry()
        for _ in range(3):
            for number in (person, person + 1):
                registry.approve("screenshots", number, by=f"person {person}", reason="r")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(decide, (1, 3)))
    entries = log_of(cloud)
    assert len(entries) == 12
    assert [entry["at"] for entry in entries] == sorted({entry["at"] for entry in entries})
    for version in cloud.registry().versions("screenshots"):
        last = max(number for number, entry in enumerate(entries, 1) if entry["version"] == version.version)
        assert package(cloud, version.version)["CustomerMetadataProperties"]["tilegate_decision"] == str(last)


def test_a_damaged_or_missing_decision_is_named_and_nothing_is_decided(cloud, registry, register):
    for number in (1, 2, 3):
        register(f"text {number}")
        registry.approve("screenshots", number, by="Ann", reason="r")
    kept = cloud.objects.get(LOG + "00000002.json")
    cloud.objects.delete(LOG + "00000002.json")
    with pytest.raises(RegistryError, match=r"00000002.json is missing \(.*00000003.json comes in its place\)"):
        cloud.registry().load_champion("screenshots")
    unnamed = json.dumps({**json.loads(kept), "sha256": ""}).encode()
    perhaps, others = kept.replace(b"Approved", b"Perhaps"), kept.replace(b"screenshots", b"others")
    for damage in (b"", b"[]", b"{}", perhaps, others, unnamed):
        cloud.objects.put(LOG + "00000002.json", damage)
        with pytest.raises(RegistryError, match=r"00000002.json is no decision on screenshots .*restore it"):
            cloud.registry().approve("screenshots", 1, by="Ann", reason="r")


def test_versions_are_read_page_by_page(cloud, registry, register):
    made = register()
    for number in range(2, 104):
        metadata = {"archive_sha256": f"{number:064x}"}
        cloud.sagemaker.create_model_package(
            ModelPackageGroupName="screenshots", CustomerMetadataProperties=metadata, **minimal(made.artifact_uri)
        )
    found = registry.versions("screenshots")
    assert [version.version for version in found] == list(range(1, 104))
    assert found[102].sha256 == f"{103:064x}"


def minimal(uri):
    containers = [{"Image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/x:1", "ModelDataUrl": uri}]
    return {
        "InferenceSpecification": {
            "Containers": containers,
            "SupportedContentTypes": ["application/octet-stream"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        "ModelApprovalStatus": "PendingManualApproval",
    }


def test_what_the_pipeline_registers_twice_is_two_versions_of_the_same_bytes(cloud, registry, register, tmp_path):
    """A night that reuses every step registers again: each version waits for a decision of its own."""
    made = register()
    metadata = {"archive_sha256": made.sha256, "execution": "abc123"}
    cloud.sagemaker.create_model_package(
        ModelPackageGroupName="screenshots", CustomerMetadataProperties=metadata, **minimal(made.artifact_uri)
    )
    assert [version.sha256 for version in registry.versions("screenshots")] == [made.sha256] * 2
    second = registry.approve("screenshots", 2, by="Ann", reason="good")
    assert second.execution_id == "abc123"
    paths = [registry.download(version, tmp_path / str(version.version)) for version in (made, second)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert registry.get("screenshots", 1).status == "PendingManualApproval"


def test_a_package_that_does_not_say_which_bytes_it_means_is_not_one_of_ours(cloud, registry, register):
    made = register()
    cloud.sagemaker.create_model_package(
        ModelPackageGroupName="screenshots",
        CustomerMetadataProperties={"made": "by hand"},
        **minimal(made.artifact_uri),
    )
    assert [version.version for version in registry.versions("screenshots")] == [1]
    with pytest.raises(RegistryError, match="has no version 2: its versions are 1"):
        registry.approve("screenshots", 2, by="Ann", reason="good")


def test_a_changed_archive_is_refused_even_if_the_package_was_changed_with_it(cloud, registry, register, tmp_path):
    """The decision names the bytes, and nothing but the approver writes decisions."""
    made = register()
    registry.approve("screenshots", 1, by="Ann", reason="good")
    key = made.artifact_uri.partition(cloud.environment.artifact_bucket + "/")[2]
    cloud.objects.put(key, b"another model")
    with pytest.raises(RegistryError, match=r"has sha256 .* was registered: it was changed since; do not use it"):
        registry.download(registry.get("screenshots", 1), tmp_path / "release")
    set_in_the_console(cloud, 1, "Approved", archive_sha256=hashlib.sha256(b"another model").hexdigest())
    with pytest.raises(RegistryError, match=r"was changed since; do not use it"):
        registry.download(registry.get("screenshots", 1), tmp_path / "release")
    cloud.objects.delete(key)
    with pytest.raises(RegistryError, match="is missing: restore it"):
        registry.download(made, tmp_path / "release")
    assert list((tmp_path / "release").iterdir()) == []


def test_an_archive_of_another_bucket_is_not_downloaded(cloud, registry, register, tmp_path):
    made = register()
    cloud.sagemaker.create_model_package(
        ModelPackageGroupName="screenshots",
        CustomerMetadataProperties={"archive_sha256": made.sha256},
        **minimal("s3://elsewhere/model.tar.gz"),
    )
    with pytest.raises(RegistryError, match=r"s3://elsewhere/model.tar.gz .* is not in s3://tilegate-dev-artifacts"):
        registry.download(registry.get("screenshots", 2), tmp_path)


def test_a_missing_permission_is_named(cloud, registry, register):
    """The decision is in the log; that the package shows it is made up for once the permission is there."""
    register()
    said = f"User: {PERSON} is not authorized to perform: sagemaker:UpdateModelPackage on resource: arn:x"
    denied = {"Code": "AccessDeniedException", "Message": said}

    class Denied:
        def __getattr__(self, name):
            return getattr(cloud.sagemaker, name)

        def update_model_package(self, **_):
            raise ClientError({"Error": denied}, "UpdateModelPackage")

    with pytest.raises(UserError, match=r"tilegate-dev-approver needs the permission sagemaker:UpdateModelPackage on"):
        cloud.registry(client=Denied()).approve("screenshots", 1, by="Ann", reason="good")
    assert registry.get("screenshots", 1).is_champion
    assert statuses(cloud) == {1: "PendingManualApproval"}
    assert len(registry.approve("screenshots", 1, by="Ann", reason="good").decisions) == 1
    assert statuses(cloud) == {1: "Approved"}
