"""What every registry does, whatever stands behind the protocol."""

import dataclasses
import gzip
import hashlib
import tarfile
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.registry.protocol import RegistryError


@pytest.fixture
def here(home):
    """The registry of this machine, which registers itself; in AWS the pipeline's step does."""
    return MlflowRegistry(home)


def test_a_registered_version_waits_for_a_person_and_keeps_what_the_request_said(registry, bundle, request_of):
    """Status, lineage, metadata, description and the sha256 of the artefact come back as they were given."""
    path = bundle()
    made = registry.register(request_of(), path)
    assert (made.group, made.version, made.status) == ("screenshots", 1, "PendingManualApproval")
    assert made.execution_id == "20261123-051455-k3v9"
    assert made.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert made.metadata == {"execution": "20261123-051455-k3v9", "dataset": "d1"}
    assert made.description == "a candidate"
    assert made.decisions == ()
    assert not made.is_champion
    assert abs(datetime.fromisoformat(made.created) - datetime.now(UTC)) < timedelta(minutes=1)
    assert registry.get("screenshots", 1) == made
    assert registry.load_champion("screenshots") is None


def test_registering_the_same_again_gives_the_first_version(here, bundle, request_of):
    """A run that was killed and resumed, or that reused every step, makes no second version to decide on."""
    first = here.register(request_of(), bundle())
    assert here.register(request_of(), bundle()) == first
    here.approve("screenshots", 1, by="Ann", reason="good")
    again = here.register(request_of("20261124-000000-aaaa"), bundle())
    assert (again.version, again.status, again.execution_id) == (1, "Approved", first.execution_id)
    assert [version.version for version in here.versions("screenshots")] == [1]


def test_other_bytes_or_another_group_make_another_version(registry, bundle, request_of):
    registry.register(request_of(), bundle("a"))
    assert registry.register(request_of(), bundle("b")).version == 2
    assert registry.register(request_of(group="others"), bundle("a")).version == 1


def test_the_execution_is_read_from_the_arn_that_sagemaker_gives(registry, bundle, request_of):
    arn = "arn:aws:sagemaker:eu-west-1:1:pipeline/p/execution/abc123"
    made = registry.register(request_of(MetadataProperties={"GeneratedBy": arn}), bundle())
    assert made.execution_id == "abc123"


def test_approving_makes_the_champion_and_the_former_one_stays_approved(registry, bundle, request_of):
    for text in "ab":
        registry.register(request_of(), bundle(text))
    first = registry.approve("screenshots", 1, by="Ann", reason="0 of 3,000")
    assert first.is_champion
    second = registry.approve("screenshots", 2, by="Bob", reason="fewer alarms")
    assert (second.is_champion, second.decisions[-1].note) == (True, "champion in place of version 1")
    former = registry.get("screenshots", 1)
    assert (former.status, former.is_champion) == ("Approved", False)
    assert registry.load_champion("screenshots") == second


def approve_in_turn(registry, bundle, request_of, count):
    for text in "abcd"[:count]:
        made = registry.register(request_of(), bundle(text))
        registry.approve("screenshots", made.version, by="Ann", reason=f"reason {text}")


def test_rolling_back_makes_the_champion_before_the_champion_again_and_keeps_the_history(registry, bundle, request_of):
    approve_in_turn(registry, bundle, request_of, 2)
    back = registry.rollback("screenshots", by="Bob", reason="version 2 floods the team")
    assert (back.version, back.is_champion, back.status) == (1, True, "Approved")
    assert [(decision.by, decision.reason, decision.note) for decision in back.decisions] == [
        ("Ann", "reason a", "champion"),
        ("Bob", "version 2 floods the team", "rolled back: champion in place of version 2"),
    ]
    assert registry.load_champion("screenshots") == back
    assert registry.get("screenshots", 2).status == "Approved"


def test_rolling_back_twice_goes_back_by_two_and_never_to_what_was_left(registry, bundle, request_of):
    approve_in_turn(registry, bundle, request_of, 3)
    assert [registry.rollback("screenshots", by="Bob", reason="r").version for _ in range(2)] == [2, 1]
    with pytest.raises(RegistryError, match=r"no champion before the present one \(version 1 is the first\)"):
        registry.rollback("screenshots", by="Bob", reason="r")
    assert registry.load_champion("screenshots").version == 1


def test_after_a_rejected_champion_a_rollback_brings_back_the_one_before(registry, bundle, request_of):
    approve_in_turn(registry, bundle, request_of, 2)
    registry.reject("screenshots", 2, by="Ann", reason="floods the team")
    assert registry.rollback("screenshots", by="Ann", reason="needed").version == 1


def test_a_rollback_can_name_any_earlier_champion_and_no_other_version(registry, bundle, request_of):
    approve_in_turn(registry, bundle, request_of, 3)
    registry.register(request_of(), bundle("pending"))
    assert registry.rollback("screenshots", by="Bob", reason="r", to=1).version == 1
    with pytest.raises(RegistryError, match="version 1 is approved and the champion already"):
        registry.rollback("screenshots", by="Bob", reason="another", to=1)
    with pytest.raises(RegistryError, match=r"version 4 was never the champion.*approve it instead"):
        registry.rollback("screenshots", by="Bob", reason="r", to=4)
    registry.reject("screenshots", 2, by="Ann", reason="bad")
    with pytest.raises(RegistryError, match="version 2 was rejected by Ann"):
        registry.rollback("screenshots", by="Bob", reason="r", to=2)
    with pytest.raises(RegistryError, match="has no version 9"):
        registry.rollback("screenshots", by="Bob", reason="r", to=9)


def test_there_is_nothing_to_roll_back_to_in_a_group_without_champions(registry, bundle, request_of):
    registry.register(request_of(), bundle())
    with pytest.raises(RegistryError, match=r"no champion before the present one \(there is none\)"):
        registry.rollback("screenshots", by="Bob", reason="r")


def test_a_decision_names_the_bytes_that_it_is_about(registry, bundle, request_of):
    made = registry.register(request_of(), bundle())
    decided = registry.approve("screenshots", 1, by="Ann", reason="good")
    assert decided.decisions[-1].sha256 == made.sha256 == decided.sha256
    assert decided.approval == decided.decisions[-1]
    assert made.approval is None
    assert registry.reject("screenshots", 1, by="Ann", reason="bad").approval is None


def test_an_archive_that_is_not_the_converted_one_is_refused(here, bundle, request_of):
    path = bundle()
    meant = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(RegistryError, match=r"sha256 is .* but 0000.* was converted and judged"):
        here.register(request_of(CustomerMetadataProperties={"archive_sha256": "0" * 64}), path)
    made = here.register(request_of(CustomerMetadataProperties={"archive_sha256": meant, "dataset": "d"}), path)
    assert (made.sha256, made.metadata) == (meant, {"dataset": "d"})


def test_approving_a_former_champion_again_rolls_back_and_adds_to_its_history(registry, bundle, request_of):
    for text in "ab":
        registry.register(request_of(), bundle(text))
    registry.approve("screenshots", 1, by="Ann", reason="first")
    registry.approve("screenshots", 2, by="Ann", reason="second")
    back = registry.approve("screenshots", 1, by="Bob", reason="version 2 floods the team")
    assert back.is_champion
    assert [(decision.by, decision.reason) for decision in back.decisions] == [
        ("Ann", "first"),
        ("Bob", "version 2 floods the team"),
    ]
    assert not registry.get("screenshots", 2).is_champion


def test_rejecting_the_champion_leaves_none_and_says_so(registry, bundle, request_of):
    """An older approval does not come back by itself: somebody has to choose it."""
    for text in "ab":
        registry.register(request_of(), bundle(text))
    registry.approve("screenshots", 1, by="Ann", reason="good")
    registry.approve("screenshots", 2, by="Ann", reason="better")
    rejected = registry.reject("screenshots", 2, by="Bob", reason="fails on dark mode")
    assert (rejected.status, rejected.is_champion) == ("Rejected", False)
    assert rejected.decisions[-1].note == "was the champion: the group has none until a version is approved"
    assert [decision.status for decision in rejected.decisions] == ["Approved", "Rejected"]
    assert registry.load_champion("screenshots") is None
    assert registry.get("screenshots", 1).status == "Approved"


def test_rejecting_another_version_leaves_the_champion(registry, bundle, request_of):
    for text in "ab":
        registry.register(request_of(), bundle(text))
    registry.approve("screenshots", 1, by="Ann", reason="good")
    assert registry.reject("screenshots", 2, by="Ann", reason="worse").decisions[-1].note == ""
    assert registry.load_champion("screenshots").version == 1


def test_what_was_rejected_stays_rejected(registry, bundle, request_of):
    registry.register(request_of(), bundle())
    registry.reject("screenshots", 1, by="Ann", reason="too many alarms")
    with pytest.raises(RegistryError, match=r"rejected by Ann \(too many alarms\) and stays so: another run"):
        registry.approve("screenshots", 1, by="Bob", reason="please")
    with pytest.raises(RegistryError, match="already rejected by Ann"):
        registry.reject("screenshots", 1, by="Bob", reason="again")
    assert len(registry.get("screenshots", 1).decisions) == 1


def test_approving_the_champion_again_is_refused_unless_the_same_command_is_run_again(registry, bundle, request_of):
    """Whoever was killed, or heard nothing, asks again: nothing is decided twice, and nothing is refused."""
    registry.register(request_of(), bundle())
    first = registry.approve("screenshots", 1, by="Ann", reason="good")
    assert registry.approve("screenshots", 1, by="Ann ", reason="good") == first
    with pytest.raises(RegistryError, match="is approved and the champion already"):
        registry.approve("screenshots", 1, by="Bob", reason="good")
    rejected = registry.reject("screenshots", 1, by="Bob", reason="bad")
    assert registry.reject("screenshots", 1, by="Bob", reason="bad") == rejected
    with pytest.raises(RegistryError, match="was rejected by Bob"):
        registry.approve("screenshots", 1, by="Ann", reason="good")


def test_a_decision_needs_a_name_and_a_reason(registry, bundle, request_of):
    registry.register(request_of(), bundle())
    for decide in (partial(registry.approve, version=1), partial(registry.reject, version=1), registry.rollback):
        with pytest.raises(RegistryError, match="no name"):
            decide("screenshots", by="", reason="good")
        with pytest.raises(RegistryError, match="no reason"):
            decide("screenshots", by="Ann", reason="  \n")
    assert registry.get("screenshots", 1).decisions == ()


def test_decisions_carry_their_moment_in_utc_in_order(registry, bundle, request_of):
    for text in "ab":
        registry.register(request_of(), bundle(text))
    made = [registry.approve("screenshots", number, by="Ann", reason="r").decisions[-1].at for number in (1, 2, 1, 2)]
    assert made == sorted(set(made))
    assert all(datetime.fromisoformat(at).utcoffset() == timedelta(0) for at in made)


def test_a_request_that_approves_itself_is_refused(here, bundle, request_of):
    with pytest.raises(RegistryError, match="ModelApprovalStatus is 'Approved'"):
        here.register(request_of(ModelApprovalStatus="Approved"), bundle())
    assert here.versions("screenshots") == []


@pytest.mark.parametrize("group", ["", "-a", "a_b", "x' OR '1'='1", "a" * 64, "ä"])
def test_a_group_that_sagemaker_would_refuse_is_refused(here, bundle, request_of, group):
    with pytest.raises(RegistryError, match="ModelPackageGroupName is "):
        here.register(request_of(group=group), bundle())


def test_an_unknown_version_is_named_with_the_known_ones(registry, bundle, request_of):
    with pytest.raises(RegistryError, match="screenshots has no version 1: its versions are none"):
        registry.get("screenshots", 1)
    registry.register(request_of(), bundle())
    with pytest.raises(RegistryError, match="screenshots has no version 7: its versions are 1"):
        registry.approve("screenshots", 7, by="Ann", reason="good")


def test_a_download_is_the_registered_bytes(registry, bundle, request_of, tmp_path):
    path = bundle()
    made = registry.register(request_of(), path)
    got = registry.download(made, tmp_path / "release" / "new")
    assert got == tmp_path / "release" / "new" / "model.tar.gz"
    assert got.read_bytes() == path.read_bytes()


def test_a_download_of_other_bytes_is_refused_and_leaves_nothing(registry, bundle, request_of, tmp_path):
    made = registry.register(request_of(), bundle())
    with pytest.raises(RegistryError, match=r"has sha256 .* was registered"):
        registry.download(dataclasses.replace(made, sha256="0" * 64), tmp_path / "release")
    assert list((tmp_path / "release").iterdir()) == []


def test_a_missing_or_unsafe_artefact_is_refused(here, bundle, request_of, tmp_path):
    with pytest.raises(RegistryError, match=r"nowhere.tar.gz does not exist"):
        here.register(request_of(), tmp_path / "nowhere.tar.gz")
    with pytest.raises(RegistryError, match="cannot be unpacked safely"):
        here.register(request_of(), bundle("x", name="../outside"))
    text = tmp_path / "model.tar.gz"
    text.write_text("no archive")
    with pytest.raises(RegistryError, match="cannot be unpacked safely"):
        here.register(request_of(), text)
    member = tarfile.TarInfo("model.tflite")
    member.size = 2 << 30
    text.write_bytes(gzip.compress(member.tobuf()))
    with pytest.raises(RegistryError, match="holds more than 1,073,741,824 bytes"):
        here.register(request_of(), text)
    assert here.versions("screenshots") == []


def test_the_executor_gets_the_properties_of_the_step(here, bundle, request_of):
    properties = here.register_step(request_of(), bundle())
    assert properties["ModelPackageVersion"] == 1
    assert properties["ModelPackageArn"].endswith(":model-package/screenshots/1")
    assert properties["ModelApprovalStatus"] == "PendingManualApproval"
