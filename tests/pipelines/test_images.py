"""The digest of a step's code: it changes with what the step can run, and with nothing else."""

import shutil
from pathlib import Path

import pytest

from pipelines import images
from pipelines.local import DefinitionError
from pipelines.settings import Settings

ROOT = Path(images.__file__).parents[1]
PROGRAMS = ("validate", "preprocess", "train", "evaluate", "convert")


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the sources whose digests are taken instead of ours."""
    shutil.copytree(ROOT / "steps", tmp_path / "steps", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pipelines").mkdir()
    monkeypatch.setattr(images, "__file__", str(tmp_path / "pipelines" / "images.py"))
    images.program_digest.cache_clear()
    yield tmp_path
    images.program_digest.cache_clear()


def digests():
    images.program_digest.cache_clear()
    return {name: images.program_digest(f"steps.{name}") for name in PROGRAMS}


@pytest.mark.parametrize(
    ("changed", "affected"),
    [
        ("steps/evaluate.py", {"evaluate"}),
        ("steps/tflite.py", {"convert"}),
        ("steps/core/gate.py", {"evaluate", "convert"}),
        ("steps/core/report/templates/report.html.j2", {"evaluate", "convert"}),
        ("steps/core/labels.py", {"validate"}),
        ("steps/model.py", {"validate", "train", "evaluate", "convert"}),
        ("steps/core/spec.py", {"preprocess", "train", "evaluate", "convert"}),
        ("steps/core/errors.py", set(PROGRAMS)),
    ],
)
def test_a_change_reaches_the_programs_that_can_run_it(copy, changed, affected):
    before = digests()
    assert digests() == before
    path = copy / changed
    path.write_text(path.read_text() + "\n# changed\n")
    after = digests()
    assert {name for name in PROGRAMS if after[name] != before[name]} == affected


def test_both_images_train_by_default_and_run_the_module_they_are_told():
    resolve = images.LocalImages(Settings())
    training = resolve(Settings().model_image, ())
    assert training.entrypoint == ("python3", "-m", "steps.train")
    assert training.digest == images.program_digest("steps.train")
    told = resolve(Settings().data_image, ("python3", "-m", "steps.validate", "--classes", "a,b"))
    assert told.digest == images.program_digest("steps.validate")


def test_an_image_of_somebody_else_is_refused():
    with pytest.raises(DefinitionError, match="other:latest"):
        images.LocalImages(Settings())("other:latest", ())


def test_another_version_of_a_library_is_another_digest(monkeypatch):
    before = digests()
    version = images.importlib.metadata.version
    monkeypatch.setattr(
        images.importlib.metadata, "version", lambda name: version(name) + ("+1" if name == "pyarrow" else "")
    )
    assert all(after != before[name] for name, after in digests().items())
    changed = {"ai_edge_litert"}
    monkeypatch.setattr(
        images.importlib.metadata, "version", lambda name: version(name) + ("+1" if name in changed else "")
    )
    assert {name for name, after in digests().items() if after != before[name]} == {"convert"}
    images.program_digest.cache_clear()
