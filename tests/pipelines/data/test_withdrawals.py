"""Batches that are taken back: no snapshot has them, nobody adds them again, and who did it is on record."""

import threading
from datetime import UTC, datetime

import pytest

from pipelines.data.garbage import orphans
from pipelines.data.snapshots import added_batches, catalogue_batches, current_dataset
from pipelines.data.withdrawals import Withdrawal, last_withdrawal, withdraw_batch, withdrawn_batches
from pipelines.runs.local_start import LocalStart, RunRequest
from steps.core.common.errors import UserError
from tests.pipelines.data.test_catalogue import CLASSES, SETTINGS, catalogue_in, labelled

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
BY = {"by": "Ada", "reason": "another app's", "clock": lambda: NOON}


@pytest.fixture
def catalogue(tmp_path):
    return catalogue_in(tmp_path / "home")


@pytest.fixture
def batches(catalogue, tmp_path):
    folders = (labelled(tmp_path / name, {f"{name}.png": 0, "both.png": 1}) for name in ("one", "two"))
    return [catalogue.add(folder, classes=CLASSES).batch for folder in folders]


def test_the_snapshot_without_a_withdrawn_batch_is_another_and_undoing_brings_the_first_back(catalogue, batches):
    data, (one, two) = catalogue.data, batches
    whole = current_dataset(data)
    withdraw_batch(data, one.name, **BY)
    assert (withdrawn_batches(data), catalogue_batches(data), added_batches(data)) == ({one.name}, [two], [one, two])
    less = current_dataset(data)
    assert less.batches == (two,)
    assert less.uri != whole.uri
    assert last_withdrawal(data, one.name) == Withdrawal(one.name, "Ada", "another app's", "2026-11-29T12:00:00Z")
    withdraw_batch(data, one.name, undo=True, **BY)
    assert current_dataset(data) == whole


def test_what_was_withdrawn_is_not_added_again_and_not_called_garbage(catalogue, batches, tmp_path):
    one, _ = batches
    withdraw_batch(catalogue.data, one.name, **BY)
    with pytest.raises(UserError, match=r"was withdrawn by Ada on 2026-11-29: another .* --undo` brings it back"):
        catalogue.add(tmp_path / "one", classes=CLASSES)
    again = catalogue.add(tmp_path / "one", classes=CLASSES, again=True)
    assert (again.already, again.batch.sha256, again.batch > one) == (False, one.sha256, True)
    assert catalogue.add(tmp_path / "one", classes=CLASSES).batch == again.batch
    assert catalogue_batches(catalogue.data) == [batches[1], again.batch]
    assert orphans(catalogue, lambda _: True, min_age_seconds=0) == []
    assert (catalogue.folder(one) / "labels.csv").is_file()


@pytest.mark.parametrize(
    ("undone", "options", "says"),
    [
        (False, {"undo": True}, "is not withdrawn"),
        (True, {"by": "Bob"}, "is withdrawn already, by Ada on 2026-11-29: another app's"),
        (False, {"by": " "}, "--by and --reason are wanted"),
        (False, {"reason": ""}, "--by and --reason are wanted"),
    ],
)
def test_a_withdrawal_that_changes_nothing_or_tells_nothing_is_refused(catalogue, batches, undone, options, says):
    one, _ = batches
    if undone:
        withdraw_batch(catalogue.data, one.name, **BY)
    with pytest.raises(UserError, match=says):
        withdraw_batch(catalogue.data, one.name, **{**BY, **options})


def test_of_two_people_who_withdraw_at_once_one_is_told_so(catalogue, batches):
    told = []

    def withdraw(name):
        try:
            withdraw_batch(catalogue.data, batches[0].name, **{**BY, "by": name})
        except UserError as error:
            told.append(str(error))

    threads = [threading.Thread(target=withdraw, args=[name]) for name in "ABCDEFGH"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 7
    assert withdrawn_batches(catalogue.data) == {batches[0].name}


def test_where_all_was_withdrawn_nobody_is_given_the_sample_instead(catalogue, batches):
    for batch in batches:
        withdraw_batch(catalogue.data, batch.name, **BY)
    home = catalogue.store.root.parent
    with pytest.raises(UserError, match="all labelled data were withdrawn"):
        LocalStart(home, SETTINGS).asked(RunRequest(home))
