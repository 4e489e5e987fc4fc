"""Which variant ships: the rule by its properties, and what is said when none may."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.convert.variants import Variant, choose, mark, refusal, table, write_variants
from steps.core.common.choices import VARIANTS, several
from steps.core.common.errors import UserError


def able(name, deflated=100, latency=1.0, **more):
    return Variant(
        name=name,
        sha256="0" * 64,
        bytes=2 * deflated,
        deflated=deflated,
        latency_ms=latency,
        **{"passed": True, "flipped": 0.0, **more},
    )


rows = st.builds(
    Variant,
    name=st.just(""),
    reason=st.sampled_from(["", "", "", "it broke"]),
    deflated=st.none() | st.integers(1, 4),
    latency_ms=st.none() | st.sampled_from([0.5, 1.0, 1.1, 1.11, 3.0]),
    passed=st.booleans() | st.just(True),
    flipped=st.none() | st.sampled_from([0.0, 0.005, 0.0051, 1.0]),
)
tables = st.lists(rows, max_size=6).map(
    lambda found: [replace(r, name=n) for n, r in zip("abcdef", found, strict=False)]
)


@given(tables, st.randoms())
def test_the_choice_may_ship_and_nothing_better_may(found, random):
    by_name = {row.name: row for row in found}
    chosen = choose(found)
    shippable = [row for row in found if row.qualifies(0.005)]
    assert (chosen is None) == (not shippable)
    if chosen is None:
        return
    best = by_name[chosen]
    assert best in shippable
    assert all((best.deflated, best.latency_ms or 9) <= (row.deflated, row.latency_ms or 9) for row in shippable)
    shuffled = list(found)
    random.shuffle(shuffled)
    assert choose(shuffled) == chosen


def test_equally_small_ones_are_told_apart_by_speed_then_by_name():
    assert choose([able("float32", 80, 1.5), able("float16", 80, 2.0)]) == "float32"
    assert choose([able("float32", 80, 1.0), able("float16", 80, 1.0)]) == "float16"


@pytest.mark.parametrize(
    "fault", [{"passed": False}, {"flipped": 0.0051}, {"flipped": None}, {"deflated": None}, {"reason": "x"}]
)
def test_what_is_not_known_or_not_good_enough_never_ships(fault):
    broken = replace(able("float16"), **fault)
    assert choose([broken]) is None
    assert broken.refusal(0.005)


def test_the_reason_told_is_that_of_the_nearest_miss():
    made = able("float32", flipped=0.02)
    failed = replace(able("float16"), passed=False, message="Rate too high.")
    never = Variant(name="weight-int8", reason="the model was trained without it")
    assert refusal([never, failed, made], 0.005).startswith("float32 decides otherwise")
    assert "2.00%" in refusal([never, failed, made], 0.005)
    assert refusal([never, failed], 0.005).startswith("float16 does not pass the gate. Rate too high.")
    assert refusal([never], 0.005) == "weight-int8: the model was trained without it"


def test_the_table_is_written_with_what_may_ship(tmp_path):
    found = mark([able("float32"), Variant(name="weight-int8", reason="not trained")], "float32", 0.005)
    write_variants(tmp_path, found, max_flipped=0.005)
    told = json.loads((tmp_path / "variants.json").read_text())
    assert [(row["name"], row["chosen"], row["may_ship"]) for row in told["variants"]] == [
        ("float32", True, True),
        ("weight-int8", False, False),
    ]
    assert "not trained" in table(found)


def test_names_come_once_in_their_order_and_unknown_ones_are_refused():
    assert several(" weight-int8, float32,weight-int8", VARIANTS, "variant") == ("float32", "weight-int8")
    assert several("", VARIANTS, "variant") == ()
    with pytest.raises(UserError, match="variant 'int3'"):
        several("float32,int3", VARIANTS, "variant")
