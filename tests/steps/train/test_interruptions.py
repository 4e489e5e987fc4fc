"""Training that is interrupted, shared by hosts, or both: the same model in the end, or a sentence."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from steps.core.common.program import EXIT_STOPPED

# Every training is a process that imports TensorFlow.
pytestmark = pytest.mark.integration
HERE = Path(__file__).parent
GIVEN = {
    "augment": "0.5",
    "batch-size": "7",
    "fine-tune-epochs": "3",
    "fine-tune-layer": "0",
    "fine-tune-learning-rate": "0.02",
    "head-epochs": "2",
    "patience": "9",
}


class Job:
    """One training job: its folders, and a process for each of its hosts."""

    def __init__(self, workspace, root, given=(), *, pretrained=True):
        self.workspace, self.root = workspace, root
        (root / "pretrained").mkdir(parents=True)
        if pretrained:
            (root / "pretrained" / "stock.weights.h5").write_bytes(b"the tiny model reads none")
        else:
            (root / "pretrained" / "initialisation.json").write_text("{}")
        (root / "hyperparameters.json").write_text(json.dumps({**GIVEN, **dict(given)}))

    def start(self, *ours, host=0, hosts=("algo-1",)):
        own = self.root / f"host-{host}"
        own.mkdir(exist_ok=True)
        (own / "resourceconfig.json").write_text(json.dumps({"hosts": list(hosts), "current_host": hosts[host]}))
        words = {
            "tiles": self.workspace.tiles,
            "shards": self.workspace.shards,
            "dataset": self.workspace.development,
            "pretrained": self.root / "pretrained",
            "hyperparameters": self.root / "hyperparameters.json",
            "hosts": own / "resourceconfig.json",
            "checkpoints": own / "checkpoints",
            "model": own / "model",
            "message": own / "failure",
        }
        flags = [str(word) for name, value in words.items() for word in (f"--{name}", value)]
        environment = {**os.environ, "TILEGATE_SOURCES": str(HERE.parents[2]), "SM_NUM_CPUS": "1"}
        command = [sys.executable, str(HERE.parent / "trainee.py"), *ours, "--", "train", *flags]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *ours):
        process = self.start(*ours)
        out, err = process.communicate(timeout=240)
        return process.returncode, out, err

    def checkpoint(self):
        (found,) = (self.root / "host-0" / "checkpoints").glob("*/checkpoint.npz")
        return found

    def weights(self):
        from steps.network.backbone import load_model

        return load_model(self.root / "host-0" / "model" / "model.keras").get_weights()

    def history(self):
        return json.loads((self.root / "host-0" / "model" / "history.json").read_text())


def metrics(out):
    return [line for line in out.splitlines() if line.startswith("phase=")]


@pytest.fixture(scope="module")
def whole(workspace, tmp_path_factory):
    """A training that nobody interrupts."""
    job = Job(workspace, tmp_path_factory.mktemp("whole"))
    code, out, err = job.run()
    assert code == 0, err
    return job, out


def assert_same(job, whole, **tolerance):
    for ours, theirs in zip(job.weights(), whole.weights(), strict=True):
        assert ours == pytest.approx(theirs, **tolerance)
    assert [(row["phase"], row["epoch"]) for row in job.history()] == [
        (row["phase"], row["epoch"]) for row in whole.history()
    ]


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_killed_training_goes_on_after_its_last_whole_epoch(workspace, whole, tmp_path, epoch):
    """Killed when it tells an epoch, before that epoch's checkpoint; in epoch 1 that leaves the head's."""
    uninterrupted, told = whole
    job = Job(workspace, tmp_path)
    code, _, _ = job.run(f"kill={epoch}")
    assert code == -signal.SIGKILL
    code, out, err = job.run()
    assert code == 0, err
    assert f"Going on after epoch {epoch - 1}, from a checkpoint" in out
    assert_same(job, uninterrupted, rel=1e-5, abs=1e-6)
    assert len(metrics(out)) == len(metrics(told)) == 4


def test_sigterm_ends_training_at_once_with_a_sentence_and_another_start_goes_on(workspace, whole, tmp_path):
    job = Job(workspace, tmp_path)
    code, out, err = job.run("term=2")
    assert code == EXIT_STOPPED
    assert "stopped on request (SIGTERM)" in (tmp_path / "host-0" / "failure").read_text()
    assert "Traceback" not in err
    assert len(metrics(out)) == 2
    assert not (tmp_path / "host-0" / "model").exists()
    assert job.run()[0] == 0
    assert_same(job, whole[0], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("damage", ["cut short", "a flipped bit", "not an archive"])
def test_a_damaged_checkpoint_is_told_and_training_begins_again(workspace, whole, tmp_path, damage):
    job = Job(workspace, tmp_path)
    job.run("kill=3")
    data = bytearray(job.checkpoint().read_bytes())
    if damage == "a flipped bit":
        data[len(data) // 2] ^= 1
    job.checkpoint().write_bytes({"cut short": data[: len(data) // 2], "not an archive": b"x"}.get(damage, data))
    code, out, err = job.run()
    assert code == 0, err
    assert "The checkpoint is not whole" in out
    assert "starting from the beginning" in out
    assert_same(job, whole[0], rel=1e-5, abs=1e-6)


def test_the_checkpoint_of_other_settings_is_not_gone_on_from(workspace, tmp_path):
    job = Job(workspace, tmp_path)
    job.run("kill=3")
    (tmp_path / "hyperparameters.json").write_text(json.dumps({**GIVEN, "weight-decay": "0.5"}))
    code, out, _ = job.run()
    assert code == 0
    assert "The checkpoints here are of other trainings" in out
    assert len(metrics(out)) == 4


def addresses(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    names = sorted(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    for one in sockets:
        one.close()
    return names


def ends(processes):
    return [(p.returncode, out, err) for p, (out, err) in [(p, p.communicate(timeout=240)) for p in processes]]


@pytest.mark.parametrize(
    ("given", "pretrained"),
    [({}, True), ({"loss": "ranking"}, True), ({"batch-size": "5"}, False)],
    ids=["pretrained", "ranking", "random weights"],
)
def test_two_hosts_train_the_same_model_as_one(workspace, tmp_path, given, pretrained):
    """22 screenshots: the hosts' shares differ in size, and of the last one of four batches of seven one has none.

    From random weights the statistics of batches are learned as well.
    """
    alone = Job(workspace, tmp_path / "alone", given, pretrained=pretrained)
    code, told, err = alone.run()
    assert code == 0, err
    shared, hosts = Job(workspace, tmp_path / "shared", given, pretrained=pretrained), addresses(2)
    first, second = ends([shared.start(host=n, hosts=hosts) for n in range(2)])
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert "on 2 replicas" in first[1]
    assert_same(shared, alone, rel=2e-3, abs=2e-4)
    assert not metrics(second[1])
    assert not (tmp_path / "shared" / "host-1" / "model").exists()
    assert not (tmp_path / "shared" / "host-1" / "checkpoints").exists()
    numbers = [re.findall(r"=([-0-9.]+);", " ".join(metrics(out))) for out in (first[1], told)]
    assert np.array(numbers[0], float) == pytest.approx(np.array(numbers[1], float), rel=5e-3, abs=5e-3)


def test_two_hosts_go_on_from_the_chiefs_checkpoint(workspace, whole, tmp_path):
    job, hosts = Job(workspace, tmp_path), addresses(2)
    ends([job.start("kill=3", host=n, hosts=hosts) for n in range(2)])
    hosts = addresses(2)
    first, second = ends([job.start(host=n, hosts=hosts) for n in range(2)])
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert "Going on after epoch 2" in first[1]
    assert_same(job, whole[0], rel=2e-3, abs=2e-4)


def test_a_host_that_dies_ends_the_others_with_a_sentence(workspace, tmp_path):
    job, hosts = Job(workspace, tmp_path, {"fine-tune-epochs": "200", "patience": "200"}), addresses(2)
    chief, other = (job.start(host=n, hosts=hosts) for n in range(2))
    while line := chief.stdout.readline():
        if line.startswith("phase=fine-tune; epoch=1;"):
            break
    other.kill()
    other.communicate()
    _, err = chief.communicate(timeout=240)
    assert chief.returncode == 1, err
    assert "another host of this training ended" in (tmp_path / "host-0" / "failure").read_text()


def test_two_devices_of_one_host_train_the_same_model_as_one(workspace, whole, tmp_path):
    job = Job(workspace, tmp_path)
    code, out, err = job.run("devices=2")
    assert code == 0, err
    assert "on 2 replicas" in out
    assert_same(job, whole[0], rel=2e-3, abs=2e-4)
