"""A publisher in AWS may die at every single write: phones never notice, and the next delivery ends what was begun."""

import itertools

import pytest

from tests.pipelines.release.kit import WHO, Dying, Killed, everything

pytestmark = pytest.mark.integration

OFFERED = "stable 2: version 2 to 10 %, version 1 to the others"
# Four files, the manifest, the entry of the log, the pointer.
WRITES = 7


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_write_of_a_release_phones_find_all_of_one_version_and_a_redelivery_ends_it(cloud, after):
    cloud.approve(2)
    cloud.settle()
    for number in itertools.count(1):
        objects = cloud.new_bucket()
        cloud.publisher(objects).publish(1, "stable", 100, **WHO)
        killed = False
        try:
            cloud.publisher(Dying(objects, number, after=after)).follow(2, "stable", 10)
        except Killed:
            killed = True
        read = cloud.read(objects, seen=1)
        moved = not killed or (after and number == WRITES)
        assert (read["release"]["version"], read["sequence"]) == ((2, 2) if moved else (1, 1))
        assert str(cloud.publisher(objects).follow(2, "stable", 10)) == OFFERED
        assert cloud.read(objects, seen=2)["release"]["version"] == 2
        whole = everything(objects)
        assert str(cloud.publisher(objects).follow(2, "stable", 10)) == OFFERED
        assert everything(objects) == whole
        if not killed:
            break
    assert number == WRITES + 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_write_of_the_first_release_there_is_no_channel_or_a_whole_one(cloud, after):
    cloud.approve()
    cloud.settle()
    for number in itertools.count(1):
        objects = cloud.new_bucket()
        killed = False
        try:
            cloud.publisher(Dying(objects, number, after=after)).publish(1, "stable", 100, **WHO)
        except Killed:
            killed = True
        assert (cloud.read(objects) is None) == (killed and not (after and number == WRITES))
        assert str(cloud.publisher(objects).publish(1, "stable", 100, **WHO)) == "stable 1: version 1 to all"
        assert cloud.read(objects)["sequence"] == 1
        if not killed:
            break
    assert number == WRITES + 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", [1, 2], ids=["log", "pointer"])
def test_a_killed_rollback_is_ended_by_whoever_comes_next(cloud, number, after):
    """The log decides: what is in it comes to phones even if the next caller asks for something else."""
    cloud.approve(2)
    cloud.settle()
    objects = cloud.new_bucket()
    publisher = cloud.publisher(objects)
    for version in (1, 2):
        publisher.publish(version, "stable", 100, **WHO)
    with pytest.raises(Killed):
        cloud.publisher(Dying(objects, number, after=after)).rollback("stable", 1, by="Bob", reason="alarms")
    assert cloud.read(objects, seen=2)["release"]["version"] == (1 if number == 2 and after else 2)
    publisher.rollback("stable", to=1, by="Bob", reason="alarms")
    assert cloud.read(objects, seen=3)["release"]["version"] == 1
    assert [state.sequence for state in publisher.channels.history("stable")] == [1, 2, 3]


def test_a_killed_move_that_another_follows_is_kept_in_the_history_though_no_phone_ever_read_it(cloud):
    cloud.approve(2)
    cloud.settle()
    objects = cloud.new_bucket()
    publisher = cloud.publisher(objects)
    publisher.publish(1, "stable", 100, **WHO)
    with pytest.raises(Killed):
        cloud.publisher(Dying(objects, WRITES - 1, after=True)).publish(2, "stable", 50, **WHO)
    assert cloud.read(objects)["sequence"] == 1
    publisher.rollout("stable", 70, by="Bob", reason="on")
    assert cloud.read(objects)["sequence"] == 3
    assert [str(state) for state in publisher.channels.history("stable")] == [
        "stable 1: version 1 to all",
        "stable 2: version 2 to 50 %, version 1 to the others",
        "stable 3: version 2 to 70 %, version 1 to the others",
    ]
