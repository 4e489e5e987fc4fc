"""A home that was copied or moved: its champion is found where the home is now, and the original stays as it was."""

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.registry.protocol import RegistryError
from pipelines.tracking.database import database_path, open_client


@pytest.fixture
def champion(home, bundle, request_of):
    """Return the home with an approved version."""
    registry = MlflowRegistry(home)
    registry.register(request_of(), bundle("weights"))
    registry.approve("screenshots", 1, by="Ann", reason="good")
    return home


def contents(home):
    return {path.relative_to(home): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def texts(home):
    with sqlite3.connect(database_path(home)) as connection:
        return "\n".join(connection.iterdump())


@pytest.mark.parametrize("name", ["copy", "a copy für zwei", 'it\'s "quoted"'])
def test_a_copy_is_a_home_of_its_own(champion, tmp_path, bundle, request_of, name):
    before, copy = contents(champion), tmp_path / name
    shutil.copytree(champion, copy)
    registry = MlflowRegistry(copy)
    path = registry.download(registry.load_champion("screenshots"), tmp_path / "fetched")
    assert path.read_bytes() == bundle("weights").read_bytes()
    made = registry.register(request_of("another"), bundle("other"))
    assert made.artifact_uri.startswith(f"{copy.as_uri()}/mlartifacts/")
    run = open_client(copy).create_run("1")
    open_client(copy).log_text(run.info.run_id, "a note", "note.txt")
    assert len(list(copy.rglob("note.txt"))) == 1
    assert contents(champion) == before
    assert champion.as_uri() + "/" not in texts(copy)


def test_a_moved_home_keeps_its_champion(champion, tmp_path, bundle):
    moved = champion.rename(tmp_path / "elsewhere")
    registry = MlflowRegistry(moved)
    found = registry.load_champion("screenshots")
    assert registry.download(found, tmp_path / "fetched").read_bytes() == bundle("weights").read_bytes()
    registry.reject("screenshots", 1, by="Bob", reason="no longer")
    assert registry.download(registry.get("screenshots", 1), tmp_path / "again").is_file()


def test_looking_at_a_copy_writes_nothing(champion, tmp_path):
    copy = shutil.copytree(champion, tmp_path / "copy")
    before = contents(copy)
    registry = MlflowRegistry(copy)
    assert registry.load_champion("screenshots").artifact_uri.startswith(copy.as_uri())
    registry.download(registry.get("screenshots", 1), tmp_path / "fetched")
    assert contents(copy) == before


def test_what_lies_outside_of_the_home_stays_where_it_is(champion, tmp_path):
    beside = tmp_path / "home" / "mlartifacts-of-others"
    open_client(champion).create_experiment("shared", artifact_location=beside.as_uri())
    copy = shutil.copytree(champion, tmp_path / "copy")
    assert open_client(copy).get_experiment_by_name("shared").artifact_location == beside.as_uri()


def test_several_may_open_a_copy_at_once_and_it_may_move_again(champion, tmp_path):
    for name in ("second", "third"):
        champion = shutil.copytree(champion, tmp_path / name)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(open_client, [champion] * 4))
        registry = MlflowRegistry(champion)
        assert registry.get("screenshots", 1).artifact_uri.startswith(f"{champion.as_uri()}/mlartifacts/")


def test_a_rewriting_that_fails_in_the_middle_changes_nothing(champion, tmp_path):
    copy = shutil.copytree(champion, tmp_path / "copy")
    with sqlite3.connect(database_path(copy)) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON model_versions BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    before = texts(copy)
    with pytest.raises(RegistryError, match="disk is full"):
        MlflowRegistry(copy).reject("screenshots", 1, by="Bob", reason="no")
    assert texts(copy) == before
