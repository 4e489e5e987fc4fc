"""Validating, looking into the quarantine, deciding, readmitting: data with one row of every kind, on real stores."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from pipelines.cli import cli
from pipelines.data.validated_runs import find_validated
from pipelines.definition.compiler import compile_cached
from pipelines.definition.settings import Settings
from pipelines.executor.executor import Executor
from pipelines.executor.runs import load_runs
from pipelines.runs.local_run import LocalImages
from pipelines.runs.local_start import LocalStart, RunRequest
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.dataset.tables import read_dataset, read_quarantine

# What is wrong with each row, and where it stands in the labels file; the 48 before them are as they should be.
BAD = {
    "label-conflict": "again.png,1,app-0,",
    "near-conflict": "near.jpg,1,app-1,",
    "image": "broken.png,1,app-90,",
    "missing-file": "gone.png,1,app-91,",
    "path": "../secret.png,1,app-92,",
    "label": "100.png,perhaps,app-93,",
    "schema": "101.png,1,app-94,yesterday",
    "formula": "103.png,1,=cmd(),",
    "manifest-line": "3.png,1",
    "duplicate": "5.png,1,app-2,",
}
ROW = {reason: number for number, reason in enumerate(BAD, start=50)}


def draw(path, seed):
    """Draw blocks of noise: no two seeds look alike."""
    blocks = np.random.default_rng(seed).integers(0, 256, (12, 6, 3), dtype=np.uint8)
    Image.fromarray(np.kron(blocks, np.ones((20, 20, 1), np.uint8))).save(path)


def data(*words, code=0):
    """Run a command; an error is raised as it is, for the program to write in one sentence."""
    result = CliRunner().invoke(cli, ["data", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def batch_in(output):
    return re.search(r"^Batch +(\S+)", output, re.MULTILINE)[1]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Both classes in every split, and one row for each thing that can be wrong."""
    folder = tmp_path_factory.mktemp("source") / "data"
    folder.mkdir()
    for seed in [*range(48), 100, 101, 103]:
        draw(folder / f"{seed}.png", seed)
    shutil.copy(folder / "0.png", folder / "again.png")
    with Image.open(folder / "2.png") as image:
        image.save(folder / "near.jpg", quality=92)
    (folder / "broken.png").write_bytes(b"no picture")
    good = [f"{seed}.png,{seed % 2},app-{seed // 2}," for seed in range(48)]
    (folder / "labels.csv").write_text("\n".join(["path,label,app,captured-at", *good, *BAD.values()]) + "\n")
    return folder


@pytest.fixture(scope="module")
def validated(tmp_path_factory, source):
    """A home whose catalogue holds the data, validated once; what the command said; and the name of the batch."""
    home = tmp_path_factory.mktemp("validated") / "home"
    batch = batch_in(data("add", source, "--home", home))
    return home, data("validate", "--home", home), batch


@pytest.fixture
def home(validated, tmp_path):
    """The validated home, to be changed."""
    return Path(shutil.copytree(validated[0], tmp_path / "home"))


@pytest.fixture
def fresh(validated, tmp_path):
    """A home in which nothing has happened yet, but that the definition is compiled: that takes seconds."""
    shutil.copytree(validated[0] / "compiled", tmp_path / "fresh" / "compiled")
    return tmp_path / "fresh"


@pytest.fixture
def batch(validated):
    return validated[2]


def latest(home):
    """The tables of the last run that validated."""
    folder = find_validated(home).tables
    return read_dataset(folder).set_index("id"), read_quarantine(folder)


# validate


@pytest.mark.integration
def test_validating_tells_the_verdict_what_fired_and_where_the_page_is(validated):
    output = validated[1]
    assert re.search(r"^Verdict +good, with notes$", output, re.MULTILINE)
    assert re.search(r"^Screenshots +46 of .*12 quarantined", output, re.MULTILINE)
    assert re.search(r"^Quarantine +schema: 1 row$", output, re.MULTILINE)
    page = re.search(r"^Data page +(\S+)$", output, re.MULTILINE)[1]
    assert "<!doctype html>" in Path(page).read_text()


def test_validating_runs_nothing_else(validated):
    run = load_runs(validated[0])[-1]
    assert [folder.name for folder in (run.run_dir / "steps").iterdir()] == ["ValidateData"]
    assert set(run.parameters) == {
        "PlanUri",
        "Classes",
        "LabelAttribute",
        "MaxLabelChanges",
        "ProcessingInstanceType",
        "PretrainedWeightsUri",
        "Backbone",
    }


def test_a_run_on_the_same_data_takes_the_validation_over(home):
    settings, told = Settings(), []
    definition = json.loads(compile_cached(settings, home / "compiled"))
    start = LocalStart(home, settings)
    parameters = start.with_plan(*start.asked(RunRequest(home)))

    def listen(event):
        told.append((type(event).__name__, getattr(event, "step", "")))
        if told[-1] in {("StepReused", "ValidateData"), ("StepStarted", "ValidateData")}:
            executor.stop()

    executor = Executor(
        definition,
        home=home,
        name=settings.name,
        images=LocalImages(settings),
        parameters=parameters,
        listeners=[listen],
    )
    executor.run()
    assert ("StepReused", "ValidateData") in told


def test_a_validation_alone_is_no_decision_on_a_model(validated):
    assert "Decided   not yet" in data("status", "--home", validated[0])


@pytest.mark.integration
def test_data_that_stop_a_run_end_the_validation_with_exit_code_1_and_the_reason(fresh, tmp_path):
    (tmp_path / "data" / "negative").mkdir(parents=True)
    draw(tmp_path / "data" / "negative" / "a.png", 1)
    output = data("validate", "--data", tmp_path / "data", "--home", fresh, code=1)
    assert re.search(r"^Verdict +stopped$", output, re.MULTILINE)
    assert re.search(r"^Stop +both-classes: .*positive", output, re.MULTILINE)
    told = data("quarantine", "--home", fresh)
    assert re.search(r"^ +stopped: .*positive", told, re.MULTILINE)
    assert re.search(r"^Refused +0 rows$", told, re.MULTILINE)


def test_data_and_sample_at_once_are_a_usage_error(tmp_path):
    words = ["data", "validate", "--data", str(tmp_path), "--sample", "--home", str(tmp_path / "home")]
    assert CliRunner().invoke(cli, words).exit_code == 2


def test_a_share_that_is_none_stops_before_anything_runs(home):
    with pytest.raises(UserError, match=r"MaxLabelChanges 1\.5"):
        data("validate", "--max-label-changes", "1.5", "--home", home)
    assert len(load_runs(home)) == 1


# quarantine


def test_the_quarantine_counts_every_reason_and_tells_what_mends_it(validated):
    home, _, batch = validated
    output = data("quarantine", "--home", home)
    for reason in BAD:
        assert re.search(rf"^ +\d+  {reason}: ", output, re.MULTILINE), reason
    assert "tilegate data decide SHA256" in output
    assert "tilegate data readmit BATCH:ROW --label LABEL" in output
    assert f"{batch}:{ROW['missing-file']}  missing-file  gone.png: there is no such readable file" in output


def test_the_quarantine_of_one_reason_and_a_limit(validated):
    output = data("quarantine", "--reason", "near-conflict", "--limit", "1", "--home", validated[0])
    assert "Refused   2 rows" in output
    assert output.count(f"{validated[2]}:") == 1
    assert "and 1 more" in output
    with pytest.raises(UserError, match="no row is refused for the reason 'dark'"):
        data("quarantine", "--reason", "dark", "--home", validated[0])


def test_the_quarantine_of_a_run_that_is_not_there_is_one_sentence(validated):
    with pytest.raises(UserError, match="there is no run 'gone'"):
        data("quarantine", "--run", "gone", "--home", validated[0])


def test_the_page_shows_pictures_where_there_are_any_and_what_to_type(validated, tmp_path):
    home, _, batch = validated
    data("quarantine", "--html", tmp_path / "q.html", "--home", home)
    page = (tmp_path / "q.html").read_text()
    cards = {row: text for text in page.split("<li>")[1:] for row in re.findall(rf"{batch}:(\d+)", text)[:1]}
    for reason in ("label-conflict", "near-conflict", "label", "schema", "duplicate"):
        assert 'src="data:image/jpeg;base64,' in cards[str(ROW[reason])], reason
    for reason in ("image", "missing-file", "path"):
        assert "<img" not in cards[str(ROW[reason])], reason
        assert f"tilegate data readmit {batch}:{ROW[reason]} --file FILE" in cards[str(ROW[reason])]
    assert not re.search(r"https?:|<script", page)


def test_pictures_come_from_the_files_where_the_facts_are_gone(home, batch, tmp_path):
    shutil.rmtree(home / "store" / Settings().bucket / "facts")
    data("quarantine", "--html", tmp_path / "q.html", "--home", home)
    cards = (tmp_path / "q.html").read_text().split("<li>")[1:]
    shown = {reason for reason in BAD if any("<img" in card for card in cards if f"{batch}:{ROW[reason]}" in card)}
    assert {"label-conflict", "near-conflict", "label", "schema", "duplicate"} <= shown
    assert shown.isdisjoint({"image", "missing-file", "path"})


def test_the_table_is_safe_to_open_in_a_spreadsheet(validated, tmp_path):
    data("quarantine", "--csv", tmp_path / "q.csv", "--home", validated[0])
    with (tmp_path / "q.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 12
    assert {row["reason"] for row in rows} == set(BAD)
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


# decide


@pytest.mark.integration
def test_a_decision_settles_a_contradiction_and_a_waiver_keeps_both_pictures(home, batch, source):
    both, near = sha256_file(source / "0.png"), [sha256_file(source / name) for name in ("2.png", "near.jpg")]
    data("decide", both[:12], "positive", "--by", "Ada", "--reason", "looked", "--home", home)
    data("decide", *near, "--waive", "near-conflict", "--by", "Ada", "--reason", "both right", "--home", home)
    data("readmit", f"{batch}:{ROW['label']}", "--label", "1", "--by", "Ada", "--reason", "typo", "--home", home)
    data("readmit", f"{batch}:{ROW['schema']}", "--by", "Ada", "--reason", "no date", "--home", home)
    draw(source.parent / "found.png", 555)
    data(
        "readmit",
        f"{batch}:{ROW['image']}",
        "--file",
        source.parent / "found.png",
        *("--by", "Ada", "--reason", "found", "--home", home),
    )
    data("validate", "--home", home)
    accepted, quarantined = latest(home)
    assert accepted["label"][both] == 1
    assert [accepted["label"][name] for name in near] == [0, 1]
    mended = [
        sha256_file(source / "100.png"),
        sha256_file(source / "101.png"),
        sha256_file(source.parent / "found.png"),
    ]
    assert accepted["label"][mended].tolist() == [1, 1, 1]
    assert accepted["slice:app"][mended].tolist() == ["app-93", "app-94", "app-90"]
    replaced = quarantined[quarantined["reason"] == "replaced"]
    assert set(replaced["row"]) == {ROW["label"], ROW["schema"], ROW["image"]}
    with pytest.raises(UserError, match="a later batch replaces the row"):
        data("readmit", f"{batch}:{ROW['label']}", "--label", "1", "--by", "A", "--reason", "x", "--home", home)


def test_going_back_to_an_earlier_decision_is_a_decision_of_its_own(home, source, monkeypatch):
    both = sha256_file(source / "0.png")
    words = ("--by", "Ada", "--reason", "looked", "--home", home)
    said = [batch_in(data("decide", both[:6], label, *words)) for label in ("0", "1")]
    monkeypatch.setattr("pipelines.data.reviews._now", lambda: "2030-01-01T00:00:00Z")
    said.append(batch_in(data("decide", both[:6], "0", *words)))
    assert len(set(said)) == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("0" * 5, "1"), "at least 6 digits"),
        (("0" * 64, "1"), "no labelled screenshot in the catalogue begins with"),
        (("{both}", "perhaps"), "label 'perhaps' is none of 0, 1, 'negative', 'positive'"),
        (("{both}", "--waive", "split-leak"), "'split-leak' cannot be waived: one of near-conflict, labeller"),
        (("{label}", "1"), "no usable row names the screenshot"),
    ],
)
def test_a_decision_about_nothing_is_refused(validated, source, words, says):
    home = validated[0]
    names = {"both": sha256_file(source / "0.png"), "label": sha256_file(source / "100.png")}
    with pytest.raises(UserError, match=says):
        data("decide", *[word.format(**names) for word in words], "--by", "Ada", "--reason", "x", "--home", home)
    assert len(list((home / "store").glob("*/catalogue/*.json"))) == 1


def test_a_screenshot_without_a_label_is_a_usage_error(validated):
    words = ["data", "decide", "0" * 64, "--by", "Ada", "--reason", "x", "--home", str(validated[0])]
    assert CliRunner().invoke(cli, words).exit_code == 2


def test_a_decision_that_no_labels_file_could_hold_adds_nothing(validated, source):
    home = validated[0]
    with pytest.raises(UserError, match=r"the decision cannot be written: .*formula"):
        data("decide", sha256_file(source / "0.png"), "1", "--by", "=cmd()", "--reason", "x", "--home", home)
    assert len(list((home / "store").glob("*/catalogue/*.json"))) == 1


def test_the_names_of_the_classes_are_those_of_the_last_run_on_the_catalogue(home, source):
    state = load_runs(home)[-1].run_dir / "state.json"
    document = json.loads(state.read_text())
    document["parameters"]["Classes"] = "other,game"
    state.write_text(json.dumps(document))
    output = data("decide", sha256_file(source / "0.png"), "game", "--by", "Ada", "--reason", "looked", "--home", home)
    assert "label 1, game" in output


# readmit


@pytest.mark.parametrize(
    ("reason", "words", "says"),
    [
        ("label", (), "has no label that is one of the classes: give --label"),
        ("image", (), "not a readable PNG.*give --file"),
        ("path", (), "the path leaves the batch's folder.*give --file"),
        ("missing-file", (), "no such readable file.*give --file"),
        ("formula", ("--label", "1"), "in a column `replaces`, and `tilegate data add --kind review`"),
        ("manifest-line", ("--label", "1"), "in a column `replaces`, and `tilegate data add --kind review`"),
        ("label-conflict", (), r"Decide on the label\. tilegate data decide [0-9a-f]{12} "),
        ("near-conflict", (), r"--waive near-conflict .* tilegate data decide [0-9a-f]{12} "),
        ("duplicate", (), "Nothing is lost"),
    ],
)
def test_what_is_not_mended_that_way_is_refused_with_what_would(validated, reason, words, says):
    home, _, batch = validated
    with pytest.raises(UserError, match=says):
        data("readmit", f"{batch}:{ROW[reason]}", *words, "--by", "Ada", "--reason", "x", "--home", home)


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("{batch}:2000", "did not refuse row 2000"),
        ("{batch}:3", "did not refuse row 3 of"),
        ("nobatch:3", "there is no batch 'nobatch'"),
        ("{batch}", "BATCH:ROW is wanted"),
        ("{batch}:0", "BATCH:ROW is wanted"),
    ],
)
def test_a_row_that_nobody_refused_is_one_sentence(validated, place, says):
    with pytest.raises(UserError, match=says):
        data("readmit", place.format(batch=validated[2]), "--by", "A", "--reason", "x", "--home", validated[0])


def test_a_file_that_does_not_open_mends_nothing(validated, source):
    home, _, batch = validated
    with pytest.raises(UserError, match="mends nothing, it would be refused as well"):
        data(
            "readmit",
            f"{batch}:{ROW['image']}",
            *("--file", source / "broken.png", "--by", "A", "--reason", "x", "--home", home),
        )


def test_readmitting_the_same_again_adds_nothing(home, batch):
    words = ("readmit", f"{batch}:{ROW['label']}", "--label", "1", "--by", "Ada", "--reason", "typo", "--home", home)
    first = data(*words)
    again = data(*words)
    assert batch_in(again) == batch_in(first)
    assert "nothing was added" in again


def test_a_readmitted_file_lies_in_its_batch_once_and_links_to_the_store(home, batch, source):
    words = ("--label", "1", "--by", "Ada", "--reason", "typo", "--home", home)
    added = batch_in(data("readmit", f"{batch}:{ROW['label']}", *words))
    folder = home / "store" / Settings().bucket / "labelled"
    sha256 = sha256_file(source / "100.png")
    assert (folder / added / f"{sha256}.png").samefile(folder / batch / "100.png")


def test_what_would_overrule_another_row_has_to_be_meant(home, batch, source):
    """0.png is a negative in row 2, and row 53 says of the file that it lacks that it is a positive."""
    words = ("readmit", f"{batch}:{ROW['missing-file']}", "--file", source / "0.png", "--by", "A", "--reason", "x")
    with pytest.raises(UserError, match=rf"row 2 of {batch} otherwise: give --label"):
        data(*words, "--home", home)
    assert "positive" in data(*words, "--label", "1", "--home", home)


def test_a_row_of_a_manifest_loses_the_class_name_that_its_new_label_belies(tmp_path):
    home, folder = tmp_path / "home", tmp_path / "data"
    folder.mkdir()
    records = []
    for name, said in (("a.png", "positive"), ("b.png", "perhaps"), ("c.png", "negative")):
        draw(folder / name, len(records))
        records.append({"source-ref": name, "k": 1, "k-metadata": {"class-name": said}, "app": f"app-{name}"})
    (folder / "m.manifest").write_text("\n".join(map(json.dumps, records)))
    batch = batch_in(data("add", folder, "--classes", "negative,positive", "--home", home))
    words = ("--label", "negative", "--by", "A", "--reason", "x", "--classes", "negative,positive", "--home", home)
    added = batch_in(data("readmit", f"{batch}:2", *words))
    written = home / "store" / Settings().bucket / "labelled" / added / "decisions.jsonl"
    row = json.loads(written.read_text())
    assert (row["label"], row["app"], row["replaces"]) == (0, "app-b.png", f"{batch}:2")
    assert "class-name" not in row


def test_a_file_of_a_folder_for_each_class_can_be_readmitted(tmp_path):
    home, folder = tmp_path / "home", tmp_path / "data"
    for number, name in enumerate(("negative", "perhaps", "positive")):
        (folder / name).mkdir(parents=True)
        draw(folder / name / "a.png", number)
    batch = batch_in(data("add", folder, "--home", home))
    output = data("readmit", f"{batch}:2", "--label", "1", "--by", "A", "--reason", "x", "--home", home)
    assert f"{batch}:2  positive, {sha256_file(folder / 'perhaps' / 'a.png')[:12]}" in output


def test_a_file_is_for_one_row(validated, source):
    home, _, batch = validated
    words = ["data", "readmit", f"{batch}:52", f"{batch}:53", "--file", str(source / "1.png")]
    assert CliRunner().invoke(cli, [*words, "--by", "A", "--reason", "x", "--home", str(home)]).exit_code == 2


def test_a_damaged_store_is_not_readmitted(home, batch):
    file = home / "store" / Settings().bucket / "labelled" / batch / "100.png"
    file.unlink()
    draw(file, 7)
    with pytest.raises(UserError, match="the store is damaged: give --file"):
        data("readmit", f"{batch}:{ROW['label']}", "--label", "1", "--by", "A", "--reason", "x", "--home", home)


def test_rows_can_be_readmitted_before_any_run(source, tmp_path):
    home = tmp_path / "home"
    batch = batch_in(data("add", source, "--home", home))
    words = ("--label", "1", "--by", "Ada", "--reason", "typo", "--home", home)
    assert "positive" in data("readmit", f"{batch}:{ROW['label']}", *words)
    with pytest.raises(UserError, match="`tilegate data validate` first"):
        data("readmit", f"{batch}:{ROW['image']}", *words)


# diff


def test_the_difference_of_a_state_and_itself_is_nothing(validated):
    found = json.loads(data("diff", "last", "now", "--json", "--home", validated[0]))
    assert found["a"]["basis"].startswith("as run ")
    assert found["a"] == found["b"]
    assert found["batches"] == {"added": [], "removed": []}
    assert found["screenshots"] == {"added": {}, "removed": {}}
    assert (found["relabelled"], found["groups"]["added"], found["quarantined"]) == ([], [], [])


def test_the_difference_tells_batches_screenshots_labels_groups_and_refused_rows(home, source, tmp_path):
    other = tmp_path / "more"
    other.mkdir()
    for seed in (200, 201):
        draw(other / f"{seed}.png", seed)
    (other / "labels.csv").write_text("path,label,app\n200.png,1,app-200\n201.png,1,app-200\nnone.png,1,x\n")
    added = batch_in(data("add", other, "--home", home))
    changed = sha256_file(source / "7.png")
    decided = batch_in(data("decide", changed, "0", "--by", "Ada", "--reason", "x", "--home", home))
    output = data("diff", "last", "now", "--home", home)
    assert "as its rows say: no run has validated it" in output
    assert f"+ {added}" in output
    assert f"{changed[:12]}  positive -> negative" in output
    found = json.loads(data("diff", "last", "now", "--json", "--home", home))
    assert found["batches"]["added"] == sorted([added, decided])
    assert {sha256_file(other / f"{seed}.png") for seed in (200, 201)} <= set(found["screenshots"]["added"])
    assert found["relabelled"] == [{"sha256": changed, "a": 1, "b": 0}]
    assert "app-200" in found["groups"]["added"]
    assert {"batch": added, "row": 4, "reason": "missing-file"} in found["quarantined"]
    back = json.loads(data("diff", "now", "last", "--json", "--home", home))
    assert back["batches"]["removed"] == sorted([added, decided])
    assert back["screenshots"]["removed"] == found["screenshots"]["added"]


def test_a_snapshot_is_found_by_its_first_digits_and_a_run_by_its_name(validated):
    home = validated[0]
    run = load_runs(home)[-1].id
    digest = json.loads(data("diff", run, "last", "--json", "--home", home))["a"]["snapshot"]
    assert json.loads(data("diff", digest[:6], run, "--json", "--home", home))["a"]["snapshot"] == digest
    with pytest.raises(UserError, match="is no run, and not the beginning"):
        data("diff", "zzzz", "last", "--home", home)


# data that are in no catalogue


@pytest.mark.integration
def test_data_of_a_folder_are_to_be_mended_there(source, fresh, tmp_path):
    home = fresh
    data("validate", "--data", source, "--home", home)
    output = data("quarantine", "--html", tmp_path / "q.html", "--home", home)
    assert "mend their folder, or `tilegate data add` it first" in output
    assert "tilegate data readmit" not in output + (tmp_path / "q.html").read_text()
    name = re.search(r"^(\S+):50 ", output, re.MULTILINE)[1]
    with pytest.raises(UserError, match="is in no catalogue, its folder was named with --data"):
        data("readmit", f"{name}:{ROW['label']}", "--label", "1", "--by", "A", "--reason", "x", "--home", home)
    with pytest.raises(UserError, match="have to be added first"):
        data("decide", sha256_file(source / "0.png"), "1", "--by", "A", "--reason", "x", "--home", home)
    with pytest.raises(UserError, match="there is no `now`"):
        data("diff", "last", "now", "--home", home)
