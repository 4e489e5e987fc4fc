"""What approvals and people do to a channel."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.release.publisher import RefusedError
from steps.core.common.errors import UserError
from tests.pipelines.release.kit import GROUP, WHO, everything

BOB = {"by": "Bob", "reason": "alarms on dark screens"}


@pytest.fixture
def objects(bench):
    return bench.new_bucket()


@pytest.fixture
def publisher(bench, objects):
    return bench.publisher(objects)


def said(publisher, channel="stable"):
    return [str(state) for state in publisher.channels.history(channel)]


def test_an_approval_is_released_with_who_approved_it_and_why(bench, objects, publisher):
    version = bench.approve()
    state = publisher.follow(version, "stable", 100)
    assert str(state) == "stable 1: version 1 to all"
    assert (state.by, state.reason) == (WHO["by"], WHO["reason"])
    assert state.approved == bench.registry.get(GROUP, version).approval.at
    assert bench.read(objects)["release"]["version"] == version


def test_a_version_that_waits_or_was_rejected_is_refused_and_nothing_is_written(bench, objects, publisher):
    waiting, rejected = bench.register(), bench.register()
    bench.registry.reject(GROUP, rejected, **BOB)
    with pytest.raises(RefusedError, match="is PendingManualApproval without a name and a reason: nothing is released"):
        publisher.follow(waiting, "stable", 100)
    with pytest.raises(RefusedError, match="is Rejected"):
        publisher.follow(rejected, "stable", 100)
    for version in (waiting, rejected):
        with pytest.raises(UserError, match="only what was approved with a name and a reason is released"):
            publisher.publish(version, "stable", 100, **WHO)
    with pytest.raises(RefusedError, match="has no version 7"):
        publisher.follow(7, "stable", 100)
    assert everything(objects) == {}


def test_what_was_approved_in_the_console_alone_is_refused(cloud, clients):
    objects = cloud.new_bucket()
    version = cloud.register()
    arn = clients["sagemaker"].list_model_packages(ModelPackageGroupName=GROUP)["ModelPackageSummaryList"][0]
    described = clients["sagemaker"].describe_model_package(ModelPackageName=arn["ModelPackageArn"])
    clients["sagemaker"].update_model_package(
        ModelPackageArn=arn["ModelPackageArn"],
        ModelApprovalStatus="Approved",
        CustomerMetadataProperties=described["CustomerMetadataProperties"],
    )
    with pytest.raises(RefusedError, match="version 1 is Approved without a name and a reason"):
        cloud.publisher(objects).follow(version, "stable", 100)
    assert everything(objects) == {}


def test_a_late_event_undoes_neither_a_newer_version_nor_a_rollback(bench, objects, publisher):
    """Events come several times and in any order."""
    bench.approve(2)
    assert publisher.follow(1, "stable", 100) is None
    assert everything(objects) == {}
    publisher.publish(1, "stable", 100, **WHO)
    publisher.follow(2, "stable", 100)
    assert str(publisher.follow(1, "stable", 100)) == "stable 2: version 2 to all"
    publisher.rollback("stable", publisher.former("stable"), **BOB)
    assert str(publisher.follow(2, "stable", 100)) == "stable 3: version 1 to all"
    assert len(said(publisher)) == 3


def test_an_earlier_champion_that_is_approved_again_is_offered_to_all_at_once(bench, objects, publisher):
    """A rollback in the registry is urgent: nobody keeps the bad version because of the default percentage."""
    bench.approve(2)
    for version in (1, 2):
        publisher.publish(version, "stable", 100, **WHO)
    back = bench.registry.rollback(GROUP, **BOB)
    state = publisher.follow(back.version, "stable", 10)
    assert str(state) == "stable 3: version 1 to all"
    assert (state.by, state.reason, state.approved) == (BOB["by"], BOB["reason"], back.approval.at)
    publisher.rollback("stable", to=2, by="Ann", reason="it was the server")
    assert str(publisher.follow(back.version, "stable", 10)) == "stable 4: version 2 to all"


def test_a_rollout_widens_and_the_others_keep_what_everybody_had(bench, objects, publisher):
    bench.approve(2)
    publisher.publish(1, "stable", 100, **WHO)
    publisher.publish(2, "stable", 10, **WHO)
    for percent in (50, 100, 20):
        state = publisher.rollout("stable", percent, by="Bob", reason="looks good")
        assert (state.percent, state.otherwise.version) == (percent, 1)
    assert said(publisher)[1:] == [
        "stable 2: version 2 to 10 %, version 1 to the others",
        "stable 3: version 2 to 50 %, version 1 to the others",
        "stable 4: version 2 to all",
        "stable 5: version 2 to 20 %, version 1 to the others",
    ]
    assert bench.read(objects)["rollout"]["salt"] == "stable/2"


def test_the_same_again_changes_nothing(bench, objects, publisher):
    bench.approve()
    publisher.publish(1, "stable", 30, **WHO)
    before = everything(objects)
    publisher.publish(1, "stable", 30, by="Bob", reason="again")
    publisher.rollout("stable", 30, by="Bob", reason="again")
    publisher.follow(1, "stable", 100)
    assert everything(objects) == before


def test_another_version_waits_until_a_rollout_has_ended(bench, objects, publisher):
    bench.approve(2)
    publisher.publish(1, "stable", 30, **WHO)
    with pytest.raises(RefusedError, match=r"stable is at 30 % of version 1: finish its rollout"):
        publisher.follow(2, "stable", 100)
    publisher.rollout("stable", 100, **WHO)
    assert str(publisher.follow(2, "stable", 100)) == "stable 3: version 2 to all"


def test_a_version_that_was_taken_back_makes_room_and_one_that_was_rejected_gets_no_more_phones(bench, publisher):
    first, second = bench.approve(), bench.approve()
    publisher.publish(first, "stable", 40, **WHO)
    with pytest.raises(RefusedError, match="is at 40 % of version 1: finish its rollout"):
        publisher.publish(second, "stable", 10, **WHO)
    assert publisher.store.versions() == [first]
    bench.registry.reject(GROUP, first, **BOB)
    with pytest.raises(RefusedError, match=r"version 1 was rejected, and no more phones get it; .*--percent 0"):
        publisher.rollout("stable", 100, **BOB)
    assert str(publisher.rollout("stable", 0, **BOB)).endswith("version 1 to 0 %, no model to the others")
    assert str(publisher.publish(second, "stable", 10, **WHO)).endswith("version 2 to 10 %, no model to the others")
    assert str(publisher.rollout("stable", 100, **WHO)).endswith("version 2 to all")


def test_a_rollback_goes_to_what_everybody_had_and_twice_goes_back_by_two(bench, objects, publisher):
    bench.approve(3)
    for version in (1, 2, 3):
        publisher.publish(version, "stable", 100, **WHO)
    before = everything(objects)
    assert [str(publisher.rollback("stable", publisher.former("stable"), **BOB)) for _ in range(2)] == [
        "stable 4: version 2 to all",
        "stable 5: version 1 to all",
    ]
    with pytest.raises(UserError, match="stable has offered no release to all before version 1: name one with --to"):
        publisher.rollback("stable", publisher.former("stable"), **BOB)
    after = everything(objects)
    changed = {key for key in after if after[key] != before.get(key)}
    assert changed == {"channels/stable.json", *(f"channels/stable/history/{n:08d}.json" for n in (4, 5))}


def test_a_rollback_that_is_asked_for_twice_goes_back_once(bench, objects, publisher):
    """A client that hears nothing asks again."""
    bench.approve(3)
    for version in (1, 2, 3):
        publisher.publish(version, "stable", 100, **WHO)
    to = publisher.former("stable")
    assert [str(publisher.rollback("stable", to, **BOB)) for _ in range(2)] == ["stable 4: version 2 to all"] * 2


def test_a_first_release_that_few_have_can_be_taken_from_all(bench, objects, publisher):
    bench.approve()
    publisher.publish(1, "stable", 10, **WHO)
    with pytest.raises(UserError, match=r"no release to all before version 1: .* rollout --percent 0"):
        publisher.rollback("stable", publisher.former("stable"), **BOB)
    assert str(publisher.rollout("stable", 0, **BOB)) == "stable 2: version 1 to 0 %, no model to the others"
    assert bench.read(objects)["rollout"]["otherwise"] is None


def test_nobody_goes_back_to_what_was_rejected_since_or_never_released(bench, objects, publisher):
    bench.approve(3)
    for version in (1, 2):
        publisher.publish(version, "stable", 100, **WHO)
    bench.registry.reject(GROUP, 1, **BOB)
    with pytest.raises(UserError, match="version 1 was rejected: roll back to another one"):
        publisher.rollback("stable", publisher.former("stable"), **BOB)
    with pytest.raises(UserError, match="version 3 was never released: released are 1, 2"):
        publisher.rollback("stable", to=3, **BOB)
    assert len(said(publisher)) == 2


def test_channels_are_apart(bench, objects, publisher):
    bench.approve(2)
    publisher.publish(1, "stable", 100, **WHO)
    publisher.publish(2, "beta", 100, **WHO)
    assert publisher.channels.names() == ["beta", "stable"]
    assert bench.read(objects, "stable")["release"]["version"] == 1
    assert bench.read(objects, "beta")["release"]["version"] == 2
    with pytest.raises(UserError, match="there is no channel gamma"):
        publisher.rollback("gamma", 1, **BOB)
    with pytest.raises(UserError, match="there is no channel gamma"):
        publisher.former("gamma")
    with pytest.raises(UserError, match="there is no channel gamma"):
        publisher.rollout("gamma", 50, **BOB)


@pytest.mark.parametrize("channel", ["", "Stable", "a/b", "../x", "a" * 33, "-a", "stable.json"])
def test_a_channel_has_a_plain_name(here, channel):
    here.approve()
    with pytest.raises(UserError, match="small letters, digits and inner hyphens are wanted"):
        here.publisher(here.new_bucket()).publish(1, channel, 100, **WHO)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"percent": 101}, "a whole number from 0 to 100"),
        ({"percent": -1}, "a whole number from 0 to 100"),
        ({"by": " "}, "a name and a reason are wanted"),
        ({"reason": ""}, "a name and a reason are wanted"),
    ],
)
def test_a_publication_needs_a_share_a_name_and_a_reason(here, change, sentence):
    here.approve()
    objects = here.new_bucket()
    with pytest.raises(UserError, match=sentence):
        here.publisher(objects).publish(1, "stable", **{"percent": 100, **WHO, **change})
    assert everything(objects) == {}


def test_many_publishers_at_once_make_one_order_and_phones_end_at_its_last(here):
    """Twenty moves by twenty publishers: each is in the log once, and the sequence has no gap."""
    here.approve()
    objects = here.new_bucket()
    here.publisher(objects).publish(1, "stable", 0, **WHO)

    def move(percent):
        return here.publisher(objects).rollout("stable", percent, by=f"number {percent}", reason="race").sequence

    with ThreadPoolExecutor(20) as pool:
        moves = list(pool.map(move, range(1, 21)))
    assert sorted(moves) == list(range(2, 22))
    history = list(here.publisher(objects).channels.history("stable"))
    assert sorted(state.percent for state in history) == list(range(21))
    read = here.read(objects, seen=21)
    assert read["rollout"]["percent"] == history[-1].percent


def test_one_approval_that_is_delivered_to_many_publishers_moves_once(here):
    here.approve()
    objects = here.new_bucket()
    registries = [MlflowRegistry(here.folder / "home") for _ in range(8)]

    def deliver(registry):
        publisher = here.publisher(objects)
        object.__setattr__(publisher, "registry", registry)
        return str(publisher.follow(1, "stable", 10))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(deliver, registries)) == {"stable 1: version 1 to 10 %, no model to the others"}
    assert len(said(here.publisher(objects))) == 1
