"""The journal: its owner alone writes it, and what anybody else did to it is found and named."""

import pytest

from pipelines.registry.journal import Decided, Journal, Registration
from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.registry.protocol import Decision, RegistryError


def registered(number):
    return Registration("screenshots", number, "2026-11-29T00:00:00", "e", f"{number:064d}", {"fpr": "0"}, "é\n", "a/b")


def decided(number, **other):
    given = {"sha256": f"{number:064d}", **other}
    return Decided("screenshots", number, Decision("Approved", "Ann", "good", "2026-11-29T00:00:00+00:00", **given))


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path)
    for record in (registered(1), registered(2), decided(1)):
        journal.append(record)
    return journal


@pytest.fixture
def path(journal, tmp_path):
    return tmp_path / "registry" / "journal.jsonl"


def test_records_come_back_in_their_order_and_only_the_owner_reads_them(journal, path, tmp_path):
    assert journal.read() == [registered(1), registered(2), decided(1)]
    for file in (path, tmp_path / "keys" / "journal.key"):
        assert file.stat().st_mode & 0o777 == 0o600


def test_looking_makes_no_file(tmp_path):
    assert Journal(tmp_path / "home").read() == []
    assert not (tmp_path / "home").exists()


def swapped(lines):
    return [lines[1], lines[0], *lines[2:]]


CHANGES = {
    "a record was changed": lambda lines: [*lines[:2], lines[2].replace(b"Ann", b"Bob")],
    "a decision was moved to another version": lambda lines: [
        *lines[:2],
        lines[2].replace(b'"version": 1', b'"version": 2'),
    ],
    "a line was taken out": lambda lines: lines[1:],
    "a line was added": lambda lines: [*lines, lines[-1]],
    "two lines were exchanged": swapped,
    "a line without a MAC": lambda lines: [*lines, b'{"Decided": {}}\n'],
    "bytes that are no text": lambda lines: [*lines, b"\xff\xfe\n"],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_somebody_else_has_written_is_found(journal, path, change):
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    before = path.read_bytes()
    for use in (journal.read, lambda: journal.append(decided(2))):
        with pytest.raises(
            RegistryError, match=r"line \d of .*journal.jsonl was not written there by tilegate on this"
        ):
            use()
    assert path.read_bytes() == before


@pytest.mark.parametrize("length", range(1, 60, 7))
def test_what_a_killed_writer_left_is_no_record_and_is_written_over(journal, path, length):
    whole = path.read_bytes()
    journal.append(decided(2))
    path.write_bytes(path.read_bytes()[: len(whole) + length])
    assert journal.read() == [registered(1), registered(2), decided(1)]
    journal.append(decided(2))
    assert journal.read()[-1] == decided(2)


def test_a_journal_that_others_may_write_or_whose_key_is_gone_is_refused(journal, path, tmp_path):
    path.chmod(0o666)
    with pytest.raises(RegistryError, match=r"journal.jsonl is readable by others: `chmod 600` it"):
        journal.read()
    path.chmod(0o600)
    (tmp_path / "keys" / "journal.key").unlink()
    for use in (journal.read, lambda: journal.append(decided(2))):
        with pytest.raises(RegistryError, match=r"journal.key is missing, by which .*journal.jsonl is verified"):
            use()


def test_another_machine_s_journal_counts_for_nothing_here(journal, path, tmp_path):
    other = Journal(tmp_path / "other")
    other.append(registered(1))
    path.replace(tmp_path / "other" / "registry" / "journal.jsonl")
    with pytest.raises(RegistryError, match=r"line 1 of .* was not written there"):
        other.read()


@pytest.mark.parametrize("sha256", ["", "0" * 64])
def test_an_approval_of_no_or_of_other_bytes_counts_for_nothing(tmp_path, sha256):
    journal = Journal(tmp_path)
    journal.append(registered(1))
    journal.append(decided(1, sha256=sha256))
    (version,) = MlflowRegistry(tmp_path).versions("screenshots")
    assert (version.status, version.approval, version.is_champion) == ("PendingManualApproval", None, False)
