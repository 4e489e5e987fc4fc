"""The rules of deciding, over any history: who is champion, and where a rollback leads."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.registry.decisions import Wish, champion_of, decide, wished_version
from pipelines.registry.protocol import APPROVED, PENDING, REJECTED, ModelVersion, RegistryError

NUMBERS = (1, 2, 3, 4)
WISHES = st.lists(st.tuples(st.sampled_from([APPROVED, REJECTED, "rollback"]), st.sampled_from(NUMBERS)), max_size=14)


def history_after(wishes):
    """Decide each wish as a registry does; what is refused changes nothing. Also return what was asked and done."""
    histories, done = {}, []
    for status, number in wishes:
        rollback = status == "rollback"
        try:
            wish = Wish(
                APPROVED if rollback else status, "Ann", "r", None if rollback else number, is_rollback=rollback
            )
            chosen = wished_version(wish, "screenshots", histories)
            decision = decide(wish, version_of(chosen, histories), histories)
        except RegistryError:
            continue
        histories = {**histories, chosen: (*histories.get(chosen, ()), decision)}
        done.append((status, chosen))
    return histories, done


def version_of(number, histories):
    history = tuple(histories.get(number, ()))
    status = history[-1].status if history else PENDING
    return ModelVersion(
        *("screenshots", number, status, "2026-11-25T00:00:00+00:00", "", "0" * 64),
        decisions=history,
        is_champion=number == champion_of(histories),
    )


@given(WISHES)
def test_the_champion_is_the_last_approved_unless_it_was_rejected_since(wishes):
    histories, done = history_after(wishes)
    made = [(status, number) for status, number in done if status != REJECTED]
    last = made[-1][1] if made else None
    expected = None if last is None or histories[last][-1].status == REJECTED else last
    assert champion_of(histories) == expected


@given(WISHES)
def test_nothing_leaves_a_rejection(wishes):
    histories, _ = history_after(wishes)
    for history in histories.values():
        assert REJECTED not in [decision.status for decision in history[:-1]]


@given(WISHES)
def test_a_rollback_leads_to_an_earlier_champion_and_rolling_back_comes_to_an_end(wishes):
    """Each goes further back: no version is met twice, and none that was rejected."""
    histories, _ = history_after(wishes)
    met = [champion_of(histories)]
    for _ in range(len(NUMBERS) + 1):
        try:
            number = wished_version(Wish(APPROVED, "Ann", "r", is_rollback=True), "screenshots", histories)
        except RegistryError:
            break
        assert histories[number][-1].status == APPROVED
        decision = decide(Wish(APPROVED, "Ann", "r", is_rollback=True), version_of(number, histories), histories)
        histories = {**histories, number: (*histories[number], decision)}
        assert champion_of(histories) == number
        assert number not in met
        met.append(number)
    else:
        pytest.fail("rolling back went on for ever")


@given(WISHES)
def test_moments_order_all_decisions_of_a_group(wishes):
    histories, done = history_after(wishes)
    moments = [decision.at for history in histories.values() for decision in history]
    assert len(set(moments)) == len(moments) == len(done)


def test_a_status_set_outside_does_not_stand_in_the_way_of_a_decision():
    approved, _ = history_after([(APPROVED, 1)])
    version = version_of(1, approved)
    with pytest.raises(RegistryError, match="champion already"):
        decide(Wish(APPROVED, "Ann", "r", 1), version, approved)
    outside = dataclasses.replace(version, outside=REJECTED)
    assert decide(Wish(APPROVED, "Ann", "r", 1), outside, approved).status == APPROVED
    assert decide(Wish(APPROVED, "Ann", "r", 1), outside, approved).note == "champion"
