"""The model card: the sections that model cards have, what was measured, and no Markdown of strangers."""

import numpy as np
import pytest
from markdown_it import MarkdownIt

from steps.convert.bundle import device_contract
from steps.convert.model_card import model_card
from steps.evaluate.report.model import Origin
from tests.steps.convert.kit import DEMANDS, GOLDEN, HEAD, SPEC, SUBJECT, evaluation
from tests.steps.reading import Reader

# https://arxiv.org/abs/1810.03993, figure 1.
SECTIONS = [
    *("Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data"),
    *("Quantitative analyses", "Ethical considerations", "Caveats and recommendations"),
]
VALIDATION = {
    "accepted": 4000,
    "groups": 4000,
    "classes": {"other": 3000, "promotion": 1000},
    "splits": {"train": {"other": 2000, "promotion": 500}},
    "subject": {"snapshot": "590c2c87"},
    "findings": [
        {"fired": True, "title": "Colour alone predicts the label", "text": "so it does"},
        {"fired": False, "title": "Many are blank", "text": "none is"},
    ],
}


@pytest.fixture(scope="module")
def passed():
    found = evaluation(**{"slice:theme": np.tile(["dark", "dark", "dark", "dark", "light"], 800)})
    assert found.verdict.passed, found.verdict.message
    return found


def card_of(passed, **changes):
    golden = changes.pop("golden", GOLDEN)
    contract = device_contract(passed, SPEC, HEAD, SUBJECT, demands=DEMANDS, golden=golden)
    known = {"validation": VALIDATION, "classes": ("other", "promotion"), "synthetic": False}
    return model_card(passed, contract, **known | {"origin": Origin("20261129-z1oj", "local", "2026-11-29")} | changes)


def test_the_card_has_the_sections_of_model_cards_in_their_order(passed):
    card = card_of(passed)
    assert [line[3:] for line in card.splitlines() if line.startswith("## ")] == SECTIONS
    assert all(card.partition(f"## {name}\n")[2].partition("## ")[0].strip() for name in SECTIONS)


def test_the_card_tells_whose_model_of_what_data_it_is_and_what_was_measured(passed):
    card, verdict = card_of(passed), passed.verdict
    assert "by run 20261129-z1oj on 2026-11-29" in card
    assert "0 is other, the negative one; 1 is promotion, the positive one" in card
    assert f"above {verdict.point.threshold:.6f}" in card
    assert "1,234,567 bytes" in card
    assert "4,000 labelled screenshots of 4,000 groups, 3,000 other, 1,000 promotion" in card
    assert "train: 2,000 other, 500 promotion" in card
    assert "590c2c87" in card
    assert "Colour alone predicts the label" in card
    assert "blank" not in card
    assert f"| false alarms | {100 * verdict.fpr.value:.3g} % ({verdict.fpr.count} of 1,500) | at most " in card
    assert "| found, theme = light |" in card
    assert "their informed consent" in card


def test_a_card_of_the_sample_says_so_and_one_without_golden_screenshots_names_none(passed):
    assert "Synthetic" not in card_of(passed)
    assert "**Synthetic sample.**" in card_of(passed, synthetic=True)
    assert "scores within 0.0001" in card_of(passed)
    assert "golden" not in card_of(passed, golden=None)


def test_what_is_not_known_is_left_out(passed):
    card = card_of(passed, validation={}, origin=Origin())
    assert "by tilegate" in card
    assert "Not stated" in card


@pytest.mark.parametrize("text", ["<img src=x>", "| a | b |", "[x](javascript:alert(1))", "a\n# b", "`x` **y** _z_"])
def test_no_text_of_strangers_becomes_markup(text):
    def tags_of(text):
        found = evaluation(**{"slice:" + text: np.tile([text, text, text, text, "light"], 800)})
        validation = VALIDATION | {"classes": {text: 1, "other": 2}, "splits": {text: {text: 1}}}
        card = card_of(found, validation=validation, classes=(text, text))
        page = Reader(MarkdownIt("commonmark").enable("table").render(card).replace("<hr />", ""))
        return [tag for tag, _ in page.tags], page.text

    tags, words = tags_of(text)
    assert tags == tags_of("plain")[0]
    assert " ".join(text.split()) in words
