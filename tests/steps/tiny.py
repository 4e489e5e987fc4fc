"""Tile models small enough for a test, and the archives and programs around them."""

import json

import numpy as np

from steps.core.common.files import write_json
from steps.core.tiles.spec import PreprocessingSpec
from steps.network.archive import MODEL_FILE, pack
from steps.network.head import Head
from tests.steps.conftest import TILE_SIZE

BACKBONE = "small-minimalistic"
SPEC = PreprocessingSpec(tile_size=TILE_SIZE)
# Blue is what makes the workspace's screenshots positive; red is a screenshot's number, and keeps scores apart.
COLOURS = np.array([0.001, 0.0, 0.02])
BLUE = Head(overview=COLOURS / 2, mean=COLOURS / 4, maximum=COLOURS / 4, bias=-2.5)
# Limits that sixty screenshots can prove.
EASY = ("--max-fpr", "0.9", "--min-tpr", "0.001")


def seeing(_backbone=BACKBONE, size=TILE_SIZE, *, scale=1.0):
    """A tile model without weights, in place of `build_model`: its features are the mean red, green and blue."""
    import tf_keras as keras

    from steps.network.backbone import FEATURES, LAST_MAP

    inputs = keras.layers.Input((size, size, 3), name="tile")
    shown = keras.layers.Rescaling(scale, name=LAST_MAP)(inputs)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name=FEATURES)(shown))


def fitted(model, tiles):
    """Give an untrained model the statistics of tiles, float32 [n, size, size, 3]: else it maps all to next to 0."""
    import tf_keras as keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(tiles, training=True)
    return model


def write_trained(folder, model, head=BLUE, spec=SPEC):
    """Write what TrainModel's archive holds, and return its folder."""
    from steps.network.backbone import save_weights

    save_weights(model, folder / MODEL_FILE)
    head.write(folder)
    spec.write(folder)
    write_json(folder / "training.json", {"hyperparameters": {"backbone": BACKBONE}})
    write_json(folder / "history.json", [])
    return folder


def write_learned(folder, workspace):
    """Write the archive of a real backbone of random weights, with the head that phase 1 finds on it."""
    import tf_keras as keras

    from steps.core.dataset.splits import DEVELOPMENT
    from steps.network.backbone import build_model
    from steps.network.tile_input import TileSource, describer
    from steps.train.hyperparameters import Hyperparameters
    from steps.train.step import examples_of, learn

    source = TileSource(workspace.tiles, workspace.shards, workspace.dataset, DEVELOPMENT)
    tiles = np.concatenate([pixels.numpy() for _, pixels in source.batches(source.frame, 64)])
    keras.utils.set_random_seed(7)
    model = fitted(build_model(BACKBONE, TILE_SIZE), tiles.astype(np.float32))
    examples = examples_of(source.frame, describer(model)(source, source.frame))
    head = learn(examples, Hyperparameters()).head
    write_trained(folder, model, head)
    return folder


class Judged:
    """EvaluateModel and ConvertToTFLite run on a trained model as the pipeline runs them."""

    def __init__(self, workspace, trained, root):
        self.root, self._features = root, workspace.features
        self.replace(trained)
        self.evaluation, self.bundle, self.ledger = root / "evaluation", root / "bundle", root / "new-ledger"
        write_json(root / "champion" / "champion.json", {"champion": None})
        write_json(root / "ledger" / "ledger.json", [])
        self._shared = ["--model", root / "model", "--tiles", workspace.tiles, "--shards", workspace.shards]
        self._shared += ["--dataset", workspace.dataset, "--champion", root / "champion", "--ledger", root / "ledger"]
        self._shared += ["--new-ledger", self.ledger, "--message", root / "message"]

    def replace(self, trained):
        pack(trained, self.root / "model" / "model.tar.gz")

    def evaluate(self, *words):
        from steps.evaluate.__main__ import main

        places = ["--features", self._features, "--output", self.evaluation]
        return main([*map(str, [*self._shared, *places, *words])])

    def convert(self, *words):
        from steps.convert.__main__ import main

        places = ["--evaluation", self.evaluation, "--output", self.bundle]
        return main([*map(str, [*self._shared, *places, *words])])

    def verdict(self):
        return json.loads((self.evaluation / "evaluation.json").read_text())["gate"]

    def looks(self):
        """The entries that were made: one file each."""
        return [json.loads(path.read_text()) for path in sorted(self.ledger.glob("*.json"))]
