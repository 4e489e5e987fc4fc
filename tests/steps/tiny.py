"""Tile models small enough to train and convert in a test, and the archives and programs around them."""

import json

import numpy as np
from steps.network.reducer import Reducer

from steps.core.common.files import write_json
from steps.core.tiles.spec import PreprocessingSpec
from steps.network.archive import pack
from tests.steps.conftest import TILE_SIZE

REDUCER = Reducer("mean", scale=0.7, offset=0.1)
SPEC = PreprocessingSpec(tile_size=TILE_SIZE)
# Limits that sixty screenshots can prove.
EASY = ("--max-fpr", "0.9", "--min-tpr", "0.001")


def tiny(columns=2, *, filters=8, zeros=False):
    """Untrained: one convolution with batch normalisation, named as MobileNetV3's last one, and a head."""
    import tf_keras as keras

    from steps.network.backbone import EVIDENCE, FEATURES

    layers = keras.layers
    inputs = layers.Input((TILE_SIZE, TILE_SIZE, 3), name="tile")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(inputs)
    x = layers.Conv2D(filters, 3, strides=2, use_bias=False, name="Conv_1")(x)
    x = layers.BatchNormalization(momentum=0.5, name="Conv_1/BatchNorm")(x)
    x = layers.ReLU(name="Conv_1/act")(x)
    x = layers.GlobalAveragePooling2D(name=FEATURES)(x)
    start = "zeros" if zeros else "glorot_uniform"
    return keras.Model(inputs, layers.Dense(columns, kernel_initializer=start, name=EVIDENCE)(x), name="tiny")


def seeing(colours=(0.001, 0.0, 0.02), bias=-2.0):
    """A model that sees blue, which is what makes the workspace's screenshots positive.

    Red is a screenshot's number: a trace of it keeps the scores of a class apart.
    """
    import tf_keras as keras

    inputs = keras.layers.Input((TILE_SIZE, TILE_SIZE, 3), name="tile")
    seen = keras.layers.GlobalAveragePooling2D(name="pool")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(REDUCER.columns, name="evidence")(seen))
    kernel = np.repeat(np.array(colours, np.float32)[:, None], REDUCER.columns, 1)
    model.set_weights([kernel, np.full(REDUCER.columns, bias, np.float32)])
    return model


def write_trained(folder, model, spec=SPEC):
    """Write what TrainModel's archive holds, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.keras")
    REDUCER.write(folder)
    spec.write(folder)
    write_json(folder / "training.json", {"hyperparameters": {"backbone": "none"}})
    write_json(folder / "history.json", [])
    return folder


class Judged:
    """EvaluateModel and ConvertToTFLite run on a trained model as the pipeline runs them."""

    def __init__(self, workspace, trained, root):
        self.root = root
        self.replace(trained)
        self.evaluation, self.bundle, self.ledger = root / "evaluation", root / "bundle", root / "new-ledger"
        (root / "champion").mkdir()
        write_json(root / "champion" / "champion.json", {"champion": None})
        (root / "ledger").mkdir()
        write_json(root / "ledger" / "ledger.json", [])
        self._shared = ["--model", root / "model", "--tiles", workspace.tiles, "--shards", workspace.shards]
        self._shared += ["--dataset", workspace.dataset, "--champion", root / "champion", "--ledger", root / "ledger"]
        self._shared += ["--new-ledger", self.ledger, "--message", root / "message"]

    def replace(self, trained):
        pack(trained, self.root / "model" / "model.tar.gz")

    def evaluate(self, *words):
        from steps.evaluate.__main__ import main

        return main([*map(str, [*self._shared, "--output", self.evaluation, *words])])

    def convert(self, *words):
        from steps.convert.__main__ import main

        places = ["--evaluation", self.evaluation, "--output", self.bundle]
        return main([*map(str, [*self._shared, *places, *words])])

    def verdict(self):
        return json.loads((self.evaluation / "evaluation.json").read_text())["gate"]

    def looks(self):
        """The entries that were made: one file each."""
        return [json.loads(path.read_text()) for path in sorted(self.ledger.glob("*.json"))]
