"""The sample as a batch on disk: the same bytes everywhere, whole or not there, readable as labelled data."""

import json
import subprocess
import sys
from collections import defaultdict

import pytest
from PIL import Image

from pipelines.data.garbage import leftovers
from pipelines.executor.store import LocalStore
from pipelines.runs import sample_data
from pipelines.runs.sample_data import SAMPLE_VERSION, write_sample
from steps.core.common.errors import UserError
from steps.core.dataset.classes import Classes
from steps.core.dataset.label_places import find_labels
from steps.core.dataset.labels import LabelledRow, read_labels

pytestmark = pytest.mark.integration

SMALL = 60


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return write_sample(tmp_path_factory.mktemp("sample") / "small", screenshots=SMALL, workers=1)


def test_two_workers_write_the_same_bytes_as_one(sample, tmp_path):
    assert contents(write_sample(tmp_path / "two", screenshots=SMALL, workers=2)) == contents(sample)


def test_another_seed_draws_other_screens(sample, tmp_path):
    other = contents(write_sample(tmp_path / "other", screenshots=SMALL, seed=18, workers=1))
    here = contents(sample)
    assert not any(other[name] == data for name, data in here.items() if name in other)


def test_the_manifest_is_labelled_data_and_every_image_opens(sample):
    classes = Classes("other", "promotion")
    rows = list(read_labels(sample, find_labels(sample, classes), classes))
    assert len(rows) == SMALL
    assert len({row.source_ref for row in rows}) == SMALL
    for row in rows:
        assert isinstance(row, LabelledRow)
        assert set(row.slices) == {"app", "group", "device", "theme", "source", "class-name"}
        with Image.open(sample / row.source_ref) as image:
            image.load()
            assert image.mode == "RGB"


def test_a_line_is_what_ground_truth_writes(sample):
    line = json.loads((sample / "output.manifest").read_text().splitlines()[0])
    assert line["promotion-metadata"]["class-name"] == ("promotion" if line["promotion"] else "other")
    assert line["promotion-metadata"]["type"] == "groundtruth/image-classification"
    assert line["group"] == line["app"]


def test_the_default_sample_has_both_classes_in_each_of_240_apps():
    per_app = defaultdict(set)
    for key in sample_data.sample_keys(17, 1200):
        per_app[key[1]].add(sample_data.plan_scene(17, sample_data.make_app(17, key[1]), key[2]).promotion)
    assert len(per_app) == 240
    assert all(labels == {0, 1} for labels in per_app.values())


@pytest.mark.parametrize("screenshots", [5, 7, 61, 1200, 1201])
def test_a_sample_has_exactly_the_screenshots_asked_for(screenshots):
    keys = sample_data.sample_keys(17, screenshots)
    assert len(set(keys)) == len(keys) == screenshots


def test_a_whole_sample_is_left_as_it_is(sample):
    before = (sample / "output.manifest").stat().st_mtime_ns
    assert write_sample(sample, screenshots=SMALL) == sample.absolute()
    assert (sample / "output.manifest").stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["output.manifest", "image"])
def test_a_damaged_sample_is_written_again(tmp_path, damage):
    folder = write_sample(tmp_path / "s", screenshots=5)
    good = contents(folder)
    (next((folder / "images").glob("*.png")) if damage == "image" else folder / damage).unlink()
    write_sample(folder, screenshots=5)
    assert contents(folder) == good
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_sample_of_another_seed_is_replaced(tmp_path):
    write_sample(tmp_path / "s", screenshots=5, seed=1)
    write_sample(tmp_path / "s", screenshots=5, seed=2)
    about = json.loads((tmp_path / "s" / "sample.json").read_text())
    assert (about["seed"], about["tilegate-sample"]) == (2, SAMPLE_VERSION)


def test_a_folder_with_other_files_is_never_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="something else"):
        write_sample(tmp_path, screenshots=5)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_file_added_to_a_sample_keeps_it_from_being_replaced(tmp_path):
    folder = write_sample(tmp_path / "s", screenshots=5, seed=1)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="something else"):
        write_sample(folder, screenshots=5, seed=2)
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_sample_json_of_somebody_else_is_never_touched(tmp_path):
    (tmp_path / "sample.json").write_text("{}")
    with pytest.raises(UserError, match="something else"):
        write_sample(tmp_path, screenshots=5)


def test_too_few_screenshots_are_refused(tmp_path):
    with pytest.raises(UserError, match="at least 5"):
        write_sample(tmp_path / "s", screenshots=4)


def test_progress_counts_up_to_the_total(tmp_path, capsys):
    write_sample(tmp_path / "s", screenshots=45)
    assert capsys.readouterr().out.splitlines()[-1] == "Drew 45/45 screens of the sample"


def test_an_interrupted_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sample_data.Progress, "advance", interrupt)
    for workers in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            write_sample(tmp_path / "s", screenshots=45, workers=workers)
        assert list(tmp_path.iterdir()) == []


def test_a_killed_write_leaves_no_worker_and_what_it_left_is_known_as_garbage(tmp_path):
    program = (
        "import pathlib, sys; from pipelines.runs.sample_data import write_sample\n"
        "write_sample(pathlib.Path(sys.argv[1]), screenshots=100000, workers=2)"
    )
    folder = tmp_path / "s"
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        parent.stdout.readline()
        parent.kill()
        # The workers share the parent's output: its end is theirs.
        parent.communicate(timeout=5)
    assert not folder.exists()
    (left,) = tmp_path.iterdir()
    assert left in [orphan.path for orphan in leftovers(LocalStore(tmp_path / "store"))]
