"""The command line as a person meets it: help at once, one sentence for a mistake, never a stack trace."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from pipelines.cli import cli
from pipelines.cli.run import activation_hint
from pipelines.definition.compiler import compile_cached
from pipelines.definition.parameters import pipeline_parameters
from pipelines.definition.settings import Settings
from steps.core.common.errors import UserError

TILEGATE = Path(sys.executable).parent / "tilegate"


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """A folder with the compiled definition, so that each run need not import the SDK."""
    folder = tmp_path_factory.mktemp("compiled")
    compile_cached(Settings(), folder)
    return folder


@pytest.fixture
def home(tmp_path, compiled):
    home = tmp_path / "home"
    home.mkdir()
    (home / "compiled").symlink_to(compiled)
    return home


def tilegate(*words):
    return subprocess.run([TILEGATE, *map(str, words)], capture_output=True, text=True, check=False, timeout=120)


def draw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (60, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def commands(group=cli, *above):
    """Yield the words of every command, groups before what is in them."""
    yield above
    for name in group.list_commands(None) if isinstance(group, click.Group) else ():
        yield from commands(group.get_command(None, name), *above, name)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help(words):
    result = CliRunner().invoke(cli, [*words, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith("Usage:")


def test_every_parameter_but_the_uris_and_machines_is_an_option_of_run():
    output = CliRunner().invoke(cli, ["run", "--help"]).output
    names = {p.name for p in pipeline_parameters(Settings())}
    missing = {name for name in names if "--" + re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower() not in output}
    assert missing == {
        "DatasetUri",
        "PlanUri",
        "CheckpointsUri",
        "PretrainedWeightsUri",
        "ChampionUri",
        "LedgerUri",
        "Search",
        "ProcessingInstanceType",
        "TrainingInstanceType",
    }


HEAVY = {"PIL", "aws_cdk", "boto3", "cv2", "importlib.metadata", "matplotlib", "mlflow", "numpy", "optuna", "pandas"}
HEAVY |= {"pyarrow", "rich", "sagemaker", "scipy", "sklearn", "sqlalchemy", "tensorflow"}
LOOK = f"""
import sys
from pipelines.cli import cli
from pipelines.cli.run import activation_hint
cli(sys.argv[1:], standalone_mode=False)
print("imported", *sorted({HEAVY} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("words", "may"),
    [
        (["--help"], ()),
        (["run", "--help"], ()),
        (["runs"], ()),
        (["models", "list"], ()),
        (["data", "status"], ("importlib.metadata", "numpy", "pandas", "pyarrow")),
    ],
    ids=" ".join,
)
def test_a_command_imports_only_what_it_needs(empty_home, words, may):
    """Libraries are counted, because time says nothing on a busy machine."""
    environment = os.environ | {"TILEGATE_HOME": str(empty_home)}
    done = subprocess.check_output([sys.executable, "-c", LOOK, *words], text=True, env=environment)
    told = done.splitlines()[-1].split()
    assert told[0] == "imported"
    assert set(told[1:]) <= set(may)


def test_completion_knows_the_commands_and_imports_nothing_for_them():
    environment = os.environ | {"_TILEGATE_COMPLETE": "bash_complete", "COMP_WORDS": "tilegate mod", "COMP_CWORD": "1"}
    assert subprocess.check_output([TILEGATE], text=True, env=environment) == "plain,models\n"


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--max-fpr", "lots"],
        ["run", "--no-such", "1"],
        ["run", "--backbone", "huge"],
        ["models", "approve", "1"],
    ],
)
def test_a_mistyped_command_is_a_usage_error(words):
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert "Error: " in result.output


@pytest.mark.integration
def test_compile_writes_the_definition_and_checks_it(tmp_path):
    done = tilegate("compile", "-o", tmp_path / "definition.json", "--bucket", "my-bucket")
    assert done.returncode == 0, done.stderr
    definition = json.loads((tmp_path / "definition.json").read_text())
    assert definition["Version"] == "2020-12-01"
    assert "s3://my-bucket/weights/sample" in json.dumps(definition)


def test_who_has_no_tilegate_in_the_shell_hears_how_to_get_it(monkeypatch):
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    monkeypatch.setenv("PATH", str(TILEGATE.parent))
    assert activation_hint() is None
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    assert f"source {TILEGATE.parent}/activate" in activation_hint()
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH")
    monkeypatch.setenv("PATH", "/nowhere")
    assert "activate" in activation_hint()


def _a_class_is_empty(folder):
    draw(folder / "negative" / "a.png", 1)


def _every_image_is_broken(folder):
    for name in ("negative/a.png", "positive/b.png"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"not an image")


def _nothing_there(folder):
    folder.mkdir()


def _no_label_is_a_class(folder):
    draw(folder / "a.png", 1)
    with (folder / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "label"], ["a.png", "perhaps"]])


@pytest.mark.integration
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_a_class_is_empty, "The class 'positive' has no usable screenshot"),
        (_every_image_is_broken, "There is no usable screenshot at all. 2 rows quarantined, the first because"),
        (_nothing_there, "holds no labelled data"),
        (_no_label_is_a_class, "tell them with `--classes NEGATIVE,POSITIVE`"),
    ],
)
def test_unusable_data_end_a_run_with_one_clear_sentence(home, tmp_path, make, says):
    make(tmp_path / "data")
    done = tilegate("run", "--home", home, "--data", tmp_path / "data")
    output = done.stdout + done.stderr
    assert done.returncode == 1
    assert says in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--classes", "only-one"), "two different names"),
        (("--max-fpr", "0"), "max-fpr 0.0"),
        (("--min-tpr", "0"), "min-tpr 0.0"),
        (("--tile-size", "1"), "tile size 1"),
        (("--batch-size", "0"), "batch-size=0"),
        (("--fine-tune-epochs", "-1"), "fine-tune-epochs=-1"),
        (("--learning-rate-min", "0.5"), "not below LearningRateMax"),
        (("--max-tuning-jobs", "0"), "MaxTuningJobs 0"),
    ],
)
def test_bad_parameters_stop_before_anything_runs(home, tmp_path, words, says):
    draw(tmp_path / "data" / "negative" / "a.png", 1)
    result = CliRunner().invoke(cli, ["run", "--home", str(home), "--data", str(tmp_path / "data"), *words])
    assert says in str(result.exception)
    assert isinstance(result.exception, UserError)
    assert not (home / "runs").exists()
    assert not (home / "store").exists()


def test_a_home_that_cannot_be_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    done = tilegate("run", "--home", tmp_path / "file" / "home")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: ")


def test_resuming_a_run_that_is_not_there_is_one_sentence(home):
    done = tilegate("run", "--home", home, "--resume", "gone")
    assert done.returncode == 1
    assert "there is no run gone" in done.stderr


def test_an_empty_home_has_no_runs_and_no_models(tmp_path):
    assert "No runs" in CliRunner().invoke(cli, ["runs", "--home", str(tmp_path / "home")]).output
    assert "No versions" in tilegate("models", "list", "--home", tmp_path / "home").stdout
    done = tilegate("models", "show", "1", "--home", tmp_path / "home")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["a%2Fb", "a%20b", "what?", "a#b"])
def test_a_home_that_mlflow_would_misread_is_refused_at_once(tmp_path, name):
    result = CliRunner().invoke(cli, ["runs", "--home", str(tmp_path / name)])
    assert result.exit_code == 2
    assert "which MLflow reads as part of an address" in result.output


def test_what_lies_in_a_home_is_its_owners_alone_whatever_the_umask(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").write_bytes(b"personal")
    (tmp_path / "data" / "labels.csv").write_text("path,label\na.png,1\n")
    home = tmp_path / "Büro, mein home"
    before = os.umask(0)
    try:
        done = CliRunner().invoke(cli, ["data", "add", str(tmp_path / "data"), "--home", str(home)])
    finally:
        os.umask(before)
    assert done.exit_code == 0, done.output
    found = [home, *home.rglob("*")]
    assert len(found) > 8
    assert [path for path in found if path.stat().st_mode & 0o077] == []
