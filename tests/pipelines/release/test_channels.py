"""Nothing in the bucket is believed: what was changed, put back or put elsewhere is found, and told by name."""

import json

import pytest

from pipelines.release.signers import LocalSigner, sealed
from pipelines.release.verify import CHANNEL_TYPE, VerificationError
from steps.core.common.errors import UserError
from tests.pipelines.release.kit import WHO, everything

POINTER = "channels/stable.json"


def entry(number):
    return f"channels/stable/history/{number:08d}.json"


@pytest.fixture
def objects(here):
    """A channel of three states."""
    here.approve(2)
    objects = here.new_bucket()
    publisher = here.publisher(objects)
    publisher.publish(1, "stable", 100, **WHO)
    publisher.publish(2, "stable", 10, **WHO)
    publisher.rollout("stable", 50, **WHO)
    return objects


@pytest.fixture
def widen(here, objects):
    return lambda: here.publisher(objects).rollout("stable", 60, **WHO)


def refused(objects, move, sentence):
    """The move is refused in a sentence, and has written nothing."""
    before = everything(objects)
    with pytest.raises(UserError, match=sentence):
        move()
    assert everything(objects) == before


def test_the_pointer_is_the_last_entry_of_the_log_and_each_entry_names_the_one_before(here, objects):
    assert objects.get(POINTER) == objects.get(entry(3))
    assert [state.sequence for state in here.publisher(objects).channels.history("stable")] == [1, 2, 3]
    assert here.publisher(objects).channels.state("stable") == here.publisher(objects).channels.latest("stable")


def test_a_pointer_that_was_changed_is_named_and_not_written_over(objects, widen):
    text = json.loads(objects.get(POINTER))
    objects.put(POINTER, json.dumps(text | {"payload": text["payload"][:-8] + "AAAAAAA="}).encode())
    refused(objects, widen, r"channels/stable.json is not what was signed: somebody has changed it")


def test_a_pointer_that_was_put_back_is_refused_by_phones_and_comes_forward_with_the_next_move(here, objects, widen):
    objects.put(POINTER, objects.get(entry(1)))
    with pytest.raises(VerificationError, match="has sequence 1, and 3 was seen before: it is old"):
        here.read(objects, seen=3)
    assert widen().sequence == 4
    assert here.read(objects, seen=4)["rollout"]["percent"] == 60


def test_an_old_entry_under_a_new_number_moves_nothing(objects, widen):
    objects.put(entry(4), objects.get(entry(1)))
    refused(objects, widen, r"history/00000004.json was not signed to stand there")


def test_an_entry_of_another_key_moves_nothing(here, objects, widen, tmp_path):
    stranger = LocalSigner(tmp_path / "stranger")
    state = here.publisher(objects).channels.latest("stable")
    objects.put(entry(4), sealed(state.payload(""), CHANNEL_TYPE, stranger))
    refused(objects, widen, r"00000004.json is signed by none of the 1 keys that are trusted")


def test_an_entry_that_is_gone_is_missed(objects, widen):
    kept = objects.get(entry(3))
    objects.delete(entry(3))
    refused(objects, widen, r"stable.json has sequence 3, and channels/stable/history/00000003.json is missing")
    objects.put(entry(3), kept)
    objects.delete(entry(2))
    refused(objects, widen, r"00000002.json is missing")


def test_an_entry_that_was_exchanged_for_another_signed_one_is_found(here, objects):
    """Two entries with the same number can only be made by a publisher that lost its log; the chain tells."""
    publisher = here.publisher(objects)
    second = next(state for state in publisher.channels.history("stable") if state.sequence == 2)
    objects.put(entry(2), sealed(second.payload("0" * 64), CHANNEL_TYPE, here.signer))
    with pytest.raises(UserError, match=r"00000002.json was not signed to stand there"):
        list(publisher.channels.history("stable"))


def test_a_channel_under_another_name_is_refused(here, objects):
    objects.put("channels/beta.json", objects.get(POINTER))
    with pytest.raises(UserError, match=r"channels/beta.json was signed for channel stable"):
        here.publisher(objects).channels.state("beta")
    with pytest.raises(VerificationError, match=r"channels/beta.json was signed for the channel stable"):
        here.read(objects, "beta")


class Interrupted:
    """A bucket where somebody else moves the channel just before the first write to `key`."""

    def __init__(self, objects, key, move):
        self._objects, self._key, self._move = objects, key, move

    def __getattr__(self, name):
        return getattr(self._objects, name)

    def put(self, key, data, **conditions):
        if key == self._key and (move := self._move):
            self._move = None
            move()
        return self._objects.put(key, data, **conditions)


@pytest.mark.parametrize("key", [POINTER, entry(4)], ids=["pointer", "log"])
def test_who_comes_second_neither_loses_a_move_nor_puts_the_pointer_back(here, objects, key):
    def move(bucket, percent):
        return here.publisher(bucket).rollout("stable", percent, by=f"number {percent}", reason="race")

    move(Interrupted(objects, key, lambda: move(objects, 80)), 60)
    history = [state.percent for state in here.publisher(objects).channels.history("stable")][3:]
    assert history == ([60, 80] if key == POINTER else [80, 60])
    read = here.read(objects, seen=5)
    assert (read["sequence"], read["rollout"]["percent"]) == (5, history[-1])


def test_after_a_change_of_the_key_what_the_former_one_signed_holds(here, objects, tmp_path):
    newer = LocalSigner(tmp_path / "newer")
    publisher = here.publisher(objects, newer)
    assert publisher.rollout("stable", 100, **WHO).sequence == 4
    assert [state.sequence for state in publisher.channels.history("stable")] == [1, 2, 3, 4]
    # A phone has to know the new key as well before it follows.
    with pytest.raises(VerificationError, match="signed by none of the 1 keys"):
        here.read(objects)
    assert publisher.store.find(1).version == 1


@pytest.mark.parametrize("content", [b"no key", None], ids=["garbage", "another key"])
def test_a_file_among_the_keys_that_is_none_stops_the_publisher(objects, widen, tmp_path, content):
    objects.put(f"keys/{'0' * 64}.pem", content or LocalSigner(tmp_path / "other").public_pem)
    refused(objects, widen, r"keys/0+.pem.*remove")
