"""Validation: every row ends on one side or the other, and bad data never become a stack trace."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from steps.core.common.errors import UserError
from steps.core.dataset.snapshot import (
    Batch,
    Place,
    parts_of,
    read_listing,
    read_place,
    read_snapshot,
    snapshot_digest,
    write_listing,
    write_snapshot,
)
from steps.core.dataset.splits import split_of
from steps.core.dataset.tables import read_dataset, read_quarantine, write_dataset, write_quarantine
from tests.steps.drawn import Drawn, picture, reasons, validated


@pytest.fixture
def data(tmp_path):
    """Forty good rows of twenty apps."""
    made = Drawn(tmp_path)
    for number in range(40):
        made.draw(f"{number}.png", number)
        made.label(f"{number}.png", number % 2, app=f"app-{number // 2}")
    return made


@pytest.fixture
def check(tmp_path):
    return lambda *batches: validated(*batches, scratch=tmp_path / "facts")


def shifted(pixels, levels=2):
    """Return nearly the same picture."""
    return np.clip(pixels.astype(int) + levels, 0, 255).astype(np.uint8)


def named(split, start=0):
    return next(f"g{number}" for number in range(start, start + 1000) if split_of(f"g{number}") == split)


def test_good_rows_are_accepted_with_their_facts(data, check):
    validation = check(data)
    assert len(validation.accepted) == 40
    assert not validation.quarantined
    first = validation.accepted.iloc[0]
    assert (first["uri"], first["row"], first["label"]) == ("b-1/0.png", 1, 0)
    assert (first["width"], first["height"], first["format"]) == (48, 96, "PNG")
    assert (first["group"], first["slice:app"], first["cluster"]) == ("app-0", "app-0", first["id"])


def test_a_group_never_crosses_splits(data, check):
    accepted = check(data).accepted
    assert accepted["split"].tolist() == [str(split_of(group)) for group in accepted["group"]]


def test_what_cannot_be_read_has_its_reason_and_its_row(data, check):
    (data.folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    data.draw("maybe.png", 100)
    data.label("gone.png", 1)
    data.label("broken.png", 1)
    data.label("maybe.png", "maybe")
    data.label("1.png", 1, sha256="f" * 64)
    data.lines.append("{broken")
    found = {row: reason for (_, row), reason in reasons(check(data)).items()}
    assert found == {41: "missing-file", 42: "image", 43: "label", 44: "checksum", 45: "manifest-line"}


def test_a_link_in_the_batch_is_no_file_of_it(data, check, tmp_path):
    Image.new("RGB", (24, 40)).save(tmp_path / "outside.png")
    (data.folder / "link.png").symlink_to(tmp_path / "outside.png")
    data.label("link.png", 1)
    data.label("../outside.png", 1)
    assert list(reasons(check(data)).values()) == ["missing-file", "path"]


def test_equal_bytes_count_once_and_contradicting_labels_not_at_all(data, check):
    data.draw("same.png", 0)
    data.label("same.png", 0)
    data.draw("conflict.png", 1)
    data.label("conflict.png", 0)
    validation = check(data)
    found = {row: reason for (_, row), reason in reasons(validation).items()}
    assert found == {41: "duplicate", 2: "label-conflict", 42: "label-conflict"}
    assert len(validation.accepted) == 39


def test_nearly_the_same_picture_with_both_labels_waits_for_a_reviewer(data, check):
    data.save("again.png", shifted(picture(0)))
    data.label("again.png", 1, app="app-0")
    validation = check(data)
    assert set(reasons(validation).items()) == {(("b-1", 1), "near-conflict"), (("b-1", 41), "near-conflict")}
    assert validation.pairs["what"].tolist() == ["labels contradict"]
    assert "row 1 of batch b-1" in validation.quarantined[-1].detail


def test_every_contradiction_in_a_crowd_is_found(data, check):
    """Equal pixels in different files pair with the first of them alone; what contradicts the others counts too."""
    for number, label in enumerate([1, 0, 0]):
        data.save(f"crowd{number}.png", picture(500), compress_level=number + 1)
        data.label(f"crowd{number}.png", label)
    assert [row for (_, row), reason in reasons(check(data)).items() if reason == "near-conflict"] == [41, 42, 43]


def test_a_reviewers_decision_settles_a_contradiction(data, check, tmp_path):
    data.draw("conflict.png", 1)
    data.label("conflict.png", 0)
    near = data.save("near.png", shifted(picture(4)))
    data.label("near.png", 1, app="app-2")
    ids = {row.path: row.sha256 for row in data.listing().itertuples()}
    review = Drawn(tmp_path, "b-2", "review")
    review.decide(ids["1.png"], 1)
    review.decide(near, 0)
    validation = check(data, review)
    labels = validation.accepted.set_index("id")["label"]
    assert (labels[ids["1.png"]], labels[near]) == (1, 0)
    assert reasons(validation) == {("b-1", 41): "superseded"}
    assert validation.decisions == 2
    assert len(validation.accepted) + len(validation.quarantined) + validation.decisions == 44


def test_the_last_decision_counts_and_a_waiver_lets_both_of_a_pair_in(data, check, tmp_path):
    near = data.save("near.png", shifted(picture(0)))
    data.label("near.png", 1, app="app-0")
    ids = {row.path: row.sha256 for row in data.listing().itertuples()}
    review = Drawn(tmp_path, "b-2", "review")
    for screenshot in (near, ids["0.png"]):
        review.decide(screenshot, "", waive="near-conflict")
    review.decide(ids["3.png"], 0)
    review.decide(ids["3.png"], 1)
    validation = check(data, review)
    assert len(validation.accepted) == 41
    assert validation.accepted.set_index("id").loc[ids["3.png"], "label"] == 1
    assert not validation.quarantined


def test_a_decision_about_an_unknown_screenshot_is_told(data, check, tmp_path):
    review = Drawn(tmp_path, "b-2", "review")
    review.decide("0" * 64, 1)
    assert reasons(check(data, review)) == {("b-2", 1): "unknown-id"}


def test_a_hard_negative_that_a_reviewer_brings_is_learned_from(data, check, tmp_path):
    review = Drawn(tmp_path, "b-2", "review")
    negative = review.draw("alarm.png", 900)
    review.lines.append(json.dumps({"source-ref": "alarm.png", "label": 0, "by": "Ada", "app": "app-0"}))
    validation = check(data, review)
    row = validation.accepted.set_index("id").loc[negative]
    assert (row["label"], row["group"], row["batch"]) == (0, "app-0", "b-2")


def test_a_mended_row_is_told_apart_from_a_lost_one(data, check, tmp_path):
    data.label("gone.png", 1, app="app-0")
    review = Drawn(tmp_path, "b-2", "review")
    review.draw("gone.png", 901)
    review.lines.append(
        json.dumps({"source-ref": "gone.png", "label": 1, "by": "Ada", "app": "app-0", "replaces": "b-1:41"})
    )
    validation = check(data, review)
    assert reasons(validation) == {("b-1", 41): "replaced"}
    assert "missing-file" in validation.quarantined[0].detail
    assert len(validation.accepted) == 41


def test_the_later_of_two_near_duplicates_in_different_splits_stays_out(data, check):
    for name, seed, group in (("a.png", 700, named("train")), ("b.png", 700, named("test"))):
        data.save(name, shifted(picture(seed), 2 * (name == "b.png")))
        data.label(name, 1, group=group)
    validation = check(data)
    assert reasons(validation) == {("b-1", 42): "split-leak"}
    assert validation.pairs["what"].tolist() == ["across splits"]


def test_a_screenshot_of_unknown_origin_joins_the_group_of_its_near_duplicate(data, check):
    again = data.save("again.png", shifted(picture(6)))
    data.label("again.png", 0)
    row = check(data).accepted.set_index("id").loc[again]
    assert row["group"] == "app-3"
    assert row["split"] == split_of("app-3")
    assert row["cluster"] != again or (check(data).accepted["cluster"] == again).sum() == 2


def refused_for_their_labeller(validation):
    """Return the rows that are out because of who labelled them: their picture, and the labeller."""
    rows = [row for row in validation.quarantined if row.reason == "labeller"]
    return [(row.source_ref, row.detail.partition(" screenshots ")[0]) for row in rows]


@pytest.mark.parametrize("column", ["labeller", "worker", "annotator", "by"])
def test_rows_of_a_labeller_who_contradicts_the_others_stay_out(data, check, column):
    for number in range(30):
        name = f"shared{number}.png"
        data.draw(name, 2000 + number)
        for who in ("ann", "bob", "mal"):
            data.label(name, (number + (who == "mal")) % 2, **{column: who}, app=f"s{number}")
    data.draw("alone.png", 3000)
    data.label("alone.png", 1, **{column: "mal"}, app="alone")
    data.draw("fine.png", 3001)
    data.label("fine.png", 1, **{column: "ann"}, app="fine")
    validation = check(data)
    assert refused_for_their_labeller(validation) == [("alone.png", "mal agrees with the others on 0 of 30")]
    assert "fine.png" in validation.accepted["source_ref"].tolist()


def test_a_later_batch_never_changes_what_earlier_screenshots_are(data, check, tmp_path):
    before = check(data).accepted.set_index("id")
    later = Drawn(tmp_path, "b-2")
    for number in range(10):
        later.draw(f"{number}.png", 5000 + number)
        later.label(f"{number}.png", number % 2, app=f"new-{number}")
    later.save("near.png", shifted(picture(8)))
    later.label("near.png", 0, group=named("test", 50))
    after = check(data, later).accepted.set_index("id").loc[before.index]
    pd.testing.assert_frame_equal(after[["label", "group", "split", "row"]], before[["label", "group", "split", "row"]])


def test_nothing_at_all_is_no_crash(check, tmp_path):
    made = Drawn(tmp_path)
    made.draw("unlabelled.png", 1)
    made.label("gone.png", 0)
    validation = check(made)
    assert validation.accepted.empty
    assert reasons(validation) == {("b-1", 1): "missing-file"}


def test_the_tables_come_back_as_they_were_written(data, check, tmp_path):
    data.label("gone.png", 1)
    validation = check(data)
    write_dataset(tmp_path / "out", validation.accepted)
    write_quarantine(tmp_path / "out", validation.quarantined)
    frame = read_dataset(tmp_path / "out")
    assert len(frame) == 40
    assert frame["id"].is_monotonic_increasing
    assert set(frame["slice:app"]) == {f"app-{number}" for number in range(20)}
    assert read_quarantine(tmp_path / "out")["reason"].tolist() == ["missing-file"]
    with pytest.raises(UserError, match="run the step that writes it"):
        read_dataset(tmp_path / "nowhere")
    (tmp_path / "out" / "dataset.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="not a readable Parquet"):
        read_dataset(tmp_path / "out")


def test_a_snapshot_is_named_by_its_content_whatever_the_order(tmp_path):
    one, two = Batch.of("l.csv", [("a", "1"), ("b", "2")]), Batch.of("l.csv", [("a", "1"), ("b", "3")])
    assert Batch.of("l.csv", [("b", "2"), ("a", "1")]) == one
    assert one.name != two.name
    assert snapshot_digest([one, two]) == snapshot_digest([two, one]) != snapshot_digest([one])
    write_snapshot(tmp_path, [two, one], Place("here", "there"))
    assert read_snapshot(tmp_path) == sorted([one, two])
    assert read_place(tmp_path) == Place("here", "there")


@pytest.mark.parametrize("text", ["", "{}\n", "not json\n", '{"name": "b"}\n'])
def test_a_broken_snapshot_is_one_sentence(tmp_path, text):
    (tmp_path / "manifest.jsonl").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.jsonl"):
        read_snapshot(tmp_path)


def listing(*files):
    return pd.DataFrame([(path, sha, 1) for path, sha in files], columns=["path", "sha256", "bytes"])


def test_an_image_belongs_to_the_part_of_the_first_batch_that_brings_it():
    listings = {
        "b-1": listing(("x.png", "s1"), ("copy.png", "s1"), ("y.png", "s2")),
        "b-2": listing(("negative/x.png", "s1"), ("z.png", "s3")),
        "b-3": listing(("again.png", "s3")),
    }
    batches = [Batch(name, "m.manifest", "0" * 64) for name in listings]
    parts = parts_of(batches, lambda batch: listings[batch.name])
    assert [(part.batch, part.files) for part in parts] == [
        ("b-1", (("copy.png", "s1"), ("y.png", "s2"))),
        ("b-2", (("z.png", "s3"),)),
    ]
    assert parts_of(batches[:1], lambda batch: listings[batch.name]) == parts[:1]


def test_a_part_is_named_by_its_images_alone():
    batch = Batch("b-1", "m.manifest", "0" * 64)
    names = [
        parts_of([batch], lambda _, files=files: listing(*files))[0].digest
        for files in ([("a", "s1"), ("b", "s2")], [("b", "s1"), ("moved/a", "s2")], [("a", "s1")])
    ]
    assert names[0] == names[1] != names[2]


def test_a_listing_comes_back_and_a_broken_one_is_one_sentence(tmp_path):
    write_listing(tmp_path / "l.parquet", listing(("b", "s2"), ("a", "s1")))
    assert read_listing(tmp_path / "l.parquet")["path"].tolist() == ["a", "b"]
    (tmp_path / "l.parquet").write_bytes(b"nothing")
    with pytest.raises(UserError, match="add the batch again"):
        read_listing(tmp_path / "l.parquet")


def test_a_picture_that_a_leak_alone_ties_to_others_is_not_free(data, check):
    """Equal pixels are paired with the first of them alone: what that one leaks to, its copies must not leak to."""
    anchor = data.draw("anchor.png", 800)
    data.label("anchor.png", 1)
    other = next(f"g{n}" for n in range(1000) if split_of(f"g{n}") != split_of(anchor))
    data.save("leak.png", shifted(picture(800)))
    data.label("leak.png", 1, group=other)
    data.save("copy.png", shifted(picture(800)), compress_level=1)
    data.label("copy.png", 1)
    accepted = check(data).accepted.set_index("path")
    assert "leak.png" not in accepted.index
    assert accepted.loc["copy.png", "group"] == accepted.loc["anchor.png", "group"]


def test_a_screenshot_that_becomes_contested_does_not_move_what_is_nearly_the_same(data, check, tmp_path):
    data.draw("anchor.png", 810)
    data.label("anchor.png", 1)
    near = data.save("near.png", shifted(picture(810)))
    data.label("near.png", 1)
    before = check(data).accepted.set_index("id").loc[near, ["group", "split"]].tolist()
    later = Drawn(tmp_path, "b-2")
    later.draw("anchor.png", 810)
    later.label("anchor.png", 0)
    validation = check(data, later)
    assert [q.reason for q in validation.quarantined] == ["label-conflict", "label-conflict"]
    assert validation.accepted.set_index("id").loc[near, ["group", "split"]].tolist() == before


def test_in_a_crowd_of_ungrouped_pictures_no_pair_crosses_splits(data, check):
    for number in range(40):
        data.save(f"crowd{number}.png", shifted(picture(820), number // 2), compress_level=1 + number % 9)
        data.label(f"crowd{number}.png", 1, note=f"n{number}")
    accepted = check(data).accepted
    crowd = accepted[accepted["path"].str.startswith("crowd")]
    thumbs = {row.id: row.phash for row in crowd.itertuples()}
    assert len(thumbs) == len(crowd)
    assert check(data).crossing == (0, 0)


def test_a_labeller_does_not_escape_by_another_column(data, check, tmp_path):
    data.draw("old.png", 2900)
    data.label("old.png", 1, labeller="ann", app="old")
    for number in range(30):
        name = f"shared{number}.png"
        data.draw(name, 2000 + number)
        for worker in ("ann", "bob", "mal"):
            data.label(name, (number + (worker == "mal")) % 2, worker=worker, app=f"s{number}")
    data.draw("alone.png", 3000)
    data.label("alone.png", 1, worker="mal", app="alone")
    assert refused_for_their_labeller(check(data)) == [("alone.png", "mal agrees with the others on 0 of 30")]


def test_only_a_reviewers_used_row_mends_another(data, check, tmp_path):
    data.label("gone.png", 1)
    other = Drawn(tmp_path, "b-2")
    other.draw("x.png", 950)
    other.label("x.png", 1, replaces="b-1:41")
    review = Drawn(tmp_path, "b-3", "review")
    (review.folder / "broken.png").write_bytes(b"nothing")
    review.lines.append(json.dumps({"source-ref": "broken.png", "label": 1, "by": "Ada", "replaces": "b-1:41"}))
    assert reasons(check(data, other, review))[("b-1", 41)] == "missing-file"
