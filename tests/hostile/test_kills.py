"""A corpus of kills: every command on a model's way, at every file and row that it is about to write.

What a reader finds afterwards is whole, the same command again completes it as if nothing had been, and what is left
over `tilegate data gc` finds. A write is one that Python does, or a statement or a commit of MLflow's database.
"""

import contextlib
import gc
import io
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipelines.cli import cli
from pipelines.data import reviews
from pipelines.data.catalogue import Catalogue
from pipelines.data.garbage import DAY_SECONDS, leftovers, orphans, part_is_used, remove, shards_of_runs
from pipelines.data.withdrawals import erased_images, withdrawn_batches
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from pipelines.registry.mlflow_registry import CHAMPION, MlflowRegistry, tags_of
from pipelines.release.opening import local_publisher
from pipelines.release.verify import accepted
from pipelines.runs.local_start import LocalStart, RunRequest
from pipelines.tracking.database import open_client
from steps.core.common.errors import UserError
from steps.core.common.files import sha256_file
from steps.core.dataset.rows import check_batch
from tests.pipelines.release.kit import files_of, pack, passed

pytestmark = pytest.mark.integration

SETTINGS = Settings()
GROUP = SETTINGS.model_package_group
# Kills of one command, evenly spread over its writes; fewer of one that MLflow makes slow.
MOST, MOST_OF_MLFLOW, WANTED = 13, 7, 200
BY = ("--by", "Ann", "--reason", "because")
WRITES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.utime"}


# --- the life of a model


def tilegate(home, *words):
    done = CliRunner().invoke(cli, [*map(str, words), "--home", str(home)], catch_exceptions=False)
    assert done.exit_code == 0, done.output


def adds(folder):
    return lambda home: tilegate(home, "data", "add", home.parent / folder)


def on_the_newest(*words):
    def act(home):
        tilegate(home, *words, catalogue_in(home).added()[-1].name, *BY)

    return act


def decides_on_a_label(home):
    screenshot = sha256_file(home.parent / "first" / "a.png")
    tilegate(home, "data", "decide", screenshot, "0", "--classes", "no,yes", *BY)


def erases(home):
    tilegate(home, "data", "erase", sha256_file(home.parent / "second" / "c.png"), *BY)


def plans(home):
    start = LocalStart(home, SETTINGS)
    with contextlib.redirect_stdout(io.StringIO()):
        start.prepare(*start.asked(RunRequest(home)))


def registers(number):
    def act(home):
        request = {"ModelPackageGroupName": GROUP, "CustomerMetadataProperties": passed(files_of(str(number)))}
        MlflowRegistry(home).register(request, home.parent / f"version-{number}" / "model.tar.gz")

    return act


def collects_garbage(home):
    for key in ("labelled/half/labels.csv", "labelled/half/a.png", "catalogue/half.parquet", "facts/1/p/facts.parquet"):
        LocalStore(home / "store").put_bytes(b"half", SETTINGS.uri(key))
    tilegate(home, "data", "gc", "--all", "--delete")


def says(*words):
    return lambda home: tilegate(home, *words, *BY)


LIFE = {
    "add": adds("first"),
    "add more": adds("second"),
    "withdraw": on_the_newest("data", "withdraw"),
    "undo the withdrawal": on_the_newest("data", "withdraw", "--undo"),
    "erase": erases,
    "decide": decides_on_a_label,
    "plan": plans,
    "register": registers(1),
    "approve": says("models", "approve", 1),
    "publish": says("release", "publish", 1),
    "register again": registers(2),
    "approve again": says("models", "approve", 2),
    "plan beside a champion": plans,
    "publish to some": says("release", "publish", 2, "--percent", 10),
    "roll out": says("release", "rollout", "--percent", 100),
    "roll back the release": says("release", "rollback", "--to", 1),
    "roll back the model": says("models", "rollback", "--to", 1),
    "reject": says("models", "reject", 2),
    "collect garbage": collects_garbage,
}


# --- what anybody may rely on


def catalogue_in(home):
    return Catalogue(LocalStore(home / "store"), SETTINGS)


@dataclass(frozen=True)
class State:
    """What a home says of itself; every part of it was read as its users read it, and verified."""

    batches: Any
    erased: Any
    versions: Any
    channel: Any


def state_of(home):
    """Read everything; whatever is half there, or not what it was, raises."""
    catalogue = catalogue_in(home)
    gone, batches = withdrawn_batches(catalogue.data), []
    for batch in catalogue.added():
        listing = catalogue.listing(batch.name)
        check_batch(batch, catalogue.folder(batch), listing)
        for path, sha256 in zip(listing["path"], listing["sha256"], strict=True):
            assert sha256_file(catalogue.folder(batch) / path) == sha256
        batches.append((batch.kind, batch.sha256, batch.name in gone))
    registry, versions = MlflowRegistry(home), []
    for version in registry.versions(GROUP):
        with tempfile.TemporaryDirectory(dir=home.parent) as folder:
            registry.download(version, Path(folder))
        decisions = [(d.status, d.by, d.reason, d.note, d.sha256) for d in version.decisions]
        versions.append((version.version, version.sha256, version.status, version.is_champion, decisions))
    publisher, channel = local_publisher(home), []
    if publisher.channels.names():
        channel = [str(state) for state in publisher.channels.history("stable")]
    if (home / "releases" / "channels" / "stable.json").exists():
        said, _ = accepted("stable", publisher.store.bucket, publisher.store.trusted(), seen=len(channel) - 1)
        assert said["sequence"] in {len(channel), len(channel) - 1}
    return State(batches, sorted(erased_images(catalogue.data)), versions, channel)


def check_mirror(home):
    """MLflow says of every version what the journal says."""
    versions, client = MlflowRegistry(home).versions(GROUP), open_client(home)
    shown = {int(found.version): dict(found.tags) for found in client.search_model_versions(f"name = '{GROUP}'")}
    assert shown == {version.version: tags_of(version) for version in versions}
    champions = [(CHAMPION, version.version) for version in versions if version.is_champion]
    assert list(client.get_registered_model(GROUP).aliases.items()) == champions


def collect(home):
    """Remove all garbage, as `data gc --all --delete` does, and what is younger than a day in the temporary folder."""
    catalogue = catalogue_in(home)
    with catalogue.lock():
        found = orphans(catalogue, part_is_used(catalogue), kept=shards_of_runs(catalogue), min_age_seconds=0)
        later = time.time() + 2 * DAY_SECONDS
        remove(catalogue.store, [*found, *leftovers(catalogue.store, now=later)])


def files_of_home(home):
    """The names of all files, without what is another each time: the time of a batch, and ids."""
    names = (path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())
    return Counter(re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{12}|[0-9a-f]{32,}", "*", name) for name in names)


# --- killing


def in_a_child(work):
    """Do something in a process of its own; return what it returned, None if it was killed."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reader)
        try:
            told = {"done": work()}
        except BaseException:  # noqa: BLE001 - whatever it is, the parent raises it
            told = {"failed": traceback.format_exc()}
        with os.fdopen(writer, "w") as stream:
            json.dump(told, stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    told = json.loads(text)
    assert "failed" not in told, told["failed"]
    return told["done"]


def killed_at(number, act, home):
    """Do something, and be killed just before the `number`th write; return how many there were if there were fewer."""
    from sqlalchemy import Engine, event

    writes = 0

    def tick(*_):
        nonlocal writes
        writes += 1
        if writes == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def before_statement(_connection, _cursor, statement, *_):
        if statement.lstrip().startswith(("INSERT", "UPDATE", "DELETE")):
            tick()

    def watch(name, arguments):
        written = name in WRITES
        if name == "open":
            path, mode, flags = arguments
            # A pipe has a number, a file that is locked is opened for appending.
            written = flags & (os.O_WRONLY | os.O_RDWR) and not isinstance(path, int) and mode != "ab"
        if written and not str(arguments[0]).startswith(("/dev", "/proc")):
            tick()

    event.listen(Engine, "before_cursor_execute", before_statement)
    event.listen(Engine, "commit", tick)
    sys.addaudithook(watch)
    act(home)
    return writes


def renew(home, template):
    for left in (home, Path(tempfile.gettempdir())):
        shutil.rmtree(left, ignore_errors=True)
    Path(tempfile.gettempdir()).mkdir()
    shutil.copytree(template, home)


@dataclass(frozen=True)
class Case:
    """A command in a home, which was `before`, and is `after` with these `files` if nobody kills it."""

    act: Any
    home: Path
    before: State
    after: State
    files: Counter

    def complete(self, number):
        """Hold what a kill has left against what was before, do the same again, and collect what is left over."""
        for name, value in self._found().items():
            assert value in (getattr(self.before, name), getattr(self.after, name)), f"half-taken: {name}"
        if number % 2:
            collect(self.home)
        self.act(self.home)
        collect(self.home)
        assert state_of(self.home) == self.after
        if self.before.versions != self.after.versions:
            check_mirror(self.home)
        assert files_of_home(self.home) == self.files
        assert list(Path(tempfile.gettempdir()).iterdir()) == []

    def _found(self):
        try:
            return asdict(state_of(self.home))
        except UserError as error:
            # A batch that an erasure has reached is of no use to anybody before the erasure is through.
            if self.before.erased == self.after.erased or "repeat `tilegate data erase`" not in str(error):
                raise
            return {}


# --- the corpus


@pytest.fixture
def world(tmp_path, monkeypatch):
    """What a labeller and two trainings deliver, in a folder with the homes, and a temporary folder of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(reviews, "_now", lambda: "2026-11-29T12:00:00Z")  # a second later it is another decision
    (tmp_path / "tmp").mkdir()
    for folder, labels in {"first": {"a.png": 1, "b.png": 0}, "second": {"b.png": 0, "c.png": 1}}.items():
        (tmp_path / folder).mkdir()
        for name in labels:
            (tmp_path / folder / name).write_bytes(name.encode())
        lines = "".join(f"{name},{label}\n" for name, label in labels.items())
        (tmp_path / folder / "labels.csv").write_text("path,label\n" + lines)
    for number in (1, 2):
        pack(tmp_path / f"version-{number}" / "model.tar.gz", files_of(str(number)))
    return tmp_path


def test_killed_anywhere_in_a_model_s_life_nothing_is_lost_and_nothing_half_taken(world):
    kept, home, kills = world / "kept", world / "home", Counter()
    # What commands import and compile is there once they were run here; the children only work.
    open_client(kept).search_experiments()
    gc.freeze()  # or every child would look through all that is imported, and copy it
    for place, (name, act) in enumerate(LIFE.items()):
        renew(home, kept)
        in_a_child(lambda: open_client(home) and None)  # it names this place from now on
        template = shutil.copytree(home, world / "template")
        before = state_of(kept)
        writes = in_a_child(partial(killed_at, 0, act, home))
        act(kept)
        collect(kept)
        case = Case(act, home, before, state_of(kept), files_of_home(kept))
        decides = before.versions != case.after.versions
        most = min(writes, MOST_OF_MLFLOW if decides else MOST)
        for number in (1 + int((k + place % 3 / 3) * writes / most) for k in range(most)):
            renew(home, template)
            kills[name] += in_a_child(partial(killed_at, number, act, home)) is None
            # MLflow keeps its connections to a database, whose file is another after each kill.
            in_a_child(partial(case.complete, number)) if decides else case.complete(number)
        shutil.rmtree(template)
        print(f"{name}: {kills[name]} kills, {writes} writes")
    gc.unfreeze()
    assert all(kills[name] > MOST_OF_MLFLOW / 2 for name in LIFE), kills
    assert kills.total() >= WANTED, kills
