"""What the registry is inside MLflow, and what two processes and a kill do to it."""

import dataclasses
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import pytest

from pipelines.registry import decisions
from pipelines.registry.journal import Journal
from pipelines.registry.mlflow_registry import MlflowRegistry, tags_of
from pipelines.registry.protocol import Decision, RegistryError
from pipelines.tracking.database import database_uri, open_client

DECIDER = """
import sys
from pathlib import Path
from pipelines.registry.mlflow_registry import MlflowRegistry
registry, first, second = MlflowRegistry(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
registry.versions("screenshots")
print("ready", flush=True)
sys.stdin.readline()
for round in range(5):
    for number in (first, second):
        registry.approve("screenshots", number, by=f"process {first}", reason=f"round {round}")
"""


def test_importing_the_packages_does_not_import_mlflow():
    code = "import sys, pipelines.registry, pipelines.tracking; print([m for m in sys.modules if m == 'mlflow'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_version_is_an_mlflow_model_with_its_files_and_tags(home, bundle, request_of):
    made = MlflowRegistry(home).register(request_of(), bundle("weights"))
    folder = Path(urlsplit(made.artifact_uri).path)
    assert folder.is_relative_to(home / "mlartifacts")
    assert (folder / "bundle" / "model.tflite").read_text() == "weights"
    assert {path.name for path in folder.iterdir()} == {"MLmodel", "model.tar.gz", "bundle"}
    model = mlflow.models.Model.load(str(folder))
    assert model.flavors["python_function"]["loader_module"] == "pipelines.tracking.pyfunc"
    entity = open_client(home).get_model_version("screenshots", "1")
    assert entity.tags["tilegate.status"] == "PendingManualApproval"


def test_the_alias_champion_follows_the_decisions(home, bundle, request_of):
    registry, client = MlflowRegistry(home), open_client(home)
    for text in "ab":
        registry.register(request_of(), bundle(text))
    for number in (1, 2):
        registry.approve("screenshots", number, by="Ann", reason="good")
        assert int(client.get_model_version_by_alias("screenshots", "champion").version) == number
    assert client.get_model_version("screenshots", "1").tags["tilegate.status"] == "Approved"
    registry.reject("screenshots", 2, by="Ann", reason="bad")
    assert client.get_registered_model("screenshots").aliases == {}


def test_a_kill_between_decision_and_alias_is_completed_by_the_same_command(home, bundle, request_of, monkeypatch):
    """The journal is the truth: what was decided holds at once, and the mirror catches up."""
    registry, client = MlflowRegistry(home), open_client(home)
    registry.register(request_of(), bundle())
    monkeypatch.setattr(MlflowRegistry, "_mirror", lambda *_: sys.exit("killed"))
    with pytest.raises(SystemExit):
        registry.approve("screenshots", 1, by="Ann", reason="good")
    monkeypatch.undo()
    assert registry.load_champion("screenshots").version == 1
    assert client.get_registered_model("screenshots").aliases == {}
    assert len(registry.approve("screenshots", 1, by="Ann", reason="good").decisions) == 1
    assert int(client.get_model_version_by_alias("screenshots", "champion").version) == 1
    assert client.get_model_version("screenshots", "1").tags["tilegate.status"] == "Approved"


def test_a_registration_that_was_killed_before_the_journal_is_taken_up(home, bundle, request_of, monkeypatch):
    registry, client = MlflowRegistry(home), open_client(home)
    monkeypatch.setattr(Journal, "append", lambda *_: sys.exit("killed"))
    with pytest.raises(SystemExit):
        registry.register(request_of(), bundle())
    monkeypatch.undo()
    assert registry.versions("screenshots") == []
    assert registry.register(request_of(), bundle()).version == 1
    assert len(client.search_model_versions("name = 'screenshots'")) == 1


def test_the_model_is_logged_in_the_run_that_is_named(home, bundle, request_of):
    client = open_client(home)
    run = client.create_run(client.create_experiment("p", artifact_location=(home / "mlartifacts" / "p").as_uri()))
    made = MlflowRegistry(home, run_for=lambda _: run.info.run_id).register(request_of(), bundle())
    (model,) = client.search_logged_models([run.info.experiment_id])
    assert (model.artifact_location, str(model.status)) == (made.artifact_uri, "READY")
    assert client.get_model_version("screenshots", "1").run_id == run.info.run_id
    assert client.get_run(run.info.run_id).info.status == "RUNNING"  # its step closes it
    assert client.get_experiment_by_name("model-registry") is None


def test_a_changed_artefact_is_refused(home, bundle, request_of, tmp_path):
    registry = MlflowRegistry(home)
    made = registry.register(request_of(), bundle())
    archive = Path(urlsplit(made.artifact_uri).path) / "model.tar.gz"
    archive.write_bytes(b"another model")
    with pytest.raises(RegistryError, match="it was changed since; do not use it"):
        registry.download(made, tmp_path / "release")
    archive.unlink()
    with pytest.raises(RegistryError, match="is missing: restore it"):
        registry.download(made, tmp_path / "release")


def test_a_version_made_by_hand_in_mlflow_is_not_one_of_ours(home, bundle, request_of):
    registry = MlflowRegistry(home)
    made = registry.register(request_of(), bundle())
    tags = tags_of(made)
    open_client(home).create_model_version("screenshots", "file:///tmp/anything", tags=tags)
    assert [version.version for version in registry.versions("screenshots")] == [1]
    with pytest.raises(RegistryError, match="has no version 2: its versions are 1"):
        registry.approve("screenshots", 2, by="Ann", reason="good")


def test_nothing_that_is_written_into_mlflow_decides_or_changes_a_version(home, bundle, request_of):
    """Whoever reaches MLflow's interface can set any tag; the next decision sets them right again."""
    registry, client = MlflowRegistry(home), open_client(home)
    made = [registry.register(request_of(), bundle(text)) for text in "ab"]
    forged = Decision("Approved", "Ann", "good", "2026-01-01T00:00:00+00:00", sha256=made[0].sha256)
    wrong = tags_of(dataclasses.replace(made[1], status="Approved", metadata={"fpr": "0"}, decisions=(forged,)))
    for key, value in wrong.items():
        client.set_model_version_tag("screenshots", "1", key, value)
    client.set_registered_model_alias("screenshots", "champion", "1")
    assert registry.versions("screenshots") == made
    assert registry.load_champion("screenshots") is None
    registry.approve("screenshots", 2, by="Ann", reason="good")
    assert int(client.get_model_version_by_alias("screenshots", "champion").version) == 2
    tags = client.get_model_version("screenshots", "1").tags
    assert {key: tags[key] for key in tags_of(made[0])} == tags_of(made[0])
    client.delete_model_version("screenshots", "2")
    assert registry.load_champion("screenshots").version == 2
    assert registry.reject("screenshots", 2, by="Ann", reason="bad").status == "Rejected"
    client.delete_registered_model("screenshots")
    assert registry.register(request_of(), bundle("c")).version == 3
    assert [version.status for version in registry.versions("screenshots")][1:] == ["Rejected", "PendingManualApproval"]


def test_a_clock_that_went_back_does_not_reorder_decisions(home, bundle, request_of, monkeypatch):
    registry = MlflowRegistry(home)
    for text in "ab":
        registry.register(request_of(), bundle(text))
    with monkeypatch.context() as patch:
        patch.setattr(decisions, "_next_moment", lambda _: "2999-01-01T00:00:00.000000+00:00")
        registry.approve("screenshots", 1, by="Ann", reason="good")
    assert registry.approve("screenshots", 2, by="Ann", reason="better").is_champion


def test_threads_that_register_the_same_make_one_version(home, bundle, request_of):
    path = bundle()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: MlflowRegistry(home).register(request_of(), path), range(4)))
    assert {version.version for version in made} == {1}


@pytest.mark.integration
def test_two_processes_lose_no_decision(home, bundle, request_of):
    """Twenty decisions from two processes at once are all kept, in one order, and end in one champion."""
    registry = MlflowRegistry(home)
    for text in "abcd":
        registry.register(request_of(), bundle(text))
    command = [sys.executable, "-c", DECIDER, str(home)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    deciders = [subprocess.Popen([*command, *pair], **pipes) for pair in (("1", "2"), ("3", "4"))]
    for decider in deciders:
        assert decider.stdout.readline() == "ready\n"
    for decider in deciders:
        decider.stdin.write("go\n")
        decider.stdin.flush()
    for decider in deciders:
        decider.communicate(timeout=60)
        assert decider.returncode == 0
    versions = registry.versions("screenshots")
    assert [len(version.decisions) for version in versions] == [5, 5, 5, 5]
    moments = {decision.at: version for version in versions for decision in version.decisions}
    assert len(moments) == 20
    champion = registry.load_champion("screenshots")
    assert moments[max(moments)] == champion
    alias = open_client(home).get_model_version_by_alias("screenshots", "champion")
    assert int(alias.version) == champion.version


def test_an_unusable_store_is_one_clear_sentence(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database " * 100)
    with pytest.raises(RegistryError, match=r"MLflow's store .*mlflow.db cannot be used: .*not a database"):
        MlflowRegistry(tmp_path).approve("screenshots", 1, by="Ann", reason="good")


def test_the_model_loads_by_its_alias_uri(home, bundle, request_of):
    registry = MlflowRegistry(home)
    registry.register(request_of(), bundle())
    registry.approve("screenshots", 1, by="Ann", reason="good")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(database_uri(home))
    try:
        info = mlflow.models.get_model_info("models:/screenshots@champion")
    finally:
        mlflow.set_tracking_uri(before)
    assert "python_function" in info.flavors
