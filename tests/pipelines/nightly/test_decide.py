"""The decision of a night, as a function: what has to hold for every history, and one example of each answer."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.nightly.decide import Attempt, News, Nothing, Rules, Start, Why, decide
from pipelines.runs.executions import Status
from steps.core.common.errors import UserError

NOW = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
ENDED = (Status.SUCCEEDED, Status.REJECTED, Status.FAILED, Status.STOPPED)


def history(*statuses):
    return [
        Attempt(number, status, f"e{number}", "out of memory" if status is Status.FAILED else "")
        for number, status in enumerate(statuses, 1)
    ]


# Only the last attempt can be open: nothing starts beside one that is.
histories = st.builds(
    lambda ended, last: history(*ended, *last),
    st.lists(st.sampled_from(ENDED), max_size=5),
    st.lists(st.sampled_from(Status), max_size=1),
)
all_news = st.builds(
    News,
    labels=st.integers(0, 1000),
    oldest=st.none() | st.integers(-5, 100).map(lambda days: NOW - timedelta(days=days)),
    gone=st.integers(0, 2),
)
all_rules = st.builds(
    Rules,
    min_new_labels=st.integers(0, 1000),
    max_age_days=st.none() | st.floats(0, 50),
    max_attempts=st.integers(1, 5),
    force=st.booleans(),
)
executions = st.none() | st.just("other")


@given(histories, all_news, all_rules, executions)
def test_nothing_starts_while_anything_is_executing(attempts, news, rules, executing):
    going_on = executing or any(a.status is Status.EXECUTING for a in attempts)
    decision = decide(attempts, news, rules, now=NOW, executing=executing)
    assert (isinstance(decision, Nothing) and decision.why is Why.EXECUTING) == bool(going_on)


@given(histories, all_news, all_rules)
def test_an_answered_question_is_asked_again_by_force_only(attempts, news, rules):
    if any(a.status.is_answer for a in attempts):
        assert isinstance(decide(attempts, news, rules, now=NOW), Nothing) or rules.force


@given(histories, all_news, all_rules)
def test_a_start_is_of_the_announced_attempt_or_of_the_next_one(attempts, news, rules):
    decision = decide(attempts, news, rules, now=NOW)
    if isinstance(decision, Start):
        announced = [a.number for a in attempts if a.status is Status.ANNOUNCED]
        assert decision.number == (announced[0] if announced else len(attempts) + 1)


@given(histories, all_news, all_rules)
def test_force_starts_whenever_nothing_is_executing(attempts, news, rules):
    forced = Rules(rules.min_new_labels, rules.max_age_days, rules.max_attempts, force=True)
    going_on = any(a.status is Status.EXECUTING for a in attempts)
    assert isinstance(decide(attempts, news, forced, now=NOW), Nothing if going_on else Start)


@given(histories, all_news, all_rules, st.integers(1, 500), st.integers(0, 50))
def test_more_labels_or_more_waiting_never_stop_a_start(attempts, news, rules, labels, days):
    if isinstance(decide(attempts, news, rules, now=NOW), Start):
        more = News(news.labels + labels, news.oldest, news.gone)
        assert isinstance(decide(attempts, more, rules, now=NOW), Start)
        assert isinstance(decide(attempts, news, rules, now=NOW + timedelta(days=days)), Start)


@given(histories, all_news, all_rules)
def test_every_failing_history_is_given_up_in_the_end(attempts, news, rules):
    calm = Rules(rules.min_new_labels, rules.max_age_days, rules.max_attempts)
    for _ in range(10):
        decision = decide(attempts, news, calm, now=NOW)
        if isinstance(decision, Nothing):
            return
        attempts = [a for a in attempts if a.number != decision.number]
        attempts.append(Attempt(decision.number, Status.FAILED, "again"))
    raise AssertionError("ten executions on the same data")


@pytest.mark.parametrize(
    ("statuses", "says"),
    [
        ([], Start(1, "5 new labels")),
        ([Status.FAILED], Start(2, "attempt 2 of 3, 5 new labels")),
        ([Status.STOPPED, Status.ANNOUNCED], Start(2, "attempt 2 of 3, 5 new labels")),
        ([Status.EXECUTING], Nothing(Why.EXECUTING, "e1 is at it, and only one execution may be")),
        ([Status.FAILED, Status.REJECTED], Nothing(Why.ANSWERED, "e2 has decided on these data: Rejected")),
        (
            [Status.STOPPED, Status.FAILED, Status.FAILED],
            Nothing(
                Why.GIVEN_UP,
                "3 executions on these data have failed, the last, e3, with: out of memory; "
                "mend that and use --force, or add data",
            ),
        ),
    ],
)
def test_the_decision_says_why(statuses, says):
    assert decide(history(*statuses), News(5, NOW), Rules(), now=NOW) == says


@pytest.mark.parametrize(
    ("news", "rules", "says"),
    [
        (News(9, NOW - timedelta(days=2)), Rules(10, 7), "9 new labels of the 10 that are wanted, or 7 days"),
        (News(9, NOW - timedelta(days=99)), Rules(10, None), "the oldest have waited for 99.0 days"),
        (News(9, NOW + timedelta(days=1)), Rules(10, 7), "the oldest have waited for 0.0 days"),
        (News(0), Rules(), "no batch has come since the last decision"),
    ],
)
def test_few_labels_wait(news, rules, says):
    decision = decide([], news, rules, now=NOW)
    assert decision.why is Why.WAITING
    assert says in decision.reason


@pytest.mark.parametrize(
    ("news", "rules"),
    [
        (News(10, NOW), Rules(10, 7)),
        (News(9, NOW - timedelta(days=7)), Rules(10, 7)),
        (News(0, None, gone=1), Rules(10, 7)),
        (News(0), Rules(0)),
    ],
)
def test_enough_labels_an_old_batch_or_a_correction_do_not_wait(news, rules):
    assert isinstance(decide([], news, rules, now=NOW), Start)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"min_new_labels": -1}, "--min-new-labels -1"),
        ({"max_age_days": float("nan")}, "--max-age nan"),
        ({"max_attempts": 0}, "--max-attempts 0"),
    ],
)
def test_rules_that_nothing_can_fulfil_are_refused(wrong, says):
    with pytest.raises(UserError, match=says):
        Rules(**wrong)
