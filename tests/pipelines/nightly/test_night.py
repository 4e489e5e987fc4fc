"""One night after the other: what starts, what does not, and what the next one knows of those before."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from pipelines.nightly.decide import Nothing, Rules, Start, Why
from pipelines.nightly.lease import NightBusyError
from pipelines.nightly.night import hold_night
from steps.core.common.errors import UserError
from steps.core.gate.test_set_ledger import Consultation
from tests.pipelines.nightly.dying import Dying, Fuse, Killed

ANY = Rules()


def why(held):
    assert isinstance(held.decision, Nothing)
    return held.decision.why


def test_new_data_start_an_execution_and_the_same_data_none(nights):
    first = nights.hold("one")
    assert isinstance(first.decision, Start)
    assert nights.executions == [first.execution]
    assert why(nights.hold()) is Why.EXECUTING
    nights.site.executions.end("Succeeded")
    assert why(nights.hold()) is Why.ANSWERED
    second = nights.hold("one", "two")
    assert nights.executions == [first.execution, second.execution]


def test_without_labels_there_is_nothing_to_decide(nights):
    nights.site.batches = ()
    assert why(nights.hold()) is Why.NO_DATA


def test_a_rejection_is_a_decision(nights):
    nights.hold("one")
    nights.site.executions.end("Rejected", "FPR too high")
    assert why(nights.hold()) is Why.ANSWERED


def test_a_failure_is_tried_again_and_given_up_in_the_end(nights):
    for _ in range(3):
        nights.hold("one", max_attempts=3)
        nights.site.executions.end("Failed", "out of memory")
    held = nights.hold("one", max_attempts=3)
    assert why(held) is Why.GIVEN_UP
    assert "out of memory" in held.line
    assert len(nights.executions) == 3
    assert isinstance(nights.hold("one", force=True).decision, Start)


def test_force_decides_again_but_never_beside_an_execution(nights):
    nights.hold("one")
    assert why(nights.hold("one", force=True)) is Why.EXECUTING
    nights.site.executions.end("Succeeded")
    nights.hold("one", force=True)
    assert len(nights.executions) == 2


def test_another_definition_is_another_question(nights):
    nights.hold("one")
    nights.site.executions.end("Succeeded")
    nights.site.definition = "d2"
    assert isinstance(nights.hold("one", min_new_labels=10).decision, Start)


def test_an_execution_that_no_night_started_is_waited_for(nights):
    nights.site.executions.start("by hand", "", {})
    assert why(nights.hold("one")) is Why.EXECUTING


def test_new_labels_are_counted_from_the_last_decision(nights):
    assert why(nights.hold("one", min_new_labels=15)) is Why.WAITING
    nights.hold("one", "two", min_new_labels=15)
    nights.site.executions.end("Succeeded")
    assert why(nights.hold("one", "two", "three", min_new_labels=15)) is Why.WAITING
    assert isinstance(nights.hold("one", "two", "three", "four", min_new_labels=15).decision, Start)


def test_few_labels_do_not_wait_for_ever(nights):
    nights.site.added = nights.clock.now
    assert why(nights.hold("one", min_new_labels=99, max_age_days=3)) is Why.WAITING
    nights.clock.pass_(days=2)
    assert isinstance(nights.hold("one", min_new_labels=99, max_age_days=3).decision, Start)


def test_a_batch_that_was_taken_away_is_news(nights):
    nights.hold("one", "two")
    nights.site.executions.end("Succeeded")
    assert isinstance(nights.hold("two", min_new_labels=99).decision, Start)


def test_a_night_knows_the_executions_before_it(nights):
    looks = [
        Consultation.of([i], negatives=1, groups=1, model=i * 64, limits={}, passed=True, moment="m") for i in "ab"
    ]
    for number, look in enumerate(looks):
        held = nights.hold(f"batch{number}")
        nights.site.artifacts.put(f"ledger/EvaluateModel/{look.name}.json", json.dumps(look.to_dict()).encode())
        nights.site.executions.end("Failed", "disk full") if number else nights.site.executions.end("Succeeded")
    nights.hold("more")
    assert [run.looks() for run in nights.site.earlier] == [(look.name,) for look in looks]
    last = nights.site.earlier[-1]
    assert (last.id, last.pipeline, last.has_validated) == (held.execution, "tilegate", True)
    assert last.parameters["DatasetUri"] == "s3://data/datasets/batch1"
    assert last.tuning_job() == f"tuning-{held.execution}"


def test_a_service_that_fails_leaves_nothing_that_stops_the_next_delivery(nights, monkeypatch):
    def refused(*_):
        raise UserError("sagemaker:StartPipelineExecution is missing")

    with monkeypatch.context() as broken:
        broken.setattr(nights.site.executions, "start", refused)
        with pytest.raises(UserError, match="StartPipelineExecution"):
            nights.hold("one")
    assert hold_night(nights.site, ANY, clock=nights.clock).execution
    assert len(nights.executions) == 1


def test_a_damaged_record_is_named(nights):
    nights.hold("one")
    (key,) = [info.key for info in nights.site.artifacts.list("nights/") if info.key.endswith("claim.json")]
    nights.site.artifacts.put(key, b'{"version": 1}')
    with pytest.raises(UserError, match=rf"s3://artifacts/{key} is no record of a night .*restore it"):
        nights.hold("one")


def test_a_hundred_deliveries_at_once_start_one_execution(nights):
    ready, lines = threading.Barrier(100), []

    def deliver():
        ready.wait()
        try:
            lines.append(hold_night(nights.site, ANY, clock=nights.clock).line)
        except NightBusyError as busy:
            lines.append(f"busy: {busy}")

    threads = [threading.Thread(target=deliver) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines) == 100
    assert sum(line.startswith("started") for line in lines) == 1
    assert len(nights.executions) == 1


PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from conftest import Clock, FolderSite
from pipelines.nightly.decide import Rules
from pipelines.nightly.lease import NightBusyError
from pipelines.nightly.night import hold_night
site = FolderSite(Path({root!r}))
sys.stdin.readline()
try:
    print(hold_night(site, Rules(), clock=Clock()).line)
except NightBusyError as busy:
    print("busy", busy)
"""


def test_processes_at_once_start_one_execution(nights, request):
    code = PROCESS.format(tests=str(request.path.parent), root=str(nights.site.root))
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(6)]
    lines = []
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        lines.append(out)
    assert sum(line.startswith("started") for line in lines) == 1
    assert len(nights.executions) == 1


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_write_the_next_delivery_starts_the_one_execution(tmp_path, new_nights, after):
    """Every write of the store and every call that starts something, until a night gets through unharmed."""
    for number in range(1, 20):
        (tmp_path / str(number)).mkdir()
        nights = new_nights(tmp_path / str(number))
        site, whole = nights.site, (nights.site.artifacts, nights.site.executions)
        fuse = Fuse(number, after=after)
        site.artifacts = Dying(whole[0], fuse, {"put", "upload", "copy", "delete"})
        site.executions = Dying(whole[1], fuse, {"start"})
        with suppress(Killed):
            nights.hold("one")
        site.artifacts, site.executions = whole
        nights.hold("one")
        assert len(nights.executions) == 1
        assert why(nights.hold("one")) is Why.EXECUTING
        site.executions.end("Succeeded")
        assert why(nights.hold("one")) is Why.ANSWERED
        assert len(nights.executions) == 1
        if fuse.left > 0:
            break
    # The lease twice, the claim, the start and its note: all of them were deadly once.
    assert number > 5


@pytest.mark.parametrize("number", range(1, 6))
def test_a_killed_process_leaves_nothing_that_stops_the_next(nights, number):
    """SIGKILL at the n-th effect: no `finally` runs, and no lock is given back."""
    child = os.fork()
    if child == 0:
        fuse = Fuse(number, after=True, die=lambda: os.kill(os.getpid(), signal.SIGKILL))
        nights.site.artifacts = Dying(nights.site.artifacts, fuse, {"put"})
        nights.site.executions = Dying(nights.site.executions, fuse, {"start"})
        nights.hold("one")
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    nights.clock.pass_(days=1)
    nights.hold("one")
    assert len(nights.executions) == 1
    assert why(nights.hold("one")) is Why.EXECUTING


def test_a_killed_starter_keeps_others_out_until_its_lease_is_over(nights, monkeypatch):
    with monkeypatch.context() as killing:
        fuse = Fuse(1, after=True)
        killing.setattr(nights.site, "artifacts", Dying(nights.site.artifacts, fuse, {"put"}))
        with pytest.raises(Killed):
            nights.hold("one")
    nights.clock.pass_(minutes=14)
    with pytest.raises(NightBusyError, match="another starter is at work, at the latest until 2026-11-26 02:15:00 UTC"):
        hold_night(nights.site, ANY, clock=nights.clock)
    nights.clock.pass_(minutes=1)
    assert hold_night(nights.site, ANY, clock=nights.clock).execution


def test_a_starter_that_wakes_up_late_starts_nothing(nights, monkeypatch):
    """It slept through its lease, right before it would have claimed; another has started meanwhile."""
    parameters = nights.site.parameters

    def sleepy(*args):
        monkeypatch.setattr(nights.site, "parameters", parameters)
        nights.hold("one")
        return parameters(*args)

    monkeypatch.setattr(nights.site, "parameters", sleepy)
    with pytest.raises(NightBusyError, match="took longer than its lease"):
        nights.hold("one")
    assert len(nights.executions) == 1


def test_a_starter_whose_claim_was_taken_over_starts_nothing(nights, monkeypatch):
    """It slept after it had claimed: whoever took over starts the execution, with the parameters of the claim."""
    find = nights.site.executions.find

    def sleepy(name):
        monkeypatch.setattr(nights.site.executions, "find", find)
        nights.hold("one")

    monkeypatch.setattr(nights.site.executions, "find", sleepy)
    with pytest.raises(NightBusyError, match="has taken over this execution"):
        nights.hold("one")
    assert len(nights.executions) == 1


def test_a_claim_is_carried_out_as_it_was_made(nights, monkeypatch):
    """What changes after a claim, such as an approval, does not change the request of its token."""
    started = []
    start = nights.site.executions.start
    monkeypatch.setattr(nights.site.executions, "start", lambda *_: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        nights.hold("one")
    monkeypatch.setattr(nights.site.executions, "start", lambda *args: started.append(args) or start(*args))
    monkeypatch.setattr(nights.site, "parameters", lambda *_: {"ChampionUri": "approved meanwhile"})
    nights.hold("one")
    assert started[0][2] == {"DatasetUri": "s3://data/datasets/one", "ChampionUri": "of 0 earlier"}
