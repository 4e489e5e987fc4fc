"""Nothing in the bucket is believed: what was changed, put back or put elsewhere is found, and told by name."""

import dataclasses
import json
import threading
from base64 import b64decode

import pytest

from pipelines.release.channels import Channels
from pipelines.release.signers import LocalSigner, sealed
from pipelines.release.store import StoredBucket
from pipelines.release.verify import CHANNEL_TYPE, Folder, VerificationError, read_keys, read_log, verify_channel
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
    assert here.publisher(objects).channels.latest("stable").sequence == 3


def test_the_entries_of_a_log_are_read_several_at_once(here, objects):
    """Each waits for the others: one after the other they would not be read."""
    together = threading.Barrier(3, timeout=30)

    class Slow(StoredBucket):
        def get(self, key):
            if "/history/" in key:
                together.wait()
            return StoredBucket.get(self, key)

    assert len(read_log("stable", Slow(objects), here.keys()).entries) == 3


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
    with pytest.raises(UserError, match=r"channels/beta.json was signed for the channel stable"):
        here.publisher(objects).channels.latest("beta")
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


def test_after_a_change_of_the_key_the_former_one_counts_if_the_operator_names_it(here, objects, tmp_path):
    newer = LocalSigner(tmp_path / "newer")
    with pytest.raises(UserError, match="signed by none of the 1 keys"):
        here.publisher(objects, newer).rollout("stable", 100, **WHO)
    publisher = here.publisher(objects, newer, (here.signer.public_pem,))
    assert publisher.rollout("stable", 100, **WHO).sequence == 4
    assert [state.sequence for state in publisher.channels.history("stable")] == [1, 2, 3, 4]
    # A phone has to know the new key as well before it follows.
    with pytest.raises(VerificationError, match="signed by none of the 1 keys"):
        here.read(objects)
    assert publisher.store.find(1).version == 1


def test_a_key_in_the_bucket_counts_for_nothing(here, objects, tmp_path):
    """Whoever writes into the bucket could bring a key there, and all that it has signed."""
    stranger = LocalSigner(tmp_path / "stranger")
    (identity,) = read_keys([stranger.public_pem])
    objects.put(f"keys/{identity}.pem", stranger.public_pem)
    for key in list(objects.list("channels/")):
        payload = json.loads(b64decode(json.loads(objects.get(key.key))["payload"]))
        objects.put(key.key, sealed(payload | {"previous_sha256": ""}, CHANNEL_TYPE, stranger))
    for move in (lambda p: p.rollout("stable", 60, **WHO), lambda p: p.channels.latest("stable")):
        with pytest.raises(UserError, match="is signed by none of the 1 keys"):
            move(here.publisher(objects))
    with pytest.raises(UserError, match="a key that the operator names: a public key in PEM is wanted"):
        here.publisher(objects, trusted=(b"no key",)).channels.latest("stable")


def changed_manifest(objects):
    key = "releases/1/manifest.json"
    objects.put(key, objects.get(key).replace(b'"keyid"', b'  "keyid"'))


ATTACKS = {
    "the pointer was put back": (
        lambda objects: objects.put(POINTER, objects.get(entry(1))),
        r"stable.json has sequence 1, and its log ends with 3: phones are kept from what was decided",
    ),
    "the pointer is gone": (
        lambda objects: objects.delete(POINTER),
        r"stable.json is missing, and its log ends with 3",
    ),
    "the pointer is a signed state of no log": (
        lambda objects: objects.put(POINTER, objects.get(POINTER).replace(b'"keyid"', b'  "keyid"')),
        r"stable.json is not the entry 3 of its log",
    ),
    "an entry is gone": (lambda objects: objects.delete(entry(2)), r"00000002.json is missing"),
    "the last entry is gone": (lambda objects: objects.delete(entry(3)), r"00000003.json is missing"),
    "an entry in another's place": (
        lambda objects: objects.put(entry(2), objects.get(entry(1))),
        r"00000002.json was not signed to stand there",
    ),
    "an earlier entry was changed": (
        lambda objects: objects.put(entry(1), objects.get(entry(1)).replace(b'"keyid"', b'  "keyid"')),
        r"00000002.json was not signed to stand there",
    ),
    "another manifest of an earlier release": (changed_manifest, r"releases/1/manifest.json is not the manifest that"),
    "no manifest of an earlier release": (
        lambda objects: objects.delete("releases/1/manifest.json"),
        r"releases/1/manifest.json is missing",
    ),
    "a file that is offered": (
        lambda objects: objects.put("releases/2/model.json", b"{}"),
        r"releases/2/model.json is not the file that was released",
    ),
}


@pytest.mark.parametrize(("attack", "sentence"), ATTACKS.values(), ids=ATTACKS)
def test_what_no_phone_or_no_history_accepts_is_found_by_the_verifier(here, objects, tmp_path, attack, sentence):
    """One function for `release verify`, `list`, the publisher and the copy of the verifier that stands alone."""
    bucket = StoredBucket(objects)
    channel, _ = verify_channel("stable", bucket, here.keys(), seen=3)
    assert channel["sequence"] == 3
    attack(objects)
    with pytest.raises(VerificationError, match=sentence):
        verify_channel("stable", bucket, here.keys())
    for key, data in everything(objects).items():
        path = tmp_path / "copy" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with pytest.raises(VerificationError, match=sentence):
        verify_channel("stable", Folder(tmp_path / "copy"), here.keys())


def test_a_release_whose_manifest_was_removed_is_not_signed_a_second_time(here, objects):
    objects.delete("releases/2/manifest.json")
    again = lambda: here.publisher(objects).publish(2, "stable", 60, **WHO)  # noqa: E731
    refused(objects, again, r"releases/2/manifest.json is missing")


def test_a_log_that_was_cut_off_together_with_its_pointer_gets_no_sequence_twice(here, objects):
    class Memory:
        def seen(self, channel):
            return {"stable": 3}[channel]

    objects.put(POINTER, objects.get(entry(2)))
    objects.delete(entry(3))
    publisher = here.publisher(objects)
    channels = Channels(publisher.store, memory=Memory())
    move = dataclasses.replace(publisher, channels=channels).rollout
    refused(objects, lambda: move("stable", 60, **WHO), "history/00000003.json is missing, for 3 was seen before")
    assert publisher.rollout("stable", 60, **WHO).sequence == 3  # so it is without a memory
