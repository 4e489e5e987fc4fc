"""Kills, with real training: of a night on one machine as cron runs it, and of a run that is gone on with."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.runs.sample_data import write_sample
from tests.quick import QUICK, SCREENSHOTS

pytestmark = pytest.mark.e2e

TILEGATE = Path(sys.executable).parent / "tilegate"
# The options of `QUICK`, as `tilegate run` and `tilegate nightly` have them.
OPTIONS = [
    word for name, value in QUICK.items() for word in ("--" + re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower(), str(value))
]


@pytest.fixture
def home(tmp_path):
    write_sample(tmp_path / "inbox" / "first", screenshots=SCREENSHOTS)
    return tmp_path / "home"


def command(home):
    return [TILEGATE, "nightly", "--home", home, "--inbox", home.parent / "inbox", "--settle", "0", *OPTIONS]


def nightly(home):
    return subprocess.run(command(home), capture_output=True, text=True, check=False, timeout=900)


def runs(home):
    words = [TILEGATE, "runs", "--home", home]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()[1:]


def reused(output):
    return re.findall(r"^(\w+) +reused", output, re.MULTILINE)


def test_a_dropped_batch_is_decided_on_once_although_the_night_is_killed(home):
    pipe = subprocess.PIPE
    with subprocess.Popen(command(home), stdout=pipe, stderr=subprocess.STDOUT, text=True) as night:
        told = ""
        for line in night.stdout:
            told += line
            if line.startswith("ValidateData"):
                break
        second = nightly(home)
        os.kill(night.pid, signal.SIGKILL)
    assert "ValidateData           done" in told, told
    assert (second.returncode, second.stdout) == (0, "Night: a night is being held in this home already\n")
    assert re.search(r"^first: taken in as \S+, 300 of 300 rows usable$", told, re.MULTILINE)
    assert "Interrupted" in runs(home)[0]

    # The verdict on a model of one epoch is luck; either is a decision.
    done = nightly(home)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert re.search(r"^ValidateData +reused .*done before this execution was resumed", done.stdout, re.MULTILINE)
    (run,) = runs(home)
    assert "Interrupted" not in run
    execution = run.split()[0]
    assert f"Night: started {execution}: 300 new labels\n" in done.stdout

    again = nightly(home)
    assert again.returncode == 0
    verdict = "Succeeded" if done.returncode == 0 else "Rejected"
    told = f"Night: nothing new, nothing is started: {execution} has decided on these data: {verdict}\n"
    assert again.stdout == told
    assert runs(home) == [run]


def test_a_killed_run_goes_on_where_it_was_or_is_taken_over_by_the_next(tmp_path):
    """SIGKILL while it trains: nothing half-done is ever taken for whole, nothing finished is done again."""
    data = write_sample(tmp_path / "data", screenshots=SCREENSHOTS)
    home, jobs = tmp_path / "home", ["PreprocessTiles", "IndexTiles", "TuneHyperparameters"]

    def tilegate(*words):
        whole = [TILEGATE, *words, "--home", home]
        return subprocess.run(whole, capture_output=True, text=True, check=False, timeout=900)

    with subprocess.Popen(
        [TILEGATE, "run", "--data", data, *OPTIONS, "--home", home],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        while not list(home.glob("runs/*/steps/TrainModel/log.txt")):
            assert running.poll() is None, running.stdout.read()
            time.sleep(0.1)
        time.sleep(2)
        os.kill(running.pid, signal.SIGKILL)
    listed = tilegate("runs").stdout
    assert "Interrupted" in listed
    killed = listed.splitlines()[1].split()[0]
    resumed = tilegate("run", "--resume", killed)
    assert resumed.returncode in (0, 3), resumed.stdout + resumed.stderr
    assert reused(resumed.stdout) == ["ValidateData", "CheckProvableLimit", *jobs]
    following = tilegate("run", "--data", data, *OPTIONS)
    assert following.returncode == resumed.returncode
    assert reused(following.stdout)[:5] == ["ValidateData", *jobs, "TrainModel"]
    assert tilegate("models", "list").stdout.count("Pending") == (resumed.returncode == 0)
