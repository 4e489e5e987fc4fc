"""How well trivial facts predict the label: known answers, chance, and groups that must not cross."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from steps.validate.appearance import APPEARANCE_COLUMNS
from steps.validate.shortcuts import MISSING, _aucs, feature_sets, probe, pure_values


def screens(seed, groups=80, size=4):
    """Features of screenshots of apps, two labels, with nothing to tell them apart."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), size)
    label = np.repeat(rng.integers(0, 2, groups), size)
    return pd.DataFrame({"width": rng.choice([720, 1080], len(group)), "noise": rng.random(len(group))}), label, group


def test_a_size_that_follows_the_label_is_found():
    features, label, group = screens(1)
    found = probe(features.assign(width=np.where(label == 1, 720, 1080)), label, group)
    assert (found.auc, found.lower, found.upper, found.groups) == (1, 1, 1, 80)


def test_a_text_that_follows_the_label_is_found():
    features, label, group = screens(1)
    texts = pd.DataFrame({"format": np.where(label == 1, "PNG", None)})
    assert probe(texts, label, group).auc == 1
    assert probe(texts.assign(noise=features["noise"]), label, group).lower > 0.95


def test_nothing_is_found_where_there_is_nothing():
    found = [probe(*screens(seed)) for seed in range(6)]
    assert np.mean([one.auc for one in found]) == pytest.approx(0.5, abs=0.06)
    assert all(one.lower < 0.6 for one in found)


def test_what_only_recognises_an_app_is_no_shortcut():
    _, label, group = screens(3, 40)
    # Within an app the value is constant: rows of one app on both sides would give the label away.
    app = pd.DataFrame({"app": np.random.default_rng(1).permutation(40)[group]})
    assert probe(app, label, group).lower < 0.6
    assert probe(app, label, np.arange(len(label))).lower > 0.8


def test_the_bounds_enclose_the_estimate_and_narrow_with_more_groups():
    def half(groups):
        _, label, group = screens(5, groups)
        value = label + np.random.default_rng(1).normal(0, 1, len(label))
        found = probe(pd.DataFrame({"value": value}), label, group)
        assert found.lower < found.auc < found.upper
        return found.upper - found.lower

    assert half(240) < 0.7 * half(40)


def test_the_same_data_give_the_same_probe():
    features, label, group = screens(2)
    assert probe(features, label, group) == probe(features.copy(), label.copy(), group.copy())


@pytest.mark.parametrize("label", [[0, 0, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1]])
def test_too_few_groups_of_a_class_cannot_be_probed(label):
    assert probe(pd.DataFrame({"x": [1, 2, 3, 4]}), label, [1, 2, 3, 4]) is None


def test_no_rows_cannot_be_probed():
    assert probe(pd.DataFrame({"x": []}), [], []) is None


@pytest.mark.parametrize("folds", [2, 3])
def test_few_groups_of_a_class_are_enough_for_fewer_folds(folds):
    group = np.repeat(np.arange(20), 5)
    label = (group < folds).astype(int)
    assert probe(pd.DataFrame({"x": label + 0.0}), label, group).auc > 0.9


def test_a_fold_that_leaves_one_class_to_learn_from_is_not_learned_from():
    # Both positive apps are large: a fold of two may take both, and the other then trains without a positive.
    label = np.array([1] * 10 + [0] * 3)
    group = np.array([0] * 9 + [1] + [2, 3, 4])
    assert 0 <= probe(pd.DataFrame({"x": np.arange(13.0)}), label, group).auc <= 1


def test_what_never_varies_is_chance():
    _, label, group = screens(1)
    found = probe(pd.DataFrame({"width": np.full(len(label), 720), "nothing": np.nan}), label, group)
    assert (found.auc, found.lower, found.upper) == (0.5, 0.5, 0.5)


def test_missing_and_infinite_numbers_are_values_like_others():
    _, label, group = screens(1)
    values = pd.DataFrame({"x": np.where(label == 1, np.inf, 3.0), "y": np.where(label == 1, np.nan, 3.0)})
    assert probe(values, label, group).auc == 1


def test_of_very_many_rows_whole_groups_are_drawn():
    group = np.repeat(np.arange(1000), 25)
    label = group % 2
    found = probe(pd.DataFrame({"x": label + 0.0}), label, group)
    assert (found.auc, found.groups) == (1.0, 200)


@given(
    hnp.arrays(np.int64, 30, elements=st.integers(0, 5)),
    hnp.arrays(np.int64, 30, elements=st.integers(0, 1)),
    hnp.arrays(np.int64, (3, 30), elements=st.integers(0, 4)),
)
def test_the_weighted_auc_is_that_of_repeated_rows(scores, target, weights):
    for auc, weight in zip(_aucs(scores / 5, target, weights), weights, strict=True):
        repeated = np.repeat(target, weight)
        if len(set(repeated)) < 2:
            assert np.isnan(auc)
        else:
            assert auc == pytest.approx(roc_auc_score(repeated, np.repeat(scores, weight)))


def test_the_sets_of_features_hold_what_a_lazy_model_would_use():
    frame = pd.DataFrame({"width": [720, 1600], "height": [1600, 720], "format": ["PNG", "JPEG"], "bytes": [72, 1152]})
    sets = feature_sets(frame.assign(**dict.fromkeys(APPEARANCE_COLUMNS, 0.5)))
    assert sets["size"]["size"].tolist() == ["720 x 1600", "1600 x 720"]
    assert sets["size"]["landscape"].tolist() == [False, True]
    assert sets["file"]["density"].tolist() == [72 / 720 / 1600, 0.001]
    assert list(sets["colour"]) == list(APPEARANCE_COLUMNS)
    assert list(sets["file"]) == ["format", "bytes", "density"]


def pure_of(frame, columns, label):
    return pure_values({name: frame[name] for name in columns}, label, frame["group"])


def slices(pure, *, others=100, groups=12, wrong=0):
    """One value with `pure` positives and `wrong` negatives of 12 apps, and another value with both labels."""
    label = [1] * pure + [0] * wrong + [0, 1] * (others // 2)
    own = [f"p{i % groups}" for i in range(pure + wrong)] + [f"o{i}" for i in range(others)]
    size = ["320 x 466"] * (pure + wrong) + ["720 x 1600"] * others
    return pd.DataFrame({"size": size, "group": own}), label


def test_a_value_with_one_label_only_is_found():
    frame, label = slices(52)
    found = pure_of(frame, ["size"], label)
    assert found.to_dict("records") == [
        {"column": "size", "value": "320 x 466", "label": 1, "n": 52, "share": 1.0, "groups": 12}
    ]


def test_a_value_with_nearly_one_label_is_found_and_with_one_in_ten_it_is_not():
    frame, label = slices(98, wrong=2, groups=50)
    assert pure_of(frame, ["size"], label)["share"].tolist() == [0.98]
    frame, label = slices(90, wrong=10, groups=50)
    assert pure_of(frame, ["size"], label).empty


@pytest.mark.parametrize(("count", "groups"), [(19, 12), (52, 2), (52, 3)])
def test_few_rows_or_few_groups_prove_nothing(count, groups):
    assert pure_of(*((s := slices(count, groups=groups))[0], ["size"], s[1])).empty


def test_where_the_other_label_is_rare_everywhere_no_value_is_pure():
    label = np.zeros(1000, int)
    label[:5] = 1
    frame = pd.DataFrame({"size": np.where(np.arange(1000) < 500, "a", "b"), "group": np.arange(1000)})
    assert pure_of(frame, ["size"], label).empty


def test_a_value_that_has_all_of_a_label_is_pure_and_so_is_what_is_left():
    frame, _ = slices(52)
    odd = frame["size"] == "320 x 466"
    found = pure_of(frame.assign(store=np.where(odd, "play", "web")), ["store"], np.where(odd, 1, 0))
    assert set(found["value"]) == {"play", "web"}


def test_a_set_of_one_label_has_no_pure_value():
    frame, label = slices(52)
    assert pure_of(frame, ["size"], np.ones_like(label)).empty


def test_missing_values_count_as_a_value():
    frame, label = slices(52)
    frame["device"] = frame["size"].map({"720 x 1600": "pixel"})
    assert pure_of(frame, ["device"], label)["value"].tolist() == [MISSING]


def test_a_row_may_be_a_group_of_its_own():
    frame, label = slices(52, groups=2)
    assert len(pure_of(frame.assign(group=range(len(frame))), ["size"], label)) == 1


def test_no_rows_have_no_values():
    assert pure_of(pd.DataFrame({"size": [], "group": []}), ["size"], []).empty
