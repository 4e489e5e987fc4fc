"""The project's own promises: what each extra brings, and that CI runs what the README says."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def locked():
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return {package["name"]: package for package in packages}


def closure(locked, extra):
    """Everything that `tilegate[extra]` installs, on any platform."""
    tilegate = locked["tilegate"]
    waiting = [*tilegate["dependencies"], *tilegate["optional-dependencies"][extra]]
    found = set()
    while waiting:
        dependency = waiting.pop()
        wanted = {(dependency["name"], None), *((dependency["name"], name) for name in dependency.get("extra", ()))}
        for name, option in wanted - found:
            found.add((name, option))
            package = locked[name]
            waiting += (
                package.get("optional-dependencies", {}).get(option, []) if option else package.get("dependencies", [])
            )
    return {name for name, _ in found}


@pytest.mark.parametrize(
    ("extra", "brings", "spares"),
    [
        ("ml", {"tf-keras", "ai-edge-litert"}, {"sagemaker", "boto3", "mlflow", "optuna"}),
        ("pipelines", {"sagemaker", "boto3", "click"}, {"tensorflow", "tensorflow-cpu", "tf-keras", "optuna"}),
        ("local", {"mlflow", "optuna"}, {"sagemaker", "tensorflow", "tensorflow-cpu"}),
    ],
)
def test_an_extra_brings_what_its_place_needs_and_spares_the_rest(locked, extra, brings, spares):
    installed = closure(locked, extra)
    assert brings <= installed
    assert spares & installed == set()


def test_ci_runs_the_readmes_commands():
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    commands = re.findall(r"^python3 -m venv \.uv .*$", readme, re.MULTILINE)
    run, test = (command.partition(".uv/bin/uv run ")[2] for command in commands)
    assert f".uv/bin/uv run {run} | tee" in ci
    assert commands[1] in ci
    assert test == "pytest -n auto"


def test_the_repository_names_no_machine_path_and_no_private_host():
    for path in [*ROOT.glob("*.toml"), *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / ".ci" / "run"]:
        text = path.read_text()
        assert not re.search(r"/(home|root|Users)/\w", text), path
    hosts = set(re.findall(r"https?://([^/\"]+)/", (ROOT / "uv.lock").read_text()))
    assert hosts <= {"pypi.org", "files.pythonhosted.org"}
