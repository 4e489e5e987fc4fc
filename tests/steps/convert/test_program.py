"""ConvertToTFLite: what ships is what was judged, byte for byte; what may not ship leaves its evidence alone."""

import json
import shutil

import pandas as pd
import pytest

from steps.core.common.files import sha256_file
from steps.core.tiles.spec import PreprocessingSpec
from steps.device.check import main as check_main
from steps.network.archive import unpacked
from steps.network.head import Head
from steps.network.runtime import start_tensorflow
from tests.steps.tiny import EASY, SPEC, Judged, write_learned

start_tensorflow()

from steps.convert import gate_variants  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::UserWarning")]

TWO = ("--variants", "float32,weight-int8", "--max-flipped", "1")
ONE = ("--variants", "float32")


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def trained(workspace, tmp_path_factory):
    return write_learned(tmp_path_factory.mktemp("trained"), workspace)


@pytest.fixture(scope="module")
def passed(workspace, trained, tmp_path_factory):
    judged = Judged(workspace, trained, tmp_path_factory.mktemp("passed"))
    assert judged.evaluate(*EASY) == 0
    outputs = [
        {"OutputName": "bundle", "S3Output": {"S3Uri": "s3://tilegate-local/runs/20261129-1/ConvertToTFLite/bundle"}}
    ]
    job = judged.root / "job.json"
    job.write_text(json.dumps({"ProcessingOutputConfig": {"Outputs": outputs}}))
    assert judged.convert(*EASY, *TWO, "--job", str(job)) == 0
    return judged


@pytest.fixture
def unjudged(workspace, trained, tmp_path):
    return Judged(workspace, trained, tmp_path)


@pytest.fixture
def judged(unjudged, passed, monkeypatch):
    """An evaluated model whose conversion was done already: it takes its time."""

    def made(names, *_):
        yield from ((name, passed.bundle / "bundle" / "model.tflite", "") for name in names)

    monkeypatch.setattr(gate_variants, "make_all", made)
    shutil.copytree(passed.evaluation, unjudged.evaluation)
    return unjudged


def test_the_bundle_is_what_was_judged(passed):
    bundle = passed.bundle / "bundle"
    contract = json.loads((bundle / "model.json").read_text())
    evaluation = json.loads((bundle / "evaluation.json").read_text())
    assert contract["sha256"] == evaluation["subject"]["model"] == sha256_file(bundle / "model.tflite")
    assert contract["bytes"] == (bundle / "model.tflite").stat().st_size
    assert contract["run"] == "20261129-1"
    assert contract["threshold"] == evaluation["gate"]["operating_point"]["threshold"]
    assert evaluation["gate"]["passed"] is True
    assert evaluation["subject"]["trained_model"] == sha256_file(passed.root / "model" / "model.tar.gz")
    assert contract["sha256"] in (bundle / "MODEL_CARD.md").read_text()
    with unpacked(passed.root / "model") as folder:
        assert Head.read(bundle).to_dict() == Head.read(folder).to_dict()
    assert PreprocessingSpec.read(bundle) == SPEC


def test_the_archive_holds_the_bundle_and_no_labelled_screenshot(passed, workspace):
    whole = files(passed.bundle / "bundle")
    beside = {name for name in whole if not name.startswith("golden/")}
    assert beside == {
        *("MODEL_CARD.md", "evaluation.json", "model.json", "model.tflite"),
        *("preprocessing.json", "head.json"),
    }
    assert "golden/golden.json" in whole
    with unpacked(passed.bundle) as folder:
        assert files(folder) == whole
    ids = set(pd.read_parquet(passed.bundle / "evidence" / "scores.parquet")["id"])
    shipped = b"".join(data for name, data in whole.items() if name.endswith((".json", ".md")))
    assert not any(name.encode() in shipped for name in ids)
    labelled = set(files(workspace.labelled).values())
    assert not labelled & set(whole.values())


def test_the_bundles_own_check_agrees(passed, capsys):
    assert check_main([str(passed.bundle / "bundle")]) == 0, capsys.readouterr().err


def test_the_evidence_stands_beside_the_bundle(passed):
    evidence = passed.bundle / "evidence"
    names = {path.name for path in evidence.iterdir()}
    assert names >= {"evaluation.json", "report.html", "scores.parquet", "variants.json"}
    table = json.loads((evidence / "variants.json").read_text())["variants"]
    assert [row["name"] for row in table] == ["float32", "weight-int8"]
    assert {row["reason"] for row in table} == {""}
    contract = json.loads((passed.bundle / "bundle" / "model.json").read_text())
    (chosen,) = (row for row in table if row["chosen"])
    assert chosen["sha256"] == contract["sha256"]
    page = (evidence / "report.html").read_text()
    assert "weight-int8" in page
    assert "approve VERSION" in page
    assert json.loads((evidence / "evaluation.json").read_text())["baseline"]["found"] > 0
    assert "data:image/jpeg;base64," in page


def test_the_chosen_variants_look_is_entered(passed):
    contract = json.loads((passed.bundle / "bundle" / "model.json").read_text())
    models = {look["model"] for look in passed.looks()}
    assert models == {contract["sha256"], sha256_file(passed.root / "model" / "model.tar.gz")}


def test_the_summary_is_text_for_the_registry(passed):
    summary = json.loads((passed.bundle / "summary.json").read_text())
    assert all(isinstance(value, str) for value in summary.values())
    assert summary["tflite_sha256"] == sha256_file(passed.bundle / "bundle" / "model.tflite")
    assert summary["archive_sha256"] == sha256_file(passed.bundle / "model.tar.gz")
    assert summary["evaluation_digest"] == "sha256:" + sha256_file(passed.bundle / "bundle" / "evaluation.json")


def assert_only_evidence(judged):
    assert not (judged.bundle / "bundle").exists()
    assert not (judged.bundle / "model.tar.gz").exists()
    assert not (judged.bundle / "summary.json").exists()
    assert (judged.bundle / "evidence" / "report.html").is_file()
    (row,) = json.loads((judged.bundle / "evidence" / "variants.json").read_text())["variants"]
    assert (row["may_ship"], row["chosen"]) == (False, False)
    assert row["sha256"] in {look["model"] for look in judged.looks()}
    return row


def test_bytes_that_do_not_pass_the_gate_are_rejected(judged, capsys):
    assert judged.convert("--max-fpr", "0.01", *ONE) == 3
    assert "No converted model may ship. float32 does not pass the gate." in capsys.readouterr().err
    assert "No converted model may ship" in (judged.root / "message").read_text()
    assert assert_only_evidence(judged)["passed"] is False
    assert [look["passed"] for look in judged.looks()] == [False]


def test_bytes_that_decide_otherwise_than_the_trained_model_are_rejected(judged, capsys):
    scores = judged.evaluation / "scores.parquet"
    frame = pd.read_parquet(scores)
    frame.assign(flagged=~frame["flagged"]).to_parquet(scores)
    assert judged.convert(*EASY, *ONE) == 3
    assert "0.50% is the most" in capsys.readouterr().err
    row = assert_only_evidence(judged)
    assert row["passed"] is True
    assert row["flipped"] > 0.5
    page = (judged.bundle / "evidence" / "report.html").read_text()
    assert "float32 decides otherwise than the trained model" in page
    assert "Rejected" in page
    assert "models approve" not in page


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--variants", "float8"), "variant 'float8'"),
        (("--variants", " , "), "no variant is wanted"),
        (("--max-flipped", "7"), "a share between 0 and 1"),
    ],
)
def test_what_cannot_be_wanted_is_a_mistake(unjudged, capsys, words, says):
    assert unjudged.convert(*words) == 1
    assert says in capsys.readouterr().err


def test_without_an_evaluation_nothing_is_converted(unjudged, capsys):
    assert unjudged.convert(*EASY) == 1
    assert "evaluate the trained model first" in capsys.readouterr().err
