"""The ledger of looks at a test split."""

import json

import pytest

from steps.core.common.errors import UserError
from steps.core.gate.limits import Limits
from steps.core.gate.test_set_ledger import LOOKS_BUDGET, SKETCH, Consultation, consultations, ledger_of, read_ledger

LIMITS = Limits().to_dict()


def ids(start, stop):
    return [f"screenshot-{n}" for n in range(start, stop)]


def look(names, model=1, moment="2026-01-01T00:00:00Z", limits=LIMITS, *, passed=True):
    return Consultation.of(
        names,
        negatives=len(names),
        groups=len(names),
        model=f"{model:064x}",
        limits=limits,
        passed=passed,
        moment=moment,
    )


def test_a_repeated_run_is_no_new_look():
    again = look(ids(0, 50), moment="2027-01-01T00:00:00Z", passed=False)
    assert again.name == look(list(reversed(ids(0, 50)))).name
    others = {
        look(ids(0, 50), model=2).name,
        look(ids(0, 51)).name,
        look(ids(0, 50), limits=Limits(max_fpr=0.02).to_dict()).name,
    }
    assert len(others - {again.name}) == 3
    assert consultations([look(ids(0, 50)), again], ids(0, 50)).looks == 2
    assert consultations([look(ids(0, 50)), again], ids(0, 50), own=again.name).looks == 1


@pytest.mark.parametrize(
    ("seen", "now", "share"),
    [
        ((0, 100), (0, 100), 1),
        ((0, 100), (50, 150), 0.5),
        ((0, 100), (100, 200), 0),
        ((0, 100), (0, 4000), 0.025),
        ((0, 6000), (0, 6000), 1),
        ((0, 6000), (3000, 9000), 0.5),
        ((0, 6000), (6000, 12_000), 0),
        ((0, 6000), (0, 3), 1),
    ],
)
def test_the_overlap_of_test_splits_is_estimated(seen, now, share):
    wear = consultations([look(ids(*seen))], ids(*now))
    exact = seen[1] - seen[0] <= SKETCH
    assert wear.weight == pytest.approx(1 + share, abs=1e-9 if exact or share in (0, 1) else 0.1)
    assert wear.looks == (2 if share else 1)


def test_a_fresh_split_costs_nothing_and_many_looks_cost_confidence():
    assert consultations([], ids(0, 10)).confidence(0.95) == pytest.approx(0.95)
    assert consultations([look(ids(0, 10), n) for n in range(9)], ids(0, 10)).confidence(0.95) == pytest.approx(0.995)


def test_worn_out_evidence_is_warned_of():
    few = consultations([look(ids(0, 10), n) for n in range(3)], ids(0, 10))
    many = consultations([look(ids(0, 10), n) for n in range(LOOKS_BUDGET)], ids(0, 10))
    assert few.warning(0.009, 0.01) is None
    assert "for all of them together" in few.warning(0.011, 0.01)
    assert "more than the budget of 20" in many.warning(0.0, 0.01)
    assert consultations([], ids(0, 10)).warning(0.5, 0.01) is None


def test_entries_are_written_by_name_and_read_again(tmp_path):
    entries = [look(ids(0, 300), 1), look(ids(0, 20), 2, passed=False)]
    path = entries[0].write(tmp_path)
    assert path.name == f"{entries[0].name}.json"
    assert Consultation.from_dict(json.loads(path.read_text())) == entries[0]
    (tmp_path / "ledger.json").write_bytes(ledger_of([*entries, entries[0]]))
    assert {entry.name for entry in read_ledger(tmp_path)} == {entry.name for entry in entries}
    assert "screenshot" not in path.read_text().replace("screenshots", "")


def test_a_missing_ledger_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"ledger\.json is missing"):
        read_ledger(tmp_path)


DAMAGE = {
    "no list": lambda e: {"entries": e},
    "no object": lambda e: [str(e)],
    "another version": lambda e: [{**e[0], "version": 2}],
    "a field too many": lambda e: [{**e[0], "more": 1}],
    "a field too few": lambda e: [{k: v for k, v in e[0].items() if k != "model"}],
    "changed": lambda e: [{**e[0], "model": "0" * 64}],
    "changed limits": lambda e: [{**e[0], "limits": {"max_fpr": 0.5}}],
    "no digest": lambda e: [{**e[0], "test": "../../etc/passwd"}],
    "count": lambda e: [{**e[0], "screenshots": -1}],
    "count is true": lambda e: [{**e[0], "negatives": True}],
    "passed": lambda e: [{**e[0], "passed": "yes"}],
    "sketch is short": lambda e: [{**e[0], "sketch": e[0]["sketch"][1:]}],
    "sketch is unordered": lambda e: [{**e[0], "sketch": e[0]["sketch"][::-1]}],
    "sketch of numbers": lambda e: [{**e[0], "sketch": [1] * len(e[0]["sketch"])}],
    "limits": lambda e: [{**e[0], "limits": {"a": [1]}}],
    "moment": lambda e: [{**e[0], "moment": "x" * 1000}],
    "name": lambda e: [{**e[0], "name": None}],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_ledger_is_refused(damage, tmp_path):
    broken = DAMAGE[damage]([look(ids(0, 20)).to_dict()])
    (tmp_path / "ledger.json").write_text(json.dumps(broken))
    with pytest.raises(UserError, match=r"ledger\.json"):
        read_ledger(tmp_path)


@pytest.mark.parametrize("text", ["", "[", "[NaN]", "\x00" * 10, "[" * 100_000])
def test_what_is_no_json_is_refused(text, tmp_path):
    (tmp_path / "ledger.json").write_text(text)
    with pytest.raises(UserError, match=r"ledger\.json"):
        read_ledger(tmp_path)
