"""Dropped folders: each becomes one batch, when it is whole; a bad one is told and stops no other."""

import os
import shutil

import pandas as pd
import pytest

from pipelines.data import inbox as night_inbox
from pipelines.data.catalogue import Catalogue
from pipelines.data.inbox import FolderInbox
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from steps.core.dataset.classes import Classes

NOW = 1_800_000_000.0


class Inbox:
    def __init__(self, root):
        self.folder = root / "inbox"
        self.folder.mkdir()
        self.catalogue = Catalogue(LocalStore(root / "home" / "store"), Settings())
        self._inbox = FolderInbox(self.folder, root / "home" / "inbox.json", settle_seconds=60)

    def drop(self, name, *files, label="1", age=3600.0):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for file in files:
            (folder / file).write_bytes(file.encode())
        pd.DataFrame({"path": files, "label": label}).to_csv(folder / "labels.csv", index=False)
        for path in (*folder.iterdir(), folder):
            os.utime(path, (NOW - age, NOW - age))

    def take_in(self):
        return list(self._inbox.take_in(self.catalogue, Classes.parse("other,promotion"), None, now=NOW))

    def batches(self):
        return self.catalogue.batches()


@pytest.fixture
def inbox(tmp_path):
    return Inbox(tmp_path)


def test_each_folder_becomes_a_batch(inbox):
    inbox.drop("one", "a.png", "b.png")
    inbox.drop("two", "c.png")
    one, two = inbox.batches() if (told := inbox.take_in()) else ()
    assert told == [
        f"one: taken in as {one.name}, 2 of 2 rows usable",
        f"two: taken in as {two.name}, 1 of 1 rows usable",
    ]


def test_what_was_taken_in_is_not_read_again(inbox, monkeypatch):
    inbox.drop("one", "a.png")
    inbox.take_in()
    monkeypatch.setattr(inbox.catalogue, "add", None)
    assert inbox.take_in() == []


def test_a_night_that_was_killed_before_it_could_remember_adds_nothing_twice(inbox):
    inbox.drop("one", "a.png")
    inbox.take_in()
    inbox._inbox._memory.unlink()
    (batch,) = inbox.batches()
    assert inbox.take_in() == [f"one: was there already as {batch.name}, 1 of 1 rows usable"]
    assert inbox.batches() == [batch]


def test_a_folder_that_somebody_still_writes_to_waits(inbox):
    inbox.drop("one", "a.png", age=59)
    assert inbox.take_in() == ["one: waits, written 59 s ago: taken in 60 s after the last write"]
    assert inbox.batches() == []
    inbox.drop("one", "a.png", age=60)
    inbox.take_in()
    assert len(inbox.batches()) == 1


def test_a_bad_folder_is_told_every_night_and_stops_no_other(inbox):
    inbox.drop("bad", "a.png", label="maybe")
    inbox.drop("good", "b.png")
    for night in (1, 2):
        told = [line for line in inbox.take_in() if line.startswith("bad: not taken in, ")]
        assert len(told) == 1, night
        assert "maybe" in told[0]
    assert len(inbox.batches()) == 1


def test_a_folder_that_vanishes_while_it_is_looked_at_stops_no_other(inbox, monkeypatch):
    walk_files = night_inbox.walk_files

    def walk(folder):
        for key, path in walk_files(folder):
            if folder.name == "bad":
                path.unlink()
            yield key, path

    monkeypatch.setattr(night_inbox, "walk_files", walk)
    inbox.drop("bad", "a.png")
    inbox.drop("good", "b.png")
    assert [line.partition(" ")[0] for line in inbox.take_in()] == ["bad:", "good:"]
    assert len(inbox.batches()) == 1


def test_a_folder_that_was_added_to_is_another_batch(inbox):
    inbox.drop("one", "a.png")
    inbox.take_in()
    inbox.drop("one", "a.png", "b.png", age=120)
    inbox.take_in()
    assert len(inbox.batches()) == 2


def test_hidden_folders_and_loose_files_are_no_batches(inbox):
    inbox.drop("one", "a.png")
    shutil.move(inbox.folder / "one", inbox.folder / ".one.part")
    (inbox.folder / "readme.txt").write_text("drop here")
    assert inbox.take_in() == []


def test_an_archive_in_the_inbox_is_told(inbox):
    inbox.folder.mkdir(exist_ok=True)
    (inbox.folder / "screens.ZIP").write_bytes(b"PK")
    assert inbox.take_in() == ["screens.ZIP: not taken in, it is an archive: unpack it into a folder of the inbox"]
