"""The model and the steps around it, with real TensorFlow: same weights, aligned labels, same scores as TFLite."""

import json

import numpy as np
import pytest

from steps.core.archive import pack, unpacked
from steps.core.errors import UserError
from steps.core.hyperparameters import Hyperparameters
from steps.core.splits import DEVELOPMENT, Split
from steps.runtime import start_tensorflow
from tests.steps.conftest import TILE_SIZE

start_tensorflow()

import tf_keras as keras  # noqa: E402

from steps.model import build_model, load_model  # noqa: E402
from steps.tflite import LiteModel, convert  # noqa: E402
from steps.tiles import TileSource, score_tiles  # noqa: E402
from steps.train import main as train_main  # noqa: E402
from steps.training import training_batches  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def source(workspace):
    return TileSource(workspace.tiles, workspace.development, DEVELOPMENT)


def numbers(rows):
    return rows["uri"].str.extract(r"/(\d+)\.png")[0].astype(int).to_numpy()


@pytest.mark.parametrize("backbone", ["small", "large-minimalistic"])
def test_the_backbone_is_kerass_own_with_kerass_weights(backbone, tmp_path):
    stock_class = keras.applications.MobileNetV3Small if backbone == "small" else keras.applications.MobileNetV3Large
    stock = stock_class(
        input_shape=(64, 64, 3), weights=None, include_top=False, pooling="avg", minimalistic=backbone != "small"
    )
    rng = np.random.default_rng(1)
    weights = [
        rng.uniform(0.5, 1.5, w.shape) if "variance" in w.name else rng.normal(0, 0.1, w.shape) for w in stock.weights
    ]
    stock.set_weights(weights)
    stock.save_weights(tmp_path / "stock.weights.h5")
    ours = build_model(backbone, 64, pretrained=tmp_path / "stock.weights.h5")
    features = keras.Model(ours.input, ours.get_layer("pool").output)
    tiles = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    expected = stock(tiles).numpy()
    assert np.abs(features(tiles).numpy() - expected).max() <= 1e-4 * np.abs(expected).max()


def test_weights_of_another_backbone_are_refused(tmp_path):
    stock = keras.applications.MobileNetV3Small(input_shape=(32, 32, 3), weights=None, include_top=False)
    stock.save_weights(tmp_path / "small.weights.h5")
    with pytest.raises(UserError, match="holds no weights of MobileNetV3 large-minimalistic"):
        build_model("large-minimalistic", 32, pretrained=tmp_path / "small.weights.h5")
    (tmp_path / "broken.weights.h5").write_bytes(b"nothing")
    with pytest.raises(UserError, match="holds no weights"):
        build_model("small", 32, pretrained=tmp_path / "broken.weights.h5")
    with pytest.raises(UserError, match="one of small, large"):
        build_model("huge", 32)


def test_pixels_come_in_the_order_of_their_rows(source):
    for split in DEVELOPMENT:
        rows = source.rows(split)
        pixels = source.pixels(rows).astype(float)
        assert np.abs(pixels[..., 0].mean((1, 2)) - numbers(rows)).max() < 4
        assert np.abs(pixels[..., 1].mean((1, 2)) - 50 * rows["index"]).max() < 4


def test_training_batches_hold_every_tile_once_with_its_own_label_and_weight(source):
    rows = source.rows(Split.TRAIN)
    settings = Hyperparameters(batch_size=7, positive_weight=3.0)
    seen, reds = 0, []
    for pixels, labels, weights in training_batches(source, rows, settings):
        blue = pixels.numpy()[..., 2].mean((1, 2)) > 100
        assert (labels.numpy()[:, 0] == blue).all()
        assert (weights.numpy() == np.where(blue, 3.0, 1.0)).all()
        reds += pixels.numpy()[..., 0].mean((1, 2)).round().tolist()
        seen += len(blue)
    assert seen == len(rows)
    assert reds != sorted(reds)


def test_a_split_that_is_not_in_the_table_cannot_be_read(workspace):
    with pytest.raises(UserError, match="no tile belongs"):
        TileSource(workspace.tiles, workspace.development, [Split.TEST])


@pytest.fixture(scope="module")
def trained(workspace, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    given = {"head-epochs": "1", "fine-tune-epochs": "2", "fine-tune-learning-rate": "0.003", "patience": "5"}
    (folder / "hyperparameters.json").write_text(json.dumps(given))
    words = ["--tiles", workspace.tiles, "--dataset", workspace.development, "--pretrained", folder / "none"]
    words += ["--hyperparameters", folder / "hyperparameters.json", "--model", folder / "model"]
    assert train_main(["train", *map(str, words), "--message", str(folder / "failure")]) == 0
    return folder / "model"


def test_training_keeps_its_best_epoch_and_says_how_it_came_about(trained, source):
    history = json.loads((trained / "history.json").read_text())
    assert [(row["phase"], row["epoch"]) for row in history] == [("head", 1), ("fine-tune", 1), ("fine-tune", 2)]
    told = json.loads((trained / "training.json").read_text())
    best = max(history, key=lambda row: (row["validation:tpr_at_fpr"], row["validation:auc"]))
    assert told["best"] == best
    assert told["hyperparameters"]["fine-tune-learning-rate"] == 0.003
    assert told["pretrained"] is None
    rows = source.rows(Split.VALIDATION)
    scores = score_tiles(load_model(trained / "model.keras"), source, rows)
    assert np.isfinite(scores).all()
    loss = -np.mean(np.log(np.where(rows["label"] == 1, scores, 1 - scores).clip(1e-7)))
    assert np.isfinite(loss)


def test_an_unknown_hyperparameter_ends_training_with_a_sentence(tmp_path, capsys):
    (tmp_path / "h.json").write_text('{"learning-rat": "1"}')
    words = ["--hyperparameters", tmp_path / "h.json", "--message", tmp_path / "failure", "--model", tmp_path / "model"]
    assert train_main([*map(str, words)]) == 1
    assert "unknown hyperparameter 'learning-rat'" in capsys.readouterr().err
    assert "learning-rat" in (tmp_path / "failure").read_text()
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(("quantization", "tolerance"), [("float32", 1e-4), ("float16", 5e-3)])
def test_the_phones_runtime_scores_like_keras(trained, source, tmp_path, quantization, tolerance):
    model = load_model(trained / "model.keras")
    (tmp_path / "model.tflite").write_bytes(convert(model, quantization))
    rows = source.rows(Split.VALIDATION)
    lite = LiteModel(tmp_path / "model.tflite", 1).score_tiles(source, rows)
    assert np.abs(lite - score_tiles(model, source, rows)).max() < tolerance


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"model\.tflite does not run"):
        LiteModel(tmp_path / "model.tflite", 1)
    (tmp_path / "model.keras").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"model\.keras is not a readable"):
        load_model(tmp_path / "model.keras")
    with pytest.raises(UserError, match="one of float32"):
        convert(build_model("small", TILE_SIZE), "int3")


def test_an_archive_is_the_same_bytes_every_time_and_never_unpacks_outside(trained, tmp_path):
    for name in ("one", "two"):
        pack(trained, tmp_path / name / "model.tar.gz")
    assert (tmp_path / "one" / "model.tar.gz").read_bytes() == (tmp_path / "two" / "model.tar.gz").read_bytes()
    with unpacked(tmp_path / "one") as folder:
        assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in trained.iterdir())
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.tar.gz").write_bytes(b"nothing")
    with pytest.raises(UserError, match="not a readable model archive"), unpacked(tmp_path / "bad"):
        pass
