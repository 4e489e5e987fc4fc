"""The digests of a step's code and of the definition's: they change with what can run there, and with nothing else."""

import shutil
import sys
from pathlib import Path

import pytest

from pipelines import code_digest
from pipelines.definition import compiler, step_table
from pipelines.definition.settings import Settings
from pipelines.definition.step_table import programs
from pipelines.executor.errors import DefinitionError
from pipelines.runs.local_run import LocalImages

ROOT = Path(code_digest.__file__).parents[1]
PROGRAMS, DEFINITION = programs(), "definition"
MODULES = {**{name: f"steps.{name}" for name in PROGRAMS}, DEFINITION: compiler.__name__}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the sources whose digests are taken instead of ours."""
    folder = tmp_path_factory.mktemp("copy")
    for package in ("steps", "pipelines"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_digest, "__file__", str(folder / "pipelines" / "code_digest.py"))
        yield folder
    code_digest.program_digest.cache_clear()


@pytest.mark.parametrize("module", MODULES.values())
def test_a_library_stands_in_a_digest_with_its_version(module):
    sources = code_digest._closure(module, ROOT).values()
    libraries = {name.partition(".")[0] for source in sources for name in code_digest._imports(source)}
    ours = sys.stdlib_module_names | {*code_digest._PACKAGES}
    assert [library for library in sorted(libraries - ours) if not code_digest._version(library)] == []


@pytest.fixture(scope="module")
def before(copy):
    return digests()


def digests():
    code_digest.program_digest.cache_clear()
    return {name: code_digest.program_digest(module) for name, module in MODULES.items()}


@pytest.mark.parametrize(
    ("changed", "affected"),
    [
        *((f"steps/{name}/__main__.py", {name}) for name in PROGRAMS),
        ("steps/device/export.py", {"convert"}),
        ("steps/evaluate/champion.py", {"evaluate", "convert"}),
        ("steps/core/gate/gate.py", {"evaluate", "convert"}),
        ("steps/evaluate/report/templates/report.html.j2", {"evaluate", "convert"}),
        ("steps/core/dataset/labels.py", {"validate", "definition"}),
        ("steps/network/backbone.py", {"validate", "index", "train", "evaluate", "convert"}),
        ("steps/network/head.py", {"index", "train", "evaluate", "convert"}),
        ("steps/core/tiles/spec.py", set(MODULES) - {"validate"}),
        ("steps/core/common/errors.py", set(MODULES)),
        ("steps/core/dataset/plan.py", {"validate", "preprocess", "index", DEFINITION}),
        ("pipelines/definition/dag.py", {DEFINITION}),
        ("pipelines/runs/local_run.py", set()),
    ],
)
def test_a_change_reaches_the_programs_that_can_run_it(copy, before, changed, affected):
    path = copy / changed
    whole = path.read_text()
    path.write_text(whole + "\n# changed\n")
    after = digests()
    path.write_text(whole)
    assert {name for name in MODULES if after[name] != before[name]} == affected


@pytest.mark.usefixtures("copy")
def test_the_same_sources_have_the_same_digest(before):
    assert digests() == before


def test_both_images_train_by_default_and_run_the_module_they_are_told():
    resolve = LocalImages(Settings())
    training = resolve(Settings().model_image, ())
    assert training.entrypoint == ("python3", "-m", "steps.train")
    assert training.digest == code_digest.program_digest("steps.train")
    told = resolve(Settings().data_image, ("python3", "-m", "steps.validate", "--classes", "a,b"))
    assert told.digest == code_digest.program_digest("steps.validate")


def test_an_image_of_somebody_else_is_refused():
    with pytest.raises(DefinitionError, match="other:latest"):
        LocalImages(Settings())("other:latest", ())


def test_the_table_of_steps_imports_nothing_heavy():
    """The starter's function reads it."""
    found = code_digest._closure(step_table.__name__, ROOT)
    assert {path.stem for path in found} == {"__init__", "step_table", "program", "errors", "files"}
    imported = {name for source in found.values() for name in code_digest._imports(source)}
    assert {name.partition(".")[0] for name in imported} <= {*sys.stdlib_module_names, "steps"}


@pytest.mark.usefixtures("copy")
def test_another_version_of_a_library_is_another_digest(before, monkeypatch):
    version = code_digest.importlib.metadata.version
    monkeypatch.setattr(
        code_digest.importlib.metadata, "version", lambda name: version(name) + ("+1" if name == "pyarrow" else "")
    )
    assert all(after != before[name] for name, after in digests().items())
    # The phone's runtime also runs the champion that a candidate is judged against.
    for library, affected in (
        ("ai_edge_litert", {"evaluate", "convert"}),
        ("ai_edge_quantizer", {"convert"}),
        ("sagemaker", {DEFINITION}),
    ):
        monkeypatch.setattr(
            code_digest.importlib.metadata,
            "version",
            lambda name, library=library: version(name) + ("+1" if name == library else ""),
        )
        assert {name for name, after in digests().items() if after != before[name]} == affected
    code_digest.program_digest.cache_clear()
