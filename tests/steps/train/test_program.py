"""TrainModel and its trials: phase 1, a phase 2 that has to prove itself, interruptions, several hosts."""

import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from steps.core.dataset.splits import DEVELOPMENT
from steps.core.dataset.tables import join_tiles, read_dataset, read_tiles
from steps.core.gate.paired import Gain
from steps.core.tiles.features import write_shard_features
from steps.network.head import Head
from steps.network.runtime import start_tensorflow
from steps.train import step
from tests.steps.conftest import TILE_SIZE
from tests.steps.own_weights import write_pretrained

start_tensorflow()

from steps.index.describe import FrozenBackbone  # noqa: E402
from steps.network.backbone import build_model, load_weights  # noqa: E402
from steps.train.__main__ import main as train_main  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::UserWarning")]
HERE = Path(__file__).parent
BACKBONE = "small-minimalistic"
GIVEN = {"backbone": BACKBONE, "batch-size": "8", "augment": "0"}
TUNED = {**GIVEN, "fine-tune-blocks": "2", "fine-tune-epochs": "3", "fine-tune-learning-rate": "0.001"}


@pytest.fixture(scope="module")
def described(workspace, tmp_path_factory):
    """The weights of a backbone, and what it says of the workspace's tiles."""
    root = tmp_path_factory.mktemp("described")
    path = write_pretrained(root / "pretrained" / "own.weights.h5", BACKBONE, TILE_SIZE)
    backbone = FrozenBackbone(BACKBONE, TILE_SIZE, path)
    for shard in read_tiles(workspace.tiles)["shard"].unique():
        values = np.concatenate(list(backbone.batches(workspace.shards / shard)))
        write_shard_features(root / "features", shard, values)
    return root


class Job:
    """One training job: its folders, and the words of its program for each of its hosts."""

    def __init__(self, workspace, described, root, given):
        self.workspace, self.described, self.root = workspace, described, root
        root.mkdir(exist_ok=True)
        (root / "hyperparameters.json").write_text(json.dumps(given))

    def words(self, host=0, hosts=("algo-1",)):
        own = self.root / f"host-{host}"
        own.mkdir(exist_ok=True)
        (own / "resourceconfig.json").write_text(json.dumps({"hosts": list(hosts), "current_host": hosts[host]}))
        words = {
            "tiles": self.workspace.tiles,
            "shards": self.workspace.shards,
            "dataset": self.workspace.development,
            "features": self.described / "features",
            "pretrained": self.described / "pretrained",
            "hyperparameters": self.root / "hyperparameters.json",
            "hosts": own / "resourceconfig.json",
            "checkpoints": own / "checkpoints",
            "model": own / "model",
            "message": own / "failure",
        }
        return ["train", *(str(word) for name, value in words.items() for word in (f"--{name}", value))]

    def run(self):
        return train_main(self.words())

    def start(self, *ours, host=0, hosts=("algo-1",)):
        environment = {**os.environ, "TILEGATE_SOURCES": str(HERE.parents[2]), "SM_NUM_CPUS": "1"}
        command = [sys.executable, str(HERE.parent / "trainee.py"), *ours, "--", *self.words(host, hosts)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @property
    def model(self):
        return self.root / "host-0" / "model"

    def told(self):
        return json.loads((self.model / "training.json").read_text())

    def weights(self):
        return load_weights(build_model(BACKBONE, TILE_SIZE), self.model / "backbone.npz").get_weights()


@pytest.fixture
def job(workspace, described, tmp_path):
    return lambda **given: Job(workspace, described, tmp_path / "job", given)


def stock(described):
    return build_model(BACKBONE, TILE_SIZE, pretrained=described / "pretrained" / "own.weights.h5")


def test_phase_1_leaves_the_backbone_and_tells_the_classes_apart(workspace, described, job, capsys):
    one = job(**GIVEN)
    assert one.run() == 0
    assert all((a == b).all() for a, b in zip(one.weights(), stock(described).get_weights(), strict=True))
    rows = join_tiles(read_tiles(workspace.tiles), read_dataset(workspace.development), DEVELOPMENT)
    features = np.concatenate([np.load(path) for path in sorted((described / "features").rglob("*.npy"))])[
        rows["record"]
    ]
    codes = np.unique(rows["id"], return_inverse=True)[1]
    logits = Head.read(one.model).logits(features.astype(np.float32), rows["index"].to_numpy(), codes)
    labels = rows.drop_duplicates("id")["label"].to_numpy()
    assert logits[labels == 1].min() > logits[labels == 0].max()
    told = one.told()
    assert (told["fine_tuned"], told["gain"], told["tiles"]) == (False, None, len(rows))
    (line,) = re.findall(r"^phase=head;.*", capsys.readouterr().out, re.MULTILINE)
    assert f"validation:objective={told['best']['validation:pauc']:.6f};" in line


def test_a_trial_of_phase_1_alone_starts_no_network_and_writes_nothing(job, monkeypatch, capsys):
    monkeypatch.setattr("steps.train.__main__.start_tensorflow", lambda: pytest.fail("it was started"))
    one = job(**GIVEN, refit="0")
    assert one.run() == 0
    assert "validation:objective=" in capsys.readouterr().out
    assert not one.model.exists()


def test_a_phase_2_that_is_not_proven_is_not_kept(described, job, monkeypatch, capsys):
    monkeypatch.setattr(step, "paired_gain", lambda *_: Gain(0.02, 0.03, -0.01, 0.05))
    one = job(**TUNED)
    assert one.run() == 0
    told = one.told()
    assert not told["fine_tuned"]
    assert "2 blocks is not proven to help: partial AUC +0.020" in told["note"]
    assert all((a == b).all() for a, b in zip(one.weights(), stock(described).get_weights(), strict=True))
    out = capsys.readouterr().out
    assert "phase=fine-tune; epoch=1;" in out
    # The last value of a metric is what counts: that of phase 1, which is kept.
    assert re.findall(r"validation:objective=([\d.]+);", out)[-1] == f"{told['best']['validation:pauc']:.6f}"


def test_a_trial_pays_a_standard_error_for_phase_2(job, monkeypatch, capsys):
    monkeypatch.setattr(step, "paired_gain", lambda *_: Gain(0.02, 0.03, -0.01, 0.05))
    assert job(**TUNED, refit="0").run() == 0
    first, last = re.findall(r"validation:objective=([\d.]+);", capsys.readouterr().out)
    assert float(last) == pytest.approx(float(first) - 0.01, abs=1e-5)


IN_MOVED_FROM, IN_DELETE, IN_CREATE_FOLDER = 0x40, 0x200, 0x40000100


@contextlib.contextmanager
def in_s3(folder):
    """Refuse what SageMaker does not take in the folder that it keeps in S3: deleting and renaming delete there.

    The kernel's log tells, as far as it has one.
    """
    folder.mkdir(parents=True)
    if sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    log = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(log, os.fsencode(folder), 0xFFF) > 0
    yield
    told, seen = os.read(log, 1 << 20), []
    os.close(log)
    while told:
        _, mask, _, length = struct.unpack_from("iIII", told)
        seen.append(mask)
        told = told[16 + length :]
    assert not [mask for mask in seen if mask & (IN_MOVED_FROM | IN_DELETE) or mask == IN_CREATE_FOLDER]


def test_a_proven_phase_2_is_fitted_again_on_everything_and_leaves_the_rest(described, job, monkeypatch):
    monkeypatch.setattr(step, "paired_gain", lambda *_: Gain(0.2, 0.03, 0.1, 0.3))
    one = job(**TUNED)
    folder = one.root / "host-0" / "checkpoints"
    with in_s3(folder):
        assert one.run() == 0
    (kept,) = folder.iterdir()
    names = zipfile.ZipFile(kept).namelist()
    assert {"held-out.json", "held-out/chief/checkpoint", "all/chief/checkpoint"} <= set(names)
    told, before = one.told(), stock(described)
    assert told["fine_tuned"]
    assert told["best"]["phase"] == "fine-tune"
    names = [w.name for w, new in zip(before.weights, one.weights(), strict=True) if (w.numpy() != new).any()]
    assert {name.partition("/")[0] for name in names} == {"expanded_conv_10", "Conv_1"}
    assert not [name for name in names if "BatchNorm" in name]


def test_features_of_another_backbone_are_named(workspace, described, job):
    one = job(**{**GIVEN, "backbone": "small-minimalistic"})
    one.described = type(described)(one.root)
    (one.root / "pretrained").symlink_to(described / "pretrained")
    for path in (described / "features").rglob("*.npy"):
        shard = str(path.relative_to(described / "features").with_suffix(".tfrecord"))
        write_shard_features(one.root / "features", shard, np.load(path)[:, :50])
    assert one.run() == 1
    assert "the features are 50 a tile" in (one.root / "host-0" / "failure").read_text()


def test_more_blocks_than_there_are_end_in_a_sentence(job):
    one = job(**{**TUNED, "fine-tune-blocks": "14"})
    assert one.run() == 1
    assert "fine-tune-blocks 14: small-minimalistic has 13" in (one.root / "host-0" / "failure").read_text()


def told(out):
    return [line for line in out.splitlines() if line.startswith("phase=fine-tune")]


def epochs(out):
    return re.findall(r"^phase=fine-tune; epoch=(\d)", out, re.MULTILINE)


def test_a_killed_training_goes_on_after_its_last_whole_epoch(job):
    one = job(**TUNED, refit="0")
    process = one.start("kill=2")
    first, err = process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL, err
    assert epochs(first) == ["1", "2"]
    process = one.start()
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "Going on after epoch 2" in out
    # What is done is told again, in the same words, so that the job's curves are whole.
    assert epochs(out)[:2] == ["1", "2"]
    assert set(told(first)) <= set(told(out))


def test_a_damaged_checkpoint_is_told_and_training_begins_again(job, capsys):
    one = job(**TUNED, refit="0")
    assert one.run() == 0
    told = epochs(capsys.readouterr().out)
    (kept,) = (one.root / "host-0" / "checkpoints").iterdir()
    kept.write_bytes(kept.read_bytes()[:-9])
    assert one.run() == 0
    out = capsys.readouterr().out
    assert "starting from the beginning" in out
    assert epochs(out) == told


def addresses(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    names = sorted(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    for one in sockets:
        one.close()
    return names


def test_two_hosts_train_one_model_and_the_first_writes_it(job):
    one, hosts = job(**TUNED), addresses(2)
    processes = [one.start(host=n, hosts=hosts) for n in range(2)]
    ends = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends[0][1] + ends[1][1]
    assert one.told()["gain"] is not None
    assert not (one.root / "host-1" / "model").exists()
    assert epochs(ends[0][0]) == epochs(ends[1][0])


def test_a_host_that_dies_ends_the_others_with_a_sentence(job):
    one, hosts = job(**{**TUNED, "fine-tune-epochs": "3"}), addresses(2)
    chief, other = one.start(host=0, hosts=hosts), one.start("kill=1", host=1, hosts=hosts)
    other.communicate(timeout=240)
    _, err = chief.communicate(timeout=240)
    assert chief.returncode == 1, err
    assert "another host of this training ended" in (one.root / "host-0" / "failure").read_text()
