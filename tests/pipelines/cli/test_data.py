"""`tilegate data`: what a person sees of the batches, on real stores."""

import hashlib
import io
import itertools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from pipelines.cli import cli
from pipelines.cli.data import data as data_group
from pipelines.cli.output import FileProgress
from pipelines.data.catalogue import Catalogue
from pipelines.data.snapshots import current_dataset
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from tests.docs.fields import documented

TILEGATE = Path(sys.executable).parent / "tilegate"
REFERENCE = Path(__file__).parents[3] / "docs" / "reference.md"


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))  # what gc finds there is not of this machine
    return tmp_path / "home"


@pytest.fixture
def source(tmp_path):
    """A folder with two screenshots, a hostile name, and rows that cannot be used."""
    folder = tmp_path / "data"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (60, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "labels.csv").write_text("path,label\na.png,0\nb.png,1\ngone.png,1\nb.png,perhaps\n")
    return folder


def data(*words):
    """Run a command; an error is raised as it is, for the program to write in one sentence."""
    result = CliRunner().invoke(cli, ["data", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def batch_in(output):
    return re.search(r"^Batch +(\S+)", output, re.MULTILINE)[1]


@pytest.mark.parametrize("words", [[], *([name] for name in data_group.list_commands(None))])
def test_every_command_has_help_and_a_heading_in_the_reference(words):
    result = CliRunner().invoke(cli, ["data", *words, "--help"])
    assert (result.exit_code, result.output[:6]) == (0, "Usage:")
    assert "\n### " + " ".join(["tilegate data", *words]) in REFERENCE.read_text()


def test_adding_tells_what_came_in_and_why_the_rest_did_not(home, source):
    output = data("add", source, "--home", home)
    assert "2 of 4 usable, 1 negative, 1 positive" in output
    assert "row 4, 'gone.png': missing-file, there is no such readable file" in output
    assert "row 5, 'b.png': label, label 'perhaps' is none of 0, 1" in output
    assert "2, of which 0 were there already" in output
    assert "tilegate run" in output
    assert batch_in(output) in data("status", "--home", home)


def test_adding_the_same_again_says_so(home, source):
    first = batch_in(data("add", source, "--home", home))
    again = data("add", source, "--home", home)
    assert f"{first} holds exactly this already: nothing was added" in again
    assert "2, of which 2 were there already" in again


def test_only_the_first_refused_rows_are_shown(home, source):
    with (source / "labels.csv").open("a") as stream:
        stream.writelines(f"none{number}.png,1\n" for number in range(10))
    output = data("add", source, "--home", home)
    assert output.count("refused    row") == 5
    assert "refused    7 more" in output


def test_class_names_and_a_labels_file_can_be_given(home, source):
    (source / "more.csv").write_text("path,label\na.png,other\nb.png,game\n")
    output = data("add", source, "--labels", "more.csv", "--classes", "other,game", "--home", home)
    assert "2 of 2 usable, 1 other, 1 game" in output
    shown = data("show", batch_in(output), "--classes", "other,game", "--home", home)
    assert "more.csv" in shown
    assert re.search(r"row +3 +1 ", shown)


def test_a_label_attribute_can_be_given(home, source):
    row = {"source-ref": "a.png", "one": 0, "one-metadata": {}, "two": 1, "two-metadata": {}}
    (source / "m.manifest").write_text(json.dumps(row))
    assert "1 positive" in data("add", source / "m.manifest", "--label-attribute", "two", "--home", home)


def test_data_that_hold_nothing_usable_end_with_one_sentence_and_exit_code_1(home, source):
    (source / "labels.csv").write_text("path,label\na.png,perhaps\n")
    done = subprocess.run(
        [TILEGATE, "data", "add", source, "--home", home], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"error: {source / 'labels.csv'}: the labels are 'perhaps' (1 row). Only")


def test_status_of_an_empty_home_says_what_to_do(home):
    assert "No labelled data" in data("status", "--home", home)
    assert "tilegate data add PATH" in data("status", "--home", home)


def test_status_lists_batches_in_order_with_what_each_brought(home, source, tmp_path):
    first = batch_in(data("add", source, "--home", home))
    second = batch_in(data("add", source, "--kind", "reference", "--home", home))
    lines = data("status", "--home", home).splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [[first, "labels"], [second, "reference"]]
    assert lines[3].startswith("Batches   2, 2 screenshots, 0.0 MB")
    told = json.loads(data("status", "--home", home, "--json"))
    assert set(told) | set(told["batches"][0]) == documented("data status")
    counts = [[row[name] for name in ("rows", "refused", "screenshots", "new")] for row in told["batches"]]
    assert counts == [[4, 2, 2, 2], [2, 0, 2, 0]]
    assert (told["screenshots"], told["decided"]) == (2, "not yet: no run has had this snapshot")


def run_on(home, name, uri, *, exit_code=None, **state):
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    if exit_code is not None:
        result = folder / "steps" / state["failed_step"] / "result.json"
        result.parent.mkdir(parents=True)
        result.write_text(json.dumps({"status": "Failed", "exit_code": exit_code}))
    whole = {
        "execution_id": name,
        "pipeline_name": "tilegate",
        "status": "Failed",
        "seconds": 1.0,
        "started": 0.0,
        "parameters": {"DatasetUri": uri},
        "failed_step": None,
        "reason": None,
        "code_note": "",
    }
    (folder / "state.json").write_text(json.dumps(whole | state))


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"status": "Succeeded"}, "a model passed the gate in run r1"),
        ({"failed_step": "RejectModel"}, "the gate rejected the model of run r1"),
        ({"failed_step": "ConvertToTFLite", "exit_code": 3}, "the gate rejected the model of run r1"),
        ({"failed_step": "ConvertToTFLite", "exit_code": 1}, "not yet: run r1 on this snapshot is Failed in Convert"),
        ({"failed_step": "TrainModel"}, "not yet: run r1 on this snapshot is Failed in TrainModel"),
        ({"status": "Succeeded", "parameters": {"DatasetUri": "other"}}, "not yet: no run has had this snapshot"),
    ],
)
def test_status_tells_whether_a_run_has_decided_on_these_very_batches(home, source, state, says):
    data("add", source, "--home", home)
    uri = re.search(r"^Snapshot +(\S+)", data("status", "--home", home), re.MULTILINE)[1]
    run_on(home, "r1", uri, **state)
    assert f"Decided   {says}" in data("status", "--home", home)


def test_a_failure_after_a_decision_does_not_undo_it(home, source):
    data("add", source, "--home", home)
    uri = re.search(r"^Snapshot +(\S+)", data("status", "--home", home), re.MULTILINE)[1]
    run_on(home, "r1", uri, status="Succeeded")
    run_on(home, "r2", uri, status="Stopped")
    assert "in run r1" in data("status", "--home", home)


def test_the_snapshot_of_the_status_is_the_one_that_a_run_would_use(home, source):
    from pipelines.executor.store import LocalStore
    from pipelines.runs.local_start import data_here

    data("add", source, "--home", home)
    assert current_dataset(data_here(LocalStore(home / "store"), Settings())).uri in data("status", "--home", home)


def test_show_tells_a_batch_with_its_first_rows_and_refused_ones(home, source):
    name = batch_in(data("add", source, "--by", "Ada", "--note", "a first try", "--home", home))
    output = data("show", name, "--home", home)
    assert "by Ada, from data" in output
    assert "a first try" in output
    assert re.search(r"row +2 +0  [0-9a-f]{12}  a\.png", output)
    assert re.search(r"row +4   refused, missing-file", output)


def test_show_tells_all_of_a_screenshot(home, source, tmp_path):
    name = batch_in(data("add", source, "--home", home))
    checksum = sha256_file(source / "a.png")
    (tmp_path / "review.csv").write_text(f"sha256,label,waive,by\n{checksum},1,,Ada\n{checksum},,near-conflict,Ada\n")
    review = batch_in(data("add", tmp_path / "review.csv", "--kind", "review", "--home", home))
    output = data("show", checksum[:6].upper(), "--home", home)
    assert f"sha256  {checksum}" in output
    assert f"{name}/a.png" in output
    assert f"label   0 by row 2 of {name} (labels): a.png" in output
    assert f"label   1 by row 2 of {review} (review): {checksum}, by Ada" in output
    assert f"label   - by row 3 of {review} (review): {checksum}, waive near-conflict, by Ada" in output
    assert "size    40 x 60 pixels, PNG" in output
    assert "tile 0  left 0, top 0, 40 x 60" in output
    assert "tile 2  left 0, top 20, 40 x 40" in output


def test_show_writes_a_page_with_the_picture_and_its_tiles(home, source, tmp_path):
    data("add", source, "--home", home)
    checksum = sha256_file(source / "a.png")
    data("show", checksum, "--html", tmp_path / "page.html", "--home", home)
    page = (tmp_path / "page.html").read_text()
    assert 'src="data:image/jpeg;base64,' in page
    assert re.findall(r'<rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', page) == [
        ("0", "0", "40", "40"),
        ("0", "20", "40", "40"),
    ]
    assert "default-src 'none'; img-src data:;" in page
    assert "://" not in page


def test_a_page_escapes_what_the_data_say(home, source, tmp_path):
    hostile = "<script>alert(1)</script>.png"
    (source / "<script>alert(1)<").mkdir()
    (source / hostile).write_bytes((source / "a.png").read_bytes())
    (source / "labels.csv").write_text(f"path,label\n{hostile},0\n")
    data("add", source, "--home", home)
    data("show", sha256_file(source / "a.png"), "--html", tmp_path / "page.html", "--home", home)
    page = (tmp_path / "page.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_control_characters_of_the_data_do_not_reach_the_terminal(home, source):
    (source / "labels.csv").write_text("path,label\na.png,0\n\x1b[2Jgone.png,1\n")
    output = data("add", source, "--home", home)
    assert "\x1b" not in output
    assert "[2Jgone.png" in output
    assert "\x1b" not in data("show", batch_in(output), "--home", home)


def test_show_of_what_is_no_picture_says_so_and_makes_no_page(home, source, tmp_path):
    (source / "a.png").write_bytes(b"no picture")
    data("add", source, "--home", home)
    checksum = sha256_file(source / "a.png")
    assert "size    unreadable: " in data("show", checksum, "--home", home)
    with pytest.raises(UserError, match="is no picture that a page could show"):
        data("show", checksum, "--html", tmp_path / "page.html", "--home", home)
    assert not (tmp_path / "page.html").exists()


def test_what_cannot_be_shown_is_one_sentence(home, source, tmp_path):
    name = batch_in(data("add", source, "--home", home))
    for what in ("nothing", "ffff" * 16, "../../x", "0"):
        with pytest.raises(UserError, match="is neither a batch nor the beginning"):
            data("show", what, "--home", home)
    with pytest.raises(UserError, match="--html is for a screenshot"):
        data("show", name, "--html", tmp_path / "page.html", "--home", home)


def test_an_ambiguous_beginning_asks_for_more_digits(home, tmp_path):
    texts, prefix = same_beginning(4)
    (tmp_path / "data" / "positive").mkdir(parents=True)
    for text in texts:
        (tmp_path / "data" / "positive" / f"{text}.png").write_text(text)
    data("add", tmp_path / "data", "--home", home)
    with pytest.raises(UserError, match=f"2 screenshots begin with '{prefix}'"):
        data("show", prefix, "--home", home)


def same_beginning(digits):
    """Two texts whose sha256 begin alike, and how."""
    seen = {}
    for text in map(str, itertools.count()):
        beginning = hashlib.sha256(text.encode()).hexdigest()[:digits]
        if beginning in seen:
            return (seen[beginning], text), beginning
        seen[beginning] = text
    raise AssertionError


def orphan_in(home):
    folder = home / "store" / Settings().bucket / "labelled" / "killed"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(b"x" * 2_000_000)
    return folder


def test_gc_lists_and_removes_only_when_told_to(home, source):
    data("add", source, "--home", home)
    folder = orphan_in(home)
    listed = data("gc", "--all", "--home", home)
    assert "labelled/killed: a batch without a card, in no snapshot" in listed
    assert "1 to remove, 2.0 MB; `tilegate data gc --delete` does it" in listed
    assert folder.exists()
    assert "Removed 1, 2.0 MB." in data("gc", "--all", "--delete", "--home", home)
    assert not folder.exists()
    assert data("gc", "--all", "--delete", "--home", home) == "Nothing to remove.\n"
    assert "2 screenshots" in data("status", "--home", home)


def test_gc_leaves_what_is_younger_than_a_day(home):
    folder = orphan_in(home)
    said = data("gc", "--delete", "--home", home)
    assert said.startswith("Nothing to remove.\n1 more are younger than a day: somebody may be at work on them; --all")
    assert folder.exists()


def test_gc_removes_what_killed_programs_left_half_staged(home):
    left = home / "store" / ".staging" / "1000-dead"
    left.mkdir(parents=True)
    assert "store/.staging/1000-dead: left by a command that was killed" in data("gc", "--home", home)
    assert left.exists()
    data("gc", "--delete", "--home", home)
    assert not left.exists()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(stream, done, total):
    """What progress writes if every file takes a second."""
    now = iter(range(1000))
    progress = FileProgress(stream, clock=lambda: float(next(now)))
    for number in range(1, done + 1):
        progress("Copied", number, total)
    return stream.getvalue()


def test_progress_is_a_bar_on_a_terminal():
    written = told(Terminal(), 3, 3)
    assert written.count("\r") == 3
    assert written.endswith("█ Copied 3 of 3 files\n")


def test_progress_elsewhere_is_a_line_now_and_then():
    lines = told(io.StringIO(), 30, 1000).splitlines()
    assert 2 <= len(lines) <= 4
    assert re.fullmatch(r"Copied \d+ of 1,000 files", lines[0])


def test_what_takes_but_a_moment_has_no_progress():
    stream = io.StringIO()
    FileProgress(stream, clock=lambda: 0.0)("Copied", 1, 1)
    assert stream.getvalue() == ""


def test_a_batch_can_be_withdrawn_and_brought_back(home, source, tmp_path):
    first = batch_in(data("add", source, "--home", home))
    said = data("withdraw", first, "--by", "Ada", "--reason", "a test's", "--home", home)
    assert re.search(rf"Withdrawn +{first}\nSnapshot +no labelled data are left", said)
    assert f"Remains      its files in s3://tilegate-local/labelled/{first}/" in said
    assert "no registered version has learnt from them" in said
    (line,) = (line for line in data("status", "--home", home).splitlines() if line.startswith(first))
    assert "withdrawn by Ada on " in line
    assert re.search(r"withdrawn +by Ada on .*: a test's", data("show", first, "--home", home))
    again = data("withdraw", first, "--undo", "--by", "Ada", "--reason", "no, it was not", "--home", home)
    assert re.search(rf"Brought back +{first}\nSnapshot +s3://tilegate-local/datasets/\w+, 1 batches", again)
    with pytest.raises(UserError, match="there is no batch 'gone'"):
        data("withdraw", "gone", "--by", "Ada", "--reason", "x", "--home", home)


def test_screenshots_can_be_erased_by_digest_or_by_a_list(home, source, tmp_path):
    first = batch_in(data("add", source, "--home", home))
    one, two = (sha256_file(source / name) for name in ("a.png", "b.png"))
    who = ("--by", "Ada", "--reason", "asked for", "--home", home)
    said = data("erase", one.upper(), *who)
    assert re.search(rf"Erased +{one} \({first}\), by Ada on \d{{4}}-\d\d-\d\d: asked for\n", said)
    assert re.search(r"Removed +1 files, home/store/tilegate-local/labelled\n", said)
    assert "Remains      the digest with name and reason" in said
    assert re.search(r"Snapshot +s3://tilegate-local/datasets/", said)
    assert "nothing: no copy is left here" in data("erase", one, *who)
    assert "Left out     1 files of screenshots that somebody has erased" in data("add", source, "--home", home)
    (tmp_path / "list.txt").write_text(f"# two\n\n{two}\n")
    assert f"Erased       {two}" in data("erase", "--file", tmp_path / "list.txt", *who)
    (tmp_path / "list.txt").write_text(f"{two}\nb.png\n")
    with pytest.raises(UserError, match=r"list\.txt, line 2: 'b\.png' is no sha256"):
        data("erase", "--file", tmp_path / "list.txt", *who)
    assert not list(home.rglob("*.png"))


def test_nothing_is_erased_under_a_run(home, source, monkeypatch):
    data("add", source, "--home", home)
    monkeypatch.setattr("pipelines.runs.local_run.LocalExecutions.executing", lambda _: "20260101-000000-aaaa")
    with pytest.raises(UserError, match="20260101-000000-aaaa is executing"):
        data("erase", sha256_file(source / "a.png"), "--by", "Ada", "--reason", "x", "--home", home)
    assert len(list(home.rglob("*.png"))) == 2


def test_a_run_whose_data_were_withdrawn_since_says_so(home, source, leave_run):
    batch = batch_in(data("add", source, "--home", home))
    uri = re.search(r"^Snapshot +(\S+)", data("status", "--home", home), re.MULTILINE)[1]
    current_dataset(Catalogue(LocalStore(home / "store"), Settings()).data)
    leave_run(home, 1, {"DatasetUri": uri})
    leave_run(home, 2, {"DatasetUri": "s3://tilegate-local/datasets/other"})
    data("withdraw", batch, "--by", "Ada", "--reason", "x", "--home", home)
    listed = json.loads(CliRunner().invoke(cli, ["runs", "--home", str(home), "--json"]).output)
    assert [run["note"] for run in listed] == ["its data were withdrawn in part", ""]
