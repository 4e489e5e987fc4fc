"""What data can prove without an error agrees with what the gate then says of a model that makes none."""

import json

import numpy as np
import pandas as pd
import pytest

from steps.core.gate.gate import run_gate
from steps.core.gate.held_out import HeldOut
from steps.core.gate.limits import Limits
from steps.core.gate.provable import Provable


def drawn(groups, size):
    """Both held-out splits with so many groups of each class, each of so many screenshots."""
    rows = [
        {"split": split, "label": label, "group": f"{split} {label} {group}"}
        for split in ("calibration", "test")
        for label in (0, 1)
        for group in range(groups)
        for _ in range(size)
    ]
    return pd.DataFrame(rows)


def flawless(dataset, split):
    part = dataset[dataset["split"] == split]
    return HeldOut(part["label"].to_numpy(np.float64), part["label"].to_numpy(), groups=part["group"].tolist())


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("groups", [10, 40, 150])
def test_a_limit_is_provable_where_the_gate_passes_a_model_without_an_error(groups, size):
    dataset = drawn(groups, size)
    provable = Provable.of(dataset)
    for factor in (0.9, 1.1):
        limits = Limits(provable.max_fpr * factor, provable.min_tpr * 0.9)
        verdict = run_gate(flawless(dataset, "calibration"), flawless(dataset, "test"), limits)
        assert (verdict.passed, provable.shortage(limits) == "") == (factor > 1, factor > 1)


def test_what_is_missing_is_told_in_screenshots_and_groups_and_survives_json():
    provable = Provable.of(drawn(40, 1))
    read = Provable.read(json.loads(json.dumps(provable.as_json())))
    assert read == provable
    assert "19 calibration negatives (19 new groups) and 19 test negatives" in read.shortage(Limits(0.05, 0.1))
    assert "prove a true-positive rate of 92.8 %, not of 99 %" in read.shortage(Limits(0.5, 0.99))
    assert "for 5 %, 19 calibration negatives" in read.as_json()["message"]


def test_the_message_fits_into_a_fail_step_whatever_the_data():
    for groups, size in ((1, 1), (3, 1_000)):
        assert len(Provable.of(drawn(groups, size)).as_json()["message"]) < 1_000


def test_a_split_without_a_class_proves_nothing():
    provable = Provable.of(pd.DataFrame({"split": ["test"], "label": [0], "group": ["a"]}))
    assert (provable.max_fpr, provable.min_tpr) == (1.0, 0.0)
