"""Findings: every rule fires on the data it is there for, and on a spotless set none of them does."""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from steps.core.dataset.splits import Split, split_of
from steps.core.dataset.tables import Quarantined
from steps.validate.admission import count_crossings
from steps.validate.checks.stops import label_changes
from steps.validate.image_facts import read_facts
from steps.validate.rules import RULES, Severity
from steps.validate.subject import Circumstances, Subject
from tests.steps.drawn import CLASSES, Drawn, compared, examined, picture, validated

PHONE = (360, 640)
FIRING = {}


def fires(rule, measured, ids=0):
    """Register what makes a rule fire; `measured` and how many screenshots its finding shows are checked."""

    def register(build):
        FIRING[rule] = build, measured, ids
        return build

    return register


def groups_of(split, count):
    return [name for name in (f"app-{number}" for number in range(40 * count)) if split_of(name) == split][:count]


@pytest.fixture(scope="session")
def spotless(tmp_path_factory):
    """A screenshot of each of 240 apps: thirty of both classes in every split, and nothing odd about any."""
    root = tmp_path_factory.mktemp("spotless")
    made = Drawn(root)
    apps = [(app, number % 2) for split in Split for number, app in enumerate(groups_of(split, 60))]
    for number, (app, label) in enumerate(apps):
        made.draw(f"{number}.png", number, PHONE)
        made.label(f"{number}.png", label, app=app)
    return validated(made, scratch=root / "facts")


def fired(examination):
    return [finding.rule.name for finding in examination.findings if finding.fired]


def held_against(rule, subject):
    """Return the finding of one rule."""
    return RULES[rule].check(RULES[rule], subject)


def shifted(pixels):
    """Return nearly the same picture."""
    return np.clip(pixels.astype(int) + 2, 0, 255).astype(np.uint8)


def two(root, **more):
    """Two good rows of one app."""
    made = Drawn(root, **more)
    for number in range(2):
        made.draw(f"{number}.png", number)
        made.label(f"{number}.png", number, app="a")
    return made


def subject_of(*batches, **circumstances):
    """Validate batches, and return what the rules see of them."""
    return seen(validated(*batches, scratch=batches[0].folder.parent / "facts"), **circumstances)


def seen(validation, **circumstances):
    return Subject(validation, CLASSES, Circumstances(**circumstances))


def settled(*batches, **circumstances):
    return examined(validated(*batches, scratch=batches[0].folder.parent / "facts"), **circumstances)


def learned_by_heart(root, save):
    """Forty apps whose label, 0 or 1, decides how `save(made, number, label)` stores the picture it names."""
    made = Drawn(root)
    for number in range(40):
        made.label(save(made, number, number % 2), number % 2, app=f"app-{number}")
    return subject_of(made)


def telling(number):
    """Of sixty screenshots, every second one positive: whether it is one of 25 positives that a value gives away."""
    return number % 2 == 1 and number < 50


def draw(made, number, size=PHONE):
    made.draw(f"{number}.png", number, size)
    return f"{number}.png"


def shown(root, pixels):
    """One screenshot with these pixels among good ones."""
    made = two(root)
    made.save("odd.png", pixels)
    made.label("odd.png", 1, app="a")
    return subject_of(made)


@fires("manifest-line", "1 row")
def _line_that_is_no_json(root, _):
    made = two(root)
    made.lines.append("{broken")
    return subject_of(made)


@fires("label", "1 row")
def _label_of_no_class(root, _):
    made = two(root)
    made.label("0.png", "maybe")
    return subject_of(made)


@fires("formula", "1 row")
def _cell_that_a_spreadsheet_runs(root, _):
    made = two(root)
    made.label("0.png", 0, app="=1+1")
    return subject_of(made)


@fires("schema", "1 row")
def _width_of_no_pixels(root, _):
    made = two(root)
    made.label("0.png", 0, width="-3")
    return subject_of(made)


@fires("path", "1 row")
def _path_that_leaves(root, _):
    made = two(root)
    made.label("../0.png", 0)
    return subject_of(made)


@fires("missing-file", "2 rows")
def _rows_without_files(root, _):
    made = two(root)
    made.label("gone.png", 0)
    made.label("gone too.png", 0)
    return subject_of(made)


@fires("image", "1 row", ids=1)
def _file_that_is_no_image(root, _):
    made = two(root)
    (made.folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    made.label("broken.png", 0)
    return subject_of(made)


@fires("checksum", "1 row", ids=1)
def _other_bytes_than_the_row_says(root, _):
    made = two(root)
    made.draw("2.png", 2)
    made.label("2.png", 0, sha256="f" * 64)
    return subject_of(made)


@fires("duplicate", "2 rows", ids=1)
def _same_bytes_three_times(root, _):
    made = two(root)
    for name in ("copy.png", "again.png"):
        made.draw(name, 0)
        made.label(name, 0)
    return subject_of(made)


@fires("superseded", "1 row", ids=1)
def _label_that_a_reviewer_overruled(root, _):
    made = two(root)
    made.label("0.png", 1)
    review = Drawn(root, "b-2", "review")
    review.decide(made.listing()["sha256"][0], 0)
    return subject_of(made, review)


@fires("label-conflict", "2 rows", ids=1)
def _same_bytes_labelled_both_ways(root, _):
    made = two(root)
    made.label("0.png", 1)
    return subject_of(made)


@fires("near-conflict", "2 rows", ids=2)
def _same_picture_labelled_both_ways(root, _):
    made = two(root)
    made.save("near.png", shifted(picture(0)))
    made.label("near.png", 1, app="a")
    return subject_of(made)


@fires("split-leak", "1 row", ids=1)
def _same_picture_in_two_splits(root, _):
    made = Drawn(root)
    for name, pixels, split in (("a.png", picture(0), Split.TRAIN), ("b.png", shifted(picture(0)), Split.TEST)):
        made.save(name, pixels)
        made.label(name, 0, group=groups_of(split, 1)[0])
    return subject_of(made)


@fires("labeller", "1 row", ids=1)
def _labeller_against_all_others(root, _):
    made = Drawn(root)
    for number in range(20):
        made.draw(f"{number}.png", number)
        for worker in ("ann", "bob", "mal"):
            made.label(f"{number}.png", (number + (worker == "mal")) % 2, worker=worker)
    made.draw("alone.png", 100)
    made.label("alone.png", 1, worker="mal")
    return subject_of(made)


@fires("unknown-id", "1 row", ids=1)
def _decision_about_nothing(root, _):
    review = Drawn(root, "b-2", "review")
    review.decide("0" * 64, 1)
    return subject_of(two(root), review)


@fires("replaced", "1 row")
def _lost_row_that_came_back(root, _):
    made = two(root)
    made.label("gone.png", 1)
    later = Drawn(root, "b-2", "review")
    later.draw("found.png", 2)
    later.label("found.png", 1, replaces="b-1:3", by="Ada")
    return subject_of(made, later)


@fires("both-classes", "1 empty")
def _one_class_alone(root, _):
    made = Drawn(root)
    made.draw("0.png", 0)
    made.label("0.png", 1)
    return subject_of(made)


@fires("empty-batch", "1 batch")
def _batch_of_nothing(root, _):
    other = Drawn(root, "b-2")
    other.label("gone.png", 1)
    other.label("maybe.png", "")
    return subject_of(two(root), other, rows_of={"b-1": 2, "b-2": 2})


@fires("split-classes", "6 missing")
def _one_group_alone(root, _):
    return subject_of(two(root))


@fires("no-leakage", "1 group, 0 pairs")
def _group_in_two_splits(root, spotless):
    return seen(replace(spotless, crossing=(1, 0)))


@fires("label-changes", "10.0%", ids=24)
def _labels_turned_round(root, spotless):
    previous = spotless.accepted.set_index("id")["label"]
    return seen(spotless, previous=previous.where(np.arange(240) >= 24, 1 - previous))


@fires("quarantined-share", "55%")
def _most_of_a_batch_refused(root, spotless):
    return seen(spotless, new_rows=20, new_refused=11)


def _compared(rule, spotless):
    larger = spotless.accepted.assign(width=1440, height=3040)
    return seen(spotless, comparisons=[compared(rule, "the others", spotless.accepted, larger)])


@fires("drift-champion", "3 features")
def _other_phones_than_the_champions(root, spotless):
    return _compared("drift-champion", spotless)


@fires("drift-reference", "3 features")
def _other_phones_than_in_production(root, spotless):
    return _compared("drift-reference", spotless)


@fires("pure-value", "1 value", ids=1)
def _theme_that_gives_the_label_away(root, _):
    made = Drawn(root)
    for number in range(60):
        theme = "dark" if telling(number) else "light"
        made.label(draw(made, number, (48, 96)), number % 2, app=f"a{number}", theme=theme)
    return subject_of(made)


@fires("shortcut-size", "AUC 1.00")
def _size_that_is_the_label(root, _):
    return learned_by_heart(root, lambda made, number, label: draw(made, number, (360, 640 + 40 * label)))


@fires("shortcut-colour", "AUC 1.00")
def _brightness_that_is_the_label(root, _):
    def save(made, number, label):
        made.save(f"{number}.png", picture(number) // 4 + 160 * label)
        return f"{number}.png"

    return learned_by_heart(root, save)


@fires("shortcut-file", "AUC 1.00")
def _format_that_is_the_label(root, _):
    def save(made, number, label):
        name = f"{number}.{'jpg' if label else 'png'}"
        made.save(name, picture(number))
        return name

    return learned_by_heart(root, save)


@fires("not-phone", "1 screenshot", ids=1)
def _picture_too_small_for_a_phone(root, _):
    made = Drawn(root)
    for number, size in enumerate([(320, 466), PHONE]):
        made.draw(f"{number}.png", number, size)
        made.label(f"{number}.png", number)
    return subject_of(made)


@fires("class-balance", "9%")
def _one_of_eleven(root, _):
    made = Drawn(root)
    for number in range(11):
        made.label(draw(made, number, (48, 96)), int(number == 0))
    return subject_of(made)


@fires("split-groups", "0 groups")
def _few_groups(root, _):
    return subject_of(two(root))


@fires("dominant-group", "66.7%")
def _app_with_two_thirds(root, _):
    made = two(root)
    made.label(draw(made, 2), 1, app="b")
    return subject_of(made)


@fires("ungrouped", "1 screenshot")
def _screenshot_of_no_app(root, _):
    made = two(root)
    made.label(draw(made, 2), 1)
    return subject_of(made)


@fires("near-duplicates", "2 screenshots", ids=2)
def _same_picture_with_one_label(root, _):
    return shown(root, shifted(picture(1)))


@fires("dark", "1 screenshot", ids=1)
def _picture_in_the_dark(root, _):
    return shown(root, picture(2) // 8)


@fires("blurry", "1 screenshot", ids=1)
def _picture_out_of_focus(root, _):
    return shown(root, cv2.GaussianBlur(picture(2, (720, 1280)), (0, 0), 12))


@fires("low-information", "1 screenshot", ids=1)
def _picture_of_nothing(root, _):
    return shown(root, np.full((96, 48, 3), 128, np.uint8))


@fires("unused-files", "3 files")
def _files_without_rows(root, spotless):
    return seen(spotless, unused_files=3)


def test_every_rule_has_data_that_make_it_fire():
    assert FIRING.keys() == RULES.keys()


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_fires_on_what_it_is_there_for(tmp_path, spotless, rule):
    build, measured, ids = FIRING[rule]
    found = held_against(rule, build(tmp_path, spotless))
    assert (found.fired, found.measured, len(found.ids)) == (True, measured, ids)
    assert found.text.endswith(".")
    assert len(set(found.ids)) == ids


def test_no_rule_fires_on_a_spotless_set(spotless):
    same = [
        compared(rule, "the others", spotless.accepted, spotless.accepted)
        for rule in ("drift-champion", "drift-reference")
    ]
    labels = spotless.accepted.set_index("id")["label"]
    examination = examined(spotless, comparisons=same, previous=labels, new_rows=240)
    assert fired(examination) == []
    assert examination.stops == []
    assert [finding.rule.name for finding in examination.findings] == list(RULES)
    assert all(finding.text.endswith(".") for finding in examination.findings)


@pytest.mark.parametrize("reason", ["no-such-rule", "class-balance"])
def test_a_row_refused_for_what_is_no_rule_is_an_error_and_not_passed_over(spotless, reason):
    refused = [Quarantined("b-1", "m.manifest", 41, "x.png", "", reason, "something new")]
    with pytest.raises(ValueError, match=f"refused for '{reason}': declare the rule"):
        examined(replace(spotless, quarantined=refused))


def test_only_rules_that_stop_a_run_stop_it(tmp_path):
    examination = settled(two(tmp_path))
    assert [finding.rule.name for finding in examination.stops] == ["split-classes"]
    assert len(fired(examination)) > 1
    assert all(finding.rule.severity is Severity.STOP for finding in examination.stops)


def test_a_refusal_tells_how_many_rows_and_the_first_of_them(tmp_path):
    made = two(tmp_path)
    made.label("gone.png", 0)
    made.label("0.png", 0)
    made.label("gone too.png", 0)
    text = held_against("missing-file", subject_of(made)).text
    assert text.startswith("2 rows kept out. First: row 3 of b-1: there is no such readable file in the batch (links")


def test_a_set_of_nothing_is_examined_and_stops(tmp_path):
    made = Drawn(tmp_path)
    made.draw("unlabelled.png", 0)
    made.label("gone.png", 0)
    examination = settled(made, previous=pd.Series([0, 1], ["x", "y"]))
    assert [finding.rule.name for finding in examination.stops] == ["both-classes", "split-classes"]
    assert "There is no usable screenshot at all. 1 row quarantined" in examination.stops[0].text


def test_a_set_of_one_class_is_examined_and_names_the_other(tmp_path):
    made = Drawn(tmp_path)
    for number in range(6):
        made.label(draw(made, number), 1)
    examination = settled(made)
    assert "The class 'other' has no usable screenshot" in examination.stops[0].text
    assert held_against("shortcut-size", examination.subject).measured == "-"


def test_a_batch_of_a_few_rows_may_be_refused_as_a_whole(spotless):
    for rows, refused in ((19, 19), (20, 10)):
        assert not held_against("quarantined-share", seen(spotless, new_rows=rows, new_refused=refused)).fired


def test_a_few_corrected_labels_are_no_poisoning(spotless):
    previous = spotless.accepted.set_index("id")["label"]
    corrected = previous.where(np.arange(240) >= 19, 1 - previous)
    found = held_against("label-changes", seen(spotless, previous=corrected))
    assert (found.fired, found.measured, len(found.ids)) == (False, "7.9%", 19)


def test_the_limit_of_label_changes_is_the_runs_own(spotless):
    previous = spotless.accepted.set_index("id")["label"]
    turned = previous.where(np.arange(240) >= 24, 1 - previous)
    findings = examined(spotless, previous=turned, limits={"label-changes": 0.125}).findings
    wide = next(finding for finding in findings if finding.rule.name == "label-changes")
    assert (wide.fired, wide.rule.shown_limit) == (False, "12.5%")
    subject = seen(spotless, previous=turned)
    exact, tight = (label_changes.check(replace(label_changes, limit=limit), subject) for limit in (0.1, 0.09))
    assert (exact.fired, tight.fired) == (False, True)
    assert "--max-label-changes" in tight.text


def test_what_lies_in_two_splits_is_found_among_the_accepted_alone(tmp_path):
    made = two(tmp_path)
    near = made.save("near.png", shifted(picture(0)))
    made.label("near.png", 0, app="a")
    accepted = validated(made, scratch=tmp_path / "facts").accepted
    facts = read_facts([tmp_path / "facts"])
    assert count_crossings(accepted, facts) == (0, 0)
    moved = accepted.copy()
    moved.loc[moved["id"] == near, "split"] = "test" if (moved["split"] != "test").all() else "train"
    assert count_crossings(moved, facts) == (1, 1)


def test_a_comparison_is_told_with_its_worst_feature(tmp_path, spotless):
    found = held_against("drift-champion", _compared("drift-champion", spotless))
    assert found.text.startswith("240 screenshots against the 240 of the others. 3 features differ beyond doubt, most ")
    other = held_against("drift-reference", _compared("drift-champion", spotless))
    assert (other.fired, other.measured) == (False, "-")


def test_the_darkest_pictures_come_first(tmp_path):
    made = Drawn(tmp_path)
    dark = {}
    for number, divisor in enumerate((6, 20, 10)):
        dark[divisor] = made.save(f"{number}.png", picture(number) // divisor)
        made.label(f"{number}.png", number % 2)
    found = held_against("dark", subject_of(made))
    assert found.ids == (dark[20], dark[10], dark[6])
    assert found.captions[dark[20]].startswith("brightest parts 0.0")


def test_slices_with_a_value_for_each_screenshot_are_no_slices(tmp_path):
    made = Drawn(tmp_path)
    for number in range(60):
        made.label(draw(made, number, (48, 96)), number % 2, theme=str(number % 3), serial=f"n{number}", os="one")
    assert set(subject_of(made).columns) == {"size", "orientation", "format", "theme"}


def test_a_slice_called_size_does_not_hide_the_size(tmp_path):
    made = Drawn(tmp_path)
    for number in range(60):
        name = draw(made, number, (48, 116 if telling(number) else 96))
        made.label(name, number % 2, app=f"a{number}", size=str(number % 4))
    subject = subject_of(made)
    assert set(subject.columns["size"]) == {"48 x 96", "48 x 116"}
    assert "size 48 x 116: 25 screenshots" in held_against("pure-value", subject).text


def test_a_slice_called_group_does_not_hide_the_groups(tmp_path):
    made = Drawn(tmp_path)
    for number in range(60):
        own = {"group": f"g{number}"} if number < 20 else {"app": f"a{number}"}
        theme = "dark" if telling(number) else "light"
        made.label(draw(made, number, (48, 96)), number % 2, theme=theme, **own)
    pure = subject_of(made).pure
    assert pure[["column", "value", "n", "groups"]].to_numpy().tolist() == [["theme", "dark", 25, 25]]
