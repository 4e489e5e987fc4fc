"""The model and the steps around it, with real TensorFlow: same weights, aligned labels, same scores as TFLite."""

import io
import json
import shutil
import tarfile

import numpy as np
import pandas as pd
import pytest

from steps.core.archive import pack, unpacked
from steps.core.errors import UserError
from steps.core.files import sha256_file
from steps.core.hyperparameters import Hyperparameters
from steps.core.scores import screenshot_scores
from steps.core.spec import PreprocessingSpec
from steps.core.splits import DEVELOPMENT, Split
from steps.runtime import start_tensorflow
from tests.steps.conftest import TILE_SIZE

start_tensorflow()

import tf_keras as keras  # noqa: E402

from steps.convert import main as convert_main  # noqa: E402
from steps.evaluate import main as evaluate_main  # noqa: E402
from steps.model import build_model, load_model  # noqa: E402
from steps.tflite import LiteModel, convert  # noqa: E402
from steps.tiles import TileSource, score_tiles  # noqa: E402
from steps.train import main as train_main  # noqa: E402
from steps.training import train, training_batches  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def source(workspace):
    return TileSource(workspace.tiles, workspace.shards, workspace.development, DEVELOPMENT)


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


def test_pixels_come_with_the_position_of_their_row(source):
    for split in DEVELOPMENT:
        rows = source.rows(split)
        seen = []
        for at, pixels in source.batches(rows, 5).as_numpy_iterator():
            means = pixels.astype(float).mean((1, 2))
            assert np.abs(means[:, 0] - numbers(rows)[at]).max() < 4
            assert np.abs(means[:, 1] - 50 * rows["index"].to_numpy()[at]).max() < 4
            seen += at.tolist()
        assert sorted(seen) == list(range(len(rows)))


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
        TileSource(workspace.tiles, workspace.shards, workspace.development, [Split.TEST])


@pytest.fixture(scope="module")
def trained(workspace, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    given = {"head-epochs": "1", "fine-tune-epochs": "2", "fine-tune-learning-rate": "0.003", "patience": "5"}
    (folder / "hyperparameters.json").write_text(json.dumps(given))
    (folder / "initialisation.json").write_text("{}")
    words = [
        "--tiles",
        workspace.tiles,
        "--shards",
        workspace.shards,
        "--dataset",
        workspace.development,
        "--pretrained",
        folder,
    ]
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
    scored = screenshot_scores(rows, score_tiles(load_model(trained / "model.keras"), source, rows))
    right = np.where(scored["label"] == 1, scored["score"], 1 - scored["score"]).clip(1e-7)
    assert -np.mean(np.log(right)) == pytest.approx(best["validation:loss"], abs=1e-5)
    # Otherwise the last epoch's weights would do as well, and this test would prove nothing.
    assert best["validation:loss"] != pytest.approx(history[-1]["validation:loss"], abs=2e-5)


def test_a_channel_that_neither_has_weights_nor_says_so_is_a_mistake(tmp_path, capsys):
    (tmp_path / "h.json").write_text("{}")
    words = ["--hyperparameters", tmp_path / "h.json", "--message", tmp_path / "failure", "--pretrained", tmp_path]
    assert train_main([*map(str, words)]) == 1
    assert "for random weights, is wanted" in capsys.readouterr().err


def test_a_layer_behind_the_last_one_trains_nothing_and_is_refused(source):
    settings = Hyperparameters(head_epochs=0, fine_tune_epochs=1, fine_tune_layer=900)
    with pytest.raises(UserError, match=r"fine-tune-layer 900: small has 1\d\d layers"):
        train(source, settings, None)


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
    whole = (tmp_path / "one" / "model.tar.gz").read_bytes()
    for name, damage in (("bad", b"nothing"), ("checksum", whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.tar.gz").write_bytes(damage)
        with pytest.raises(UserError, match="not a readable model archive"), unpacked(tmp_path / name):
            pass
    for name in ("../outside", "/absolute"):
        (tmp_path / "hostile").mkdir(exist_ok=True)
        with tarfile.open(tmp_path / "hostile" / "model.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
        if name.startswith(".."):
            with pytest.raises(UserError, match="outside"), unpacked(tmp_path / "hostile"):
                pass
        else:
            with unpacked(tmp_path / "hostile") as folder:
                assert [p.name for p in folder.iterdir()] == ["absolute"]


@pytest.fixture(scope="module")
def blue(tmp_path_factory):
    """A trained model's folder whose model sees blue, which is what makes the test screenshots positive."""
    folder = tmp_path_factory.mktemp("blue")
    inputs = keras.layers.Input((TILE_SIZE, TILE_SIZE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(pooled))
    # The red of a screenshot is its number: a trace of it keeps the scores of a class apart.
    model.set_weights([np.array([[0.001], [0.0], [0.02]], np.float32), np.array([-2.0], np.float32)])
    model.save(folder / "model.keras")
    PreprocessingSpec(tile_size=TILE_SIZE).write(folder)
    (folder / "training.json").write_text(json.dumps({"hyperparameters": {"backbone": "none"}}))
    return folder


class Judged:
    """EvaluateModel and ConvertToTFLite run on the trained model as the pipeline runs them."""

    def __init__(self, workspace, trained, root):
        self.root = root
        pack(trained, root / "model" / "model.tar.gz")
        self.shared = ["--model", root / "model", "--tiles", workspace.tiles, "--shards", workspace.shards]
        self.shared += ["--dataset", workspace.dataset]
        self.shared += ["--message", root / "message"]

    def evaluate(self, *words):
        return evaluate_main([*map(str, [*self.shared, "--output", self.root / "evaluation", *words])])

    def convert(self, *words):
        places = ["--evaluation", self.root / "evaluation", "--output", self.root / "bundle"]
        return convert_main([*map(str, [*self.shared, *places, *words])])


EASY = ("--max-fpr", "0.9", "--min-tpr", "0.001")


@pytest.fixture
def judged(workspace, blue, tmp_path):
    return Judged(workspace, blue, tmp_path)


def test_a_verdict_is_written_whether_or_not_the_model_passes(judged):
    for words, passed in ((("--max-fpr", "0.01"), False), (EASY, True)):
        assert judged.evaluate(*words) == 0
        gate = json.loads((judged.root / "evaluation" / "evaluation.json").read_text())["gate"]
        page = (judged.root / "evaluation" / "report.html").read_text()
        assert gate["passed"] is passed
        assert gate["failed_checks"] == len(gate["reasons"])
        assert ("Passed" if passed else "Rejected") in page
        assert "data:image/jpeg;base64," in page


def test_a_passed_conversion_bundles_what_was_judged_and_no_screenshot(judged):
    assert judged.evaluate(*EASY) == 0
    assert judged.convert(*EASY, "--max-flipped", "1") == 0
    with unpacked(judged.root / "bundle") as folder:
        names = sorted(path.name for path in folder.iterdir())
        assert names == ["MODEL_CARD.md", "evaluation.json", "model.json", "model.tflite", "preprocessing.json"]
        contract = json.loads((folder / "model.json").read_text())
        assert contract["sha256"] == sha256_file(folder / "model.tflite")
        gate = json.loads((folder / "evaluation.json").read_text())["gate"]
        assert contract["threshold"] == gate["operating_point"]["threshold"]
        assert contract["sha256"] in (folder / "MODEL_CARD.md").read_text()
    summary = json.loads((judged.root / "bundle" / "summary.json").read_text())
    assert all(isinstance(value, str) for value in summary.values())
    assert summary["tflite_sha256"] == contract["sha256"]


def test_converted_bytes_that_do_not_pass_are_rejected_and_not_bundled(judged, capsys):
    assert judged.evaluate(*EASY) == 0
    assert judged.convert("--max-fpr", "0.01") == 3
    assert "The converted model does not pass the gate" in capsys.readouterr().err
    assert not (judged.root / "bundle" / "model.tar.gz").exists()


def test_a_conversion_that_decides_otherwise_is_rejected(judged, capsys):
    assert judged.evaluate(*EASY) == 0
    scores = judged.root / "evaluation" / "scores.parquet"
    frame = pd.read_parquet(scores)
    frame.assign(flagged=~frame["flagged"]).to_parquet(scores)
    assert judged.convert(*EASY) == 3
    assert "0.50% is the most" in capsys.readouterr().err
    frame.iloc[1:].to_parquet(scores)
    assert judged.convert(*EASY) == 1
    assert "evaluated on other screenshots" in capsys.readouterr().err


def test_a_model_of_other_tiles_is_not_judged(judged, blue, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(blue, other)
    PreprocessingSpec(tile_size=64).write(other)
    pack(other, judged.root / "model" / "model.tar.gz")
    assert judged.evaluate(*EASY) == 1
    assert "make tiles and model with the same settings" in capsys.readouterr().err


def test_a_model_that_scores_nan_is_written_down_as_rejected(judged, blue, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(blue, broken)
    model = load_model(broken / "model.keras")
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    model.save(broken / "model.keras")
    pack(broken, judged.root / "model" / "model.tar.gz")
    assert judged.evaluate(*EASY) == 0
    gate = json.loads((judged.root / "evaluation" / "evaluation.json").read_text())["gate"]
    assert gate["passed"] is False
    assert "not numbers" in gate["message"]
