"""From an examination to `validation.json` and the page: figures are strict JSON, and nothing makes the page fail."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from steps.core.dataset.snapshot import Batch
from steps.core.dataset.splits import Split, split_of
from steps.validate.image_facts import read_facts, read_pictures
from steps.validate.page import FILE_NAME, write_page
from steps.validate.page.content import LIMITS, Page, compose
from steps.validate.rules import RULES, Examination, Severity
from steps.validate.subject import Circumstances, Subject
from steps.validate.summary import summary
from tests.steps.drawn import CLASSES, Drawn, compared, examined, picture, validated
from tests.steps.reading import Reader

QUARANTINE = {name for name, rule in RULES.items() if rule.severity is Severity.QUARANTINE}


@dataclass(frozen=True)
class Case:
    """A snapshot that has been examined, and what the page is composed of."""

    examined: Examination
    batches: list[Batch]
    rows: pd.DataFrame
    facts: Path
    ids: dict[str, str]

    def page(self, since=None, **changes) -> Page:
        return compose(
            replace(self.examined, **changes), self.batches, self.rows, since=since, subject={"snapshot": "s"}
        )


def case_of(root, *batches, **circumstances):
    return Case(
        examined(validated(*batches, scratch=root / "facts"), **circumstances),
        [drawn.batch for drawn in batches],
        pd.concat([drawn.rows()[0].assign(kind=drawn.batch.kind) for drawn in batches], ignore_index=True),
        root / "facts",
        {path: sha256 for drawn in batches for path, sha256, _ in drawn.listing().itertuples(index=False)},
    )


def shifted(pixels):
    """Return nearly the same picture."""
    return np.clip(pixels.astype(int) + 2, 0, 255).astype(np.uint8)


def app_in(split):
    return next(f"app-{number}" for number in range(1000) if split_of(f"app-{number}") == split)


def nothing_accepted(root):
    made = Drawn(root)
    made.draw("unlabelled.png", 0)
    made.label("gone.png", 1)
    return case_of(root, made)


def no_row_at_all(root):
    made = Drawn(root)
    made.draw("unlabelled.png", 0)
    return case_of(root, made)


def one_class(root):
    made = Drawn(root)
    for number in range(5):
        made.draw(f"{number}.png", number)
        made.label(f"{number}.png", 1)
    return case_of(root, made)


def ordinary(root):
    """Sixty screenshots of sixty apps, compared with themselves; the first three labels were others before."""
    made = Drawn(root)
    for number in range(60):
        made.draw(f"{number}.png", number)
        theme = "dark" if number % 2 and number < 50 else "light"
        made.label(f"{number}.png", number % 2, app=f"a{number}", theme=theme)
    accepted = validated(made, scratch=root / "facts").accepted
    changed = accepted["path"].isin(["0.png", "1.png", "2.png"])
    before = accepted.assign(label=accepted["label"].where(~changed, 1 - accepted["label"]))
    slim = accepted.assign(width=accepted["width"] // 2)
    comparisons = [
        compared("drift-champion", "theirs", slim, accepted),
        compared("drift-reference", "production", accepted, accepted),
    ]
    return case_of(root, made, comparisons=comparisons, previous=before.set_index("id")["label"])


def everything_refused(root):
    """A set in which every rule that quarantines has a row."""
    made, review, later = Drawn(root), Drawn(root, "b-2", "review"), Drawn(root, "b-3")
    for number in range(20):
        made.draw(f"{number}.png", number)
        for worker in ("ann", "bob", "mal"):
            made.label(f"{number}.png", (number + (worker == "mal")) % 2, worker=worker, app=f"a{number}")
    ids = {row.path: row.sha256 for row in made.listing().itertuples()}
    for number in range(15):
        review.decide(ids[f"{number}.png"], number % 2)
    review.decide("0" * 64, 1)
    made.draw("alone.png", 100)
    made.label("alone.png", 1, worker="mal")
    made.draw("copy.png", 100)
    made.label("copy.png", 1, worker="ann")
    made.draw("left.png", 101)
    made.save("right.png", shifted(picture(101)))
    for number, name in enumerate(("left.png", "right.png")):
        made.label(name, number, worker="ann", app="pair")
    made.draw("train.png", 102)
    made.save("test.png", shifted(picture(102)))
    for split in (Split.TRAIN, Split.TEST):
        made.label(f"{split}.png", 1, worker="ann", app=app_in(split))
    (made.folder / "broken.png").write_bytes(b"no image")
    made.label("broken.png", 1)
    made.draw("stated.png", 103)
    made.label("stated.png", 1, sha256="f" * 64)
    made.lines.append("{broken")
    made.label("0.png", "maybe")
    made.label("0.png", 0, theme="=1+1")
    made.label("0.png", 0, width="-3")
    made.label("../0.png", 0)
    made.label("gone.png", 0)
    made.label("lost.png", 0)
    review.draw("found.png", 104)
    review.label("found.png", 0, app="a", by="Ada", replaces=f"b-1:{len(made.lines)}")
    later.draw("more.png", 105)
    later.label("more.png", 0, app="a")
    return case_of(root, made, review, later)


CASES = (nothing_accepted, no_row_at_all, one_class, ordinary, everything_refused)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return {build.__name__: build(tmp_path_factory.mktemp(build.__name__)) for build in CASES}


def strict(value):
    return json.loads(json.dumps(value, allow_nan=False))


@pytest.mark.parametrize("name", [build.__name__ for build in CASES])
def test_the_figures_are_strict_json_and_add_up(cases, name):
    found = strict(summary(cases[name].examined, {"snapshot": "s"}))
    assert found["rows"] == found["accepted"] + found["quarantined"] + found["decisions"]
    assert sum(found["quarantined_by_reason"].values()) == found["quarantined"]
    assert sum(found["classes"].values()) == found["accepted"]
    assert sum(count for split in found["splits"].values() for count in split.values()) == found["accepted"]
    assert [finding["rule"] for finding in found["findings"]] == list(RULES)
    assert found["subject"] == {"snapshot": "s"}


@pytest.mark.parametrize("name", [build.__name__ for build in CASES])
def test_the_page_of_any_set_is_written(cases, name, tmp_path):
    case = cases[name]
    found = case.page(since=("version 1", []))
    assert [finding.rule.name for finding in found.findings] == list(RULES)
    write_page(tmp_path, found, read_pictures([case.facts], found.screenshots))
    assert ("Stopped" in (tmp_path / FILE_NAME).read_text()) == (found.verdict == "stopped") == (name != "ordinary")


def test_nothing_accepted_is_stopped_and_says_why(cases):
    page = cases["nothing_accepted"].page()
    assert page.verdict == "stopped"
    assert page.message.startswith("There is no usable screenshot at all.")
    assert page.per_class == (0, 0)
    assert [(row.row, row.reason, row.sha256) for row in page.quarantine] == [(1, "missing-file", "")]


def test_the_verdict_follows_from_what_fired(cases):
    case = cases["ordinary"]
    calm = [replace(finding, fired=False) for finding in case.examined.findings]
    note = [replace(finding, fired=finding.rule.name == "ungrouped") for finding in calm]
    assert case.page(findings=calm).verdict == "good"
    assert summary(replace(case.examined, findings=calm), {})["verdict"] == "good"
    assert case.page(findings=note).verdict == "good, with notes"
    assert case.page(findings=note).message.startswith("60 screenshots may be learned from, no row is kept out; 1 ")


def test_every_reason_of_quarantine_is_counted_and_shown(cases):
    case = cases["everything_refused"]
    page = case.page()
    counts = summary(case.examined, {})["quarantined_by_reason"]
    assert set(counts) == QUARANTINE
    refused = {finding.rule.name: finding.measured for finding in page.findings if finding.fired}
    assert {name: int(refused[name].split()[0]) for name in QUARANTINE} == counts
    assert sum(counts.values()) == len(page.quarantine) == len(case.examined.subject.validation.quarantined)


def test_batches_are_counted_each_for_itself(cases):
    case = cases["everything_refused"]
    batches = {count.batch.name: count for count in case.page(since=("version 1", ["b-1"])).batches}
    assert [batch.new for batch in batches.values()] == [False, True, True]
    assert (batches["b-2"].accepted, batches["b-2"].quarantined) == (1, 1)
    assert (batches["b-3"].accepted, batches["b-3"].quarantined) == (1, 0)
    rows = sum(batch.accepted + batch.quarantined for batch in batches.values())
    assert rows + case.examined.subject.validation.decisions == case.page().rows


def test_a_screenshot_that_no_batch_holds_is_shown_with_the_decision_about_it(cases):
    page = cases["everything_refused"].page()
    finding = next(f for f in page.findings if f.rule.name == "unknown-id")
    shown = page.screenshots[finding.ids[0]]
    assert (shown.id, shown.label, shown.batch, shown.row, shown.group) == ("0" * 64, "game", "b-2", 16, "")


def test_contradictions_are_shown_with_the_commands_that_decide_them(cases, tmp_path):
    case = cases["everything_refused"]
    page = case.page()
    conflict, near = (f for f in page.findings if f.rule.name in ("label-conflict", "near-conflict"))
    assert (len(conflict.ids), len(near.ids)) == (5, 2)
    assert set(near.ids) == {case.ids["left.png"], case.ids["right.png"]}
    assert {(page.screenshots[one].batch, page.screenshots[one].group) for one in near.ids} == {("b-1", "pair")}
    write_page(tmp_path, page, {})
    text = (tmp_path / FILE_NAME).read_text()
    for finding in (conflict, near):
        for name in ("other", "game"):
            assert f"<pre>tilegate data decide {finding.ids[0][:12]} {name} --by NAME --reason TEXT</pre>" in text


def test_pairs_are_shown_with_what_they_are_to_each_other_the_worst_first(cases):
    page = cases["everything_refused"].page()
    assert [pair["what"] for pair in page.pairs] == ["labels contradict", "across splits"]
    assert page.pairs_total == 2
    assert {page.screenshots[page.pairs[0][side]].label for side in ("a", "b")} == {"other", "game"}


def test_every_screenshot_that_the_page_names_is_known(cases):
    for case in cases.values():
        page = case.page()
        named = {one for finding in page.findings for one in finding.ids[: LIMITS["examples"]]}
        named |= {pair[side] for pair in page.pairs for side in ("a", "b")}
        named |= {row.sha256 for row in page.quarantine[: LIMITS["quarantine"]] if row.sha256}
        assert named == set(page.screenshots)
        assert named <= {*read_facts([case.facts]).index, "0" * 64}


def test_changed_labels_are_shown_as_they_were_and_as_they_are(cases):
    case = cases["ordinary"]
    page = case.page(since=("version 1", ["b-1"]))
    changes = page.changes
    now = {case.ids["0.png"]: "other", case.ids["1.png"]: "game", case.ids["2.png"]: "other"}
    assert {screenshot: after for screenshot, _, after in changes.relabelled} == now
    assert all({before, after} == {"other", "game"} for _, before, after in changes.relabelled)
    assert all(page.screenshots[screenshot].label == after for screenshot, _, after in changes.relabelled)
    assert (changes.since, changes.relabelled_total, list(changes.batches)) == ("version 1", 3, [])
    assert (changes.added, changes.groups, changes.quarantined) == ((0, 0), 0, {})


def test_what_new_batches_bring_is_counted(cases):
    case = cases["everything_refused"]
    given = Circumstances(previous=pd.Series([1], [case.ids["train.png"]]))
    page = case.page(since=("version 1", ["b-1"]), subject=Subject(case.examined.subject.validation, CLASSES, given))
    assert (page.changes.added, page.changes.groups, page.changes.quarantined) == ((2, 0), 1, {"unknown-id": 1})
    assert page.changes.batches == ["b-2", "b-3"]


def test_an_example_is_shown_as_it_was_settled_and_not_as_its_row_said(cases):
    page = cases["one_class"].page()
    finding = next(f for f in page.findings if f.rule.name == "not-phone")
    assert len(finding.ids) == 5
    assert all(page.screenshots[one].group == one for one in finding.ids)


def test_a_first_snapshot_has_no_changes(cases):
    assert cases["one_class"].page().changes is None


def test_a_value_that_gives_the_label_away_is_marked(cases):
    page = cases["ordinary"].page()
    tallies = {tally.value: (tally.negative, tally.positive, tally.pure) for tally in page.tables["theme"]}
    assert tallies == {"dark": (0, 25, True), "light": (30, 5, False)}
    assert [tally.value for tally in page.tables["theme"]] == ["light", "dark"]
    assert list(page.tables) == ["size", "orientation", "format", "theme"]
    assert [len(values) for values in page.brightness] == [30, 30]


def test_probes_and_comparisons_have_their_figures(cases, tmp_path):
    case = cases["ordinary"]
    page, figures = case.page(), summary(case.examined, {})
    assert set(figures["shortcuts"]) == {"shortcut-size", "shortcut-colour", "shortcut-file"}
    theirs, production = page.drift
    assert (len(theirs.base), len(theirs.new), theirs.against) == (60, 60, "theirs")
    drifted = {drift.feature for drift in theirs.drifts if drift.drifted}
    assert drifted == {name for name, drift in figures["drift"]["drift-champion"].items() if drift["drifted"]}
    assert "size" in drifted
    assert not any(drift.drifted for drift in production.drifts)
    write_page(tmp_path, page, {})
    text = Reader((tmp_path / FILE_NAME).read_text()).text
    assert "24 x 96 100 % 0 %" in text
    assert "48 x 96 0 % 100 %" in text


def test_the_limit_that_a_run_was_given_is_the_one_shown(cases):
    case = cases["ordinary"]
    rule = replace(RULES["label-changes"], limit=0.5)
    page = case.page(findings=[rule.check(rule, case.examined.subject)])
    assert [finding.rule.shown_limit for finding in page.findings] == ["50%"]
