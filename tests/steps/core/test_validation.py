"""Validation: every row ends on one side or the other, and bad data never become a stack trace."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steps.core.classes import Classes
from steps.core.dataset import read_dataset, read_quarantine, write_dataset, write_quarantine
from steps.core.errors import UserError
from steps.core.files import sha256_file
from steps.core.snapshot import Batch, read_snapshot, snapshot_digest, write_snapshot
from steps.core.validation import inspect, validate

CLASSES = Classes("other", "game")
BATCH = Batch("b-1", "m.manifest", "0" * 64)


class Data:
    """A batch under construction: a folder of real PNGs and their manifest."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / BATCH.name
        self.folder.mkdir()
        self.lines: list[str] = []

    def draw(self, name: str, seed: int) -> None:
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(self.folder / name)

    def label(self, name: str, label: object, **more: str) -> None:
        self.lines.append(json.dumps({"source-ref": name, "k": label, "k-metadata": {}} | more))

    def validate(self):
        (self.folder / BATCH.labels).write_text("\n".join(self.lines))
        return validate([BATCH], self.root, CLASSES, inspect_all=lambda files: map(inspect, files))


@pytest.fixture
def data(tmp_path):
    """Forty good rows, both classes in every split."""
    made = Data(tmp_path)
    for number in range(40):
        made.draw(f"{number}.png", number)
        made.label(f"{number}.png", number % 2, app=f"app-{number // 2}")
    return made


def reasons(validation):
    return {row.source_ref: row.reason for row in validation.quarantined}


def test_good_rows_are_accepted_with_their_facts(data):
    validation = data.validate()
    assert len(validation.accepted) == 40
    first = next(s for s in validation.accepted if s.row == 1)
    assert (first.id, first.uri) == (sha256_file(data.folder / "0.png"), "b-1/0.png")
    assert (first.width, first.height, first.format) == (24, 40, "PNG")
    assert (first.group, first.slices) == ("app-0", {"app": "app-0"})


def test_a_group_never_crosses_splits(data):
    splits: dict[str, set[str]] = {}
    for screenshot in data.validate().accepted:
        splits.setdefault(screenshot.group, set()).add(screenshot.split)
    assert all(len(found) == 1 for found in splits.values())


@pytest.mark.parametrize(
    "ref",
    [
        "../outside.png",
        "/etc/passwd",
        "a/../../outside.png",
        "file:///etc/passwd",
        "https://other/a.png",
        "a\\b.png",
        "a\0b",
    ],
)
def test_a_path_that_leaves_the_batch_is_quarantined_unopened(data, ref):
    Image.new("RGB", (24, 40)).save(data.root / "outside.png")
    data.label(ref, 1)
    validation = data.validate()
    assert reasons(validation) == {ref: "path"}
    assert validation.quarantined[0].sha256 == ""


def test_a_link_that_leads_out_of_the_batch_is_quarantined(data):
    Image.new("RGB", (24, 40)).save(data.root / "outside.png")
    (data.folder / "link.png").symlink_to(data.root / "outside.png")
    data.label("link.png", 1)
    assert reasons(data.validate()) == {"link.png": "path"}


def test_each_kind_of_bad_row_has_its_reason_and_its_row(data):
    (data.folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    data.draw("maybe.png", 100)
    data.label("gone.png", 1)
    data.label("broken.png", 1)
    data.label("maybe.png", "maybe")
    data.label("1.png", 1, sha256="f" * 64)
    data.lines.append("{broken")
    validation = data.validate()
    found = [(row.row, row.reason) for row in sorted(validation.quarantined, key=lambda q: q.row)]
    assert found == [(41, "missing-file"), (42, "image"), (43, "label"), (44, "checksum"), (45, "manifest-line")]
    assert validation.summary(CLASSES)["rows"] == 45
    assert validation.summary(CLASSES)["quarantined_by_reason"] == dict.fromkeys(
        ["checksum", "image", "label", "manifest-line", "missing-file"], 1
    )


def test_equal_bytes_count_once_and_contradicting_labels_not_at_all(data):
    data.draw("same.png", 0)
    data.label("same.png", 0)
    data.draw("conflict.png", 1)
    data.label("conflict.png", 0)
    validation = data.validate()
    assert reasons(validation) == {"same.png": "duplicate", "1.png": "label-conflict", "conflict.png": "label-conflict"}
    assert len(validation.accepted) == 39


def test_an_empty_class_stops_with_one_sentence(tmp_path):
    made = Data(tmp_path)
    made.draw("a.png", 1)
    made.label("a.png", 0)
    with pytest.raises(UserError, match="class 'game' has no usable screenshot"):
        made.validate()


def test_nothing_usable_stops_and_says_why(tmp_path):
    made = Data(tmp_path)
    made.label("gone.png", 0)
    with pytest.raises(UserError, match=r"no usable screenshot.*no such readable file"):
        made.validate()


def test_a_split_without_a_class_stops_and_names_both(tmp_path):
    made = Data(tmp_path)
    for number in range(4):
        made.draw(f"{number}.png", number)
        made.label(f"{number}.png", number % 2, app="one-app")
    with pytest.raises(UserError, match=r"split has no screenshot of class 'other'.*more groups"):
        made.validate()


def test_the_tables_come_back_as_they_were_written(data, tmp_path):
    data.label("gone.png", 1)
    validation = data.validate()
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
    write_snapshot(tmp_path, [two, one], "s3://bucket/labelled/", ["x/b", "x/a"])
    assert read_snapshot(tmp_path) == sorted([one, two])
    assert json.loads((tmp_path / "objects.manifest").read_text()) == [
        {"prefix": "s3://bucket/labelled/"},
        "x/a",
        "x/b",
    ]


@pytest.mark.parametrize("text", ["", "{}\n", "not json\n", '{"name": "b"}\n'])
def test_a_broken_snapshot_is_one_sentence(tmp_path, text):
    (tmp_path / "manifest.jsonl").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.jsonl"):
        read_snapshot(tmp_path)


def test_an_s3_uri_is_found_by_the_end_of_its_key_and_never_outside(data):
    Image.new("RGB", (24, 40)).save(data.root / "outside.png")
    data.draw("extra.png", 500)
    for ref in ("s3://b/deep/prefix/extra.png", "s3://b/../outside.png", "s3://b/outside.png", "s3://b"):
        data.label(ref, 1)
    validation = data.validate()
    assert "b-1/extra.png" in {s.uri for s in validation.accepted}
    assert set(reasons(validation).values()) == {"missing-file"}
    assert len(validation.quarantined) == 3


def test_links_that_go_round_in_circles_are_quarantined(data):
    (data.folder / "round.png").symlink_to(data.folder / "round.png")
    data.label("round.png", 1)
    assert set(reasons(data.validate()).values()) <= {"path", "missing-file"}


def test_screenshots_without_a_group_are_counted(data):
    assert data.validate().summary(CLASSES)["ungrouped"] == 0
    data.draw("alone.png", 600)
    data.label("alone.png", 1)
    assert data.validate().summary(CLASSES)["ungrouped"] == 1


def test_the_datas_own_names_of_the_classes_are_told(tmp_path):
    made = Data(tmp_path)
    for number in range(40):
        made.draw(f"{number}.png", number)
        name = {"class-name": ("not-game", "game")[number % 2]}
        record = {"source-ref": f"{number}.png", "k": number % 2, "k-metadata": name, "app": str(number // 2)}
        made.lines.append(json.dumps(record))
    (made.folder / BATCH.labels).write_text("\n".join(made.lines))
    auto = Classes.parse("auto")
    validation = validate([BATCH], made.root, auto, inspect_all=lambda files: map(inspect, files))
    assert validation.summary(auto)["class_names"] == {"0": ["not-game"], "1": ["game"]}
