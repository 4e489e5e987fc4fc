"""How shards are read: each opened once a pass and never listed, for a folder may fetch from S3 what is read."""

import ctypes
import os
import struct
import sys
from collections import Counter

import numpy as np
import pytest

from steps.core.dataset.splits import DEVELOPMENT, Split
from steps.core.tiles import store
from steps.network.runtime import start_tensorflow

start_tensorflow()

from steps.network.backbone import build_model  # noqa: E402
from steps.network.head import Head  # noqa: E402
from steps.network.tile_input import TileSource, describer, logits_of  # noqa: E402
from steps.train.hyperparameters import Hyperparameters  # noqa: E402
from steps.train.phase2 import training_batches  # noqa: E402
from tests.steps.conftest import TILE_SIZE  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")]

_OPEN, _IS_DIR, _NONBLOCK = 0x20, 0x40000000, 0o4000
_EVENT = struct.Struct("iIII")


class Watch:
    """Tells which files of a folder were opened, and whether the folder itself was."""

    def __init__(self, folder):
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(_NONBLOCK)
        assert libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _OPEN) >= 0

    def opened(self):
        names = Counter()
        try:
            data = os.read(self._descriptor, 1 << 20)
        except BlockingIOError:
            return names
        while data:
            _, mask, _, length = _EVENT.unpack_from(data)
            name = data[_EVENT.size : _EVENT.size + length].rstrip(b"\0").decode()
            names["the folder" if mask & _IS_DIR else name] += 1
            data = data[_EVENT.size + length :]
        return names

    def close(self):
        os.close(self._descriptor)


@pytest.fixture
def read(workspace, tmp_path, monkeypatch):
    """Sixty screenshots in shards of seven, and a watch on them."""
    monkeypatch.setattr(store, "_SCREENSHOTS_PER_SHARD", 7)
    assert workspace.preprocess(tmp_path / "tiles", tmp_path / "shards") == 0
    source = TileSource(tmp_path / "tiles", tmp_path / "shards", workspace.development, DEVELOPMENT)
    (folder,) = {path.parent for path in (tmp_path / "shards").rglob("*.tfrecord")}
    watch = Watch(folder)
    yield source, watch
    watch.close()


def shards(rows):
    return Counter({name.rpartition("/")[2]: 1 for name in rows["shard"]})


def test_an_epoch_opens_each_shard_once(read):
    source, watch = read
    rows = source.rows(Split.TRAIN)
    assert len(shards(rows)) > 5
    batches = training_batches(source, rows, np.ones(rows["id"].nunique()), Hyperparameters())
    for _ in range(2):
        for _ in batches:
            pass
        assert watch.opened() == shards(rows)


def test_judging_opens_the_shards_of_its_split_once(read):
    source, watch = read
    rows = source.rows(Split.VALIDATION)
    model = build_model("small-minimalistic", TILE_SIZE)
    logits_of(Head.of(np.zeros(3 * model.output_shape[-1]), 0.0), describer(model), source, rows)
    assert watch.opened() == shards(rows)
