"""Training's two phases: the best epoch is kept and calibrated, and what shall not change does not."""

import json

import numpy as np
import pytest

from steps.core.common.errors import UserError
from steps.core.common.program import StoppedError
from steps.core.dataset.splits import DEVELOPMENT, Split
from steps.core.tiles.spec import PreprocessingSpec
from steps.network.reducer import Reducer
from steps.network.runtime import start_tensorflow
from steps.train import step
from steps.train.calibration import fit_calibration
from steps.train.hyperparameters import Hyperparameters
from tests.steps.conftest import TILE_SIZE
from tests.steps.kernels import most_values
from tests.steps.tiny import tiny

start_tensorflow()

from steps.network.backbone import load_model  # noqa: E402
from steps.network.compression.clustering import CLUSTERS  # noqa: E402
from steps.network.compression.kinds import load_variant  # noqa: E402
from steps.network.tile_input import TileSource, screenshot_codes, tile_evidence  # noqa: E402
from steps.train import early_stopping, fit  # noqa: E402
from steps.train.__main__ import main as train_main  # noqa: E402
from steps.train.checkpoints import Checkpoints  # noqa: E402
from steps.train.early_stopping import Judge  # noqa: E402
from steps.train.step import Trained, train  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::UserWarning")]

# Conv_1 is layer 2 of the tiny model, its normalisation layer 3.
FAST = {"augment": 0.0, "batch_size": 8, "fine_tune_learning_rate": 0.02, "reducer": "mean"}


@pytest.fixture
def source(workspace):
    return TileSource(workspace.tiles, workspace.shards, workspace.development, DEVELOPMENT)


@pytest.fixture
def started(monkeypatch):
    """Training starts from a tiny model, whose weights at that moment are kept."""
    kept = {}

    def build(_backbone, _size, *, columns, **_):
        model = tiny(columns)
        kept.update({layer.name: layer.get_weights() for layer in model.layers})
        return model

    monkeypatch.setattr(step, "build_model", build)
    return kept


def changed(model, started):
    """The names of the layers with a weight that is not what it was."""
    after = {layer.name: layer.get_weights() for layer in model.layers}
    # A moving average of equal numbers is equal but for rounding.
    same = {name: all(map(np.allclose, before, after[name])) for name, before in started.items()}
    return {name for name, kept in same.items() if not kept}


def validated(trained, source):
    rows = source.rows(Split.VALIDATION)
    evidence = tile_evidence(trained.model, source, rows)
    logits = Reducer(trained.reducer.kind).logits(evidence, rows["index"].to_numpy(), screenshot_codes(rows))
    return logits, rows.drop_duplicates("id")["label"].to_numpy()


@pytest.mark.usefixtures("started")
def test_the_best_epoch_is_kept_and_calibrated(source, monkeypatch):
    """A validation that likes every epoch less than the one before shows that not the last weights are kept."""
    found = iter([0.5, 0.9, 0.8, 0.7, 0.6, 0.5])
    monkeypatch.setattr(early_stopping, "tpr_at_fpr", lambda *_: next(found))
    trained = train(source, Hyperparameters(**FAST, fine_tune_epochs=6, patience=10), None)
    history = trained.history
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1]["train:loss"] < history[0]["train:loss"]
    assert trained.best == history[1]
    logits, labels = validated(trained, source)
    right = np.where(labels == 1, logits, -logits)
    assert np.logaddexp(0, -right).mean() == pytest.approx(trained.best["validation:loss"], abs=1e-5)
    assert trained.best["validation:loss"] != pytest.approx(history[-1]["validation:loss"], abs=1e-4)
    scale, offset = fit_calibration(logits, labels)
    assert (trained.reducer.scale, trained.reducer.offset) == pytest.approx((scale, offset), rel=0.01, abs=0.01)
    assert trained.reducer != Reducer("mean")


@pytest.mark.usefixtures("started")
def test_the_same_seed_trains_the_same_model(source):
    settings = Hyperparameters(**{**FAST, "augment": 0.5}, fine_tune_epochs=2)
    first, again = (train(source, settings, None) for _ in range(2))
    for one, other in zip(first.history, again.history, strict=True):
        assert one["train:loss"] == pytest.approx(other["train:loss"], abs=1e-3)
    other = train(source, Hyperparameters(**{**FAST, "augment": 0.5}, fine_tune_epochs=2, seed=1), None)
    assert abs(other.history[0]["train:loss"] - first.history[0]["train:loss"]) > 1e-3


@pytest.mark.usefixtures("started")
def test_an_interrupted_training_goes_on_from_its_checkpoint_to_the_same_model(source, tmp_path, monkeypatch, capsys):
    settings = Hyperparameters(**{**FAST, "augment": 0.5}, fine_tune_epochs=3, patience=9)
    whole = train(source, settings, None)
    checkpoints = Checkpoints(tmp_path, "0" * 64)
    keep = step._Memory.keep

    def interrupt(memory, state):
        keep(memory, state)
        if state.facts["epoch"] == 2:
            raise StoppedError("now")

    monkeypatch.setattr(step._Memory, "keep", interrupt)
    with pytest.raises(StoppedError):
        train(source, settings, None, checkpoints=checkpoints)
    monkeypatch.undo()
    capsys.readouterr()
    monkeypatch.setattr(step, "build_model", lambda *_, columns, **__: tiny(columns))
    again = train(source, settings, None, checkpoints=checkpoints)
    assert "Going on after epoch 2" in capsys.readouterr().out
    for ours, theirs in zip(again.model.get_weights(), whole.model.get_weights(), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)
    assert [row["epoch"] for row in again.history] == [1, 2, 3]
    assert again.best == pytest.approx(whole.best, abs=1e-5)
    # What has ended is not trained again.
    monkeypatch.setattr(fit, "training_batches", None)
    assert train(source, settings, None, checkpoints=checkpoints).best == again.best


@pytest.mark.usefixtures("started")
def test_patience_ends_training(source, monkeypatch):
    """After the best epoch come as many as patience says."""
    found = iter([0.5, 0.9, 0.8, 0.7, 0.6, 0.5])
    monkeypatch.setattr(early_stopping, "tpr_at_fpr", lambda *_: next(found))
    trained = train(source, Hyperparameters(**FAST, fine_tune_epochs=6, patience=2), None)
    assert len(trained.history) == 4
    assert trained.history[-3] == trained.best


def test_random_weights_skip_the_head_and_are_trained_all(source, started):
    settings = Hyperparameters(**FAST, head_epochs=5, fine_tune_epochs=1, fine_tune_layer=100)
    trained = train(source, settings, None)
    assert [row["phase"] for row in trained.history] == ["fine-tune"]
    assert changed(trained.model, started) == {"Conv_1", "Conv_1/BatchNorm", "evidence"}


def test_pretrained_weights_get_a_head_first_and_keep_their_statistics(source, started, tmp_path, monkeypatch):
    # The head alone finds everything here: look at what the epochs after it have done.
    monkeypatch.setattr(step.Judge, "restore_best", lambda *_: None)
    settings = Hyperparameters(**FAST, head_epochs=5, fine_tune_epochs=2, fine_tune_layer=0)
    trained = train(source, settings, tmp_path)
    assert [row["phase"] for row in trained.history] == ["head", "fine-tune", "fine-tune"]
    assert "train:loss" not in trained.history[0]
    assert changed(trained.model, started) == {"Conv_1", "evidence"}


def test_layers_before_the_one_named_stay_as_they_are(source, started, tmp_path):
    settings = Hyperparameters(**FAST, head_epochs=0, fine_tune_epochs=1, fine_tune_layer=3)
    trained = train(source, settings, tmp_path)
    assert [row["phase"] for row in trained.history] == ["fine-tune"]
    assert changed(trained.model, started) == {"evidence"}


@pytest.mark.usefixtures("started")
def test_a_layer_behind_the_last_one_trains_nothing_and_is_refused(source, tmp_path):
    settings = Hyperparameters(**FAST, head_epochs=0, fine_tune_epochs=1, fine_tune_layer=900)
    with pytest.raises(UserError, match=r"fine-tune-layer 900: small has 7 layers"):
        train(source, settings, tmp_path)


def test_without_any_epoch_the_model_is_judged_as_it_is(source, started):
    trained = train(source, Hyperparameters(reducer="max", head_epochs=0, fine_tune_epochs=0), None)
    assert [(row["phase"], row["epoch"]) for row in trained.history] == [("none", 0)]
    assert not changed(trained.model, started)


@pytest.mark.parametrize(
    ("split", "says"),
    [(Split.TRAIN, "train split holds one class only"), (Split.VALIDATION, "validation split needs screenshots of")],
)
@pytest.mark.usefixtures("started")
def test_a_split_of_one_class_is_refused(source, split, says):
    source.frame.loc[source.frame["split"] == str(split), "label"] = 0
    with pytest.raises(UserError, match=says):
        train(source, Hyperparameters(**FAST, fine_tune_epochs=1), None)


def test_a_model_that_says_nan_ends_training_with_advice(source):
    reducer = Reducer("mean")
    early_stopping = Judge(source, Hyperparameters(), source.rows(Split.VALIDATION), reducer)
    model = tiny(reducer.columns)
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(UserError, match=r"diverged in epoch 3 \(fine-tune\).*lower the learning rate"):
        early_stopping.epoch(model, "fine-tune", 3)


class Program:
    """TrainModel as SageMaker starts it."""

    def __init__(self, workspace, folder):
        self.folder, self.model = folder, folder / "model"
        (folder / "initialisation.json").write_text("{}")
        self._words = ["--tiles", workspace.tiles, "--shards", workspace.shards, "--dataset", workspace.development]
        self._words += ["--pretrained", folder, "--hyperparameters", folder / "hyperparameters.json"]
        self._words += ["--model", self.model, "--message", folder / "failure"]
        self._words += ["--hosts", folder / "resourceconfig.json", "--checkpoints", folder / "checkpoints"]

    def run(self, given):
        (self.folder / "hyperparameters.json").write_text(json.dumps(given))
        return train_main(["train", *map(str, self._words)])


@pytest.fixture
def program(workspace, tmp_path):
    return Program(workspace, tmp_path)


def test_the_program_leaves_a_whole_archive_and_says_how_it_came_about(program, source, capsys):
    given = {"backbone": "small-minimalistic", "fine-tune-epochs": "1", "head-epochs": "1", "reducer": "attention"}
    assert program.run({**given, "fine-tune-learning-rate": "0.003", "_tuning_objective_metric": "x"}) == 0
    names = sorted(path.name for path in program.model.iterdir())
    assert names == ["history.json", "model.keras", "preprocessing.json", "reducer.json", "training.json"]
    told = json.loads((program.model / "training.json").read_text())
    assert told["hyperparameters"]["fine-tune-learning-rate"] == 0.003
    assert told["pretrained"] is None
    assert told["tiles"] == len(source.frame) == 4 * sum(told["screenshots"].values())
    history = json.loads((program.model / "history.json").read_text())
    assert told["best"] in history
    reducer = Reducer.read(program.model)
    model = load_model(program.model / "model.keras")
    assert reducer.kind == "attention"
    assert model.output_shape == (None, reducer.columns)
    assert PreprocessingSpec.read(program.model) == PreprocessingSpec(tile_size=TILE_SIZE)
    # Tuning reads the last line that has the metric: it must be the kept epoch's.
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("kept phase=fine-tune; epoch=1;")
    assert f"validation:tpr_at_fpr={told['best']['validation:tpr_at_fpr']:.6f};" in line


@pytest.mark.usefixtures("started")
def test_wanted_compressions_are_trained_and_kept_beside_the_model(program, source):
    fast = {name.replace("_", "-"): str(value) for name, value in FAST.items()}
    assert program.run({**fast, "fine-tune-epochs": "3", "compress": "cluster"}) == 0
    assert [path.name for path in (program.model / "variants").iterdir()] == ["cluster.h5"]
    plain, clustered = load_model(program.model / "model.keras"), load_variant(program.model, "cluster")
    assert most_values(clustered) <= CLUSTERS < most_values(plain)
    logits, labels = validated(Trained(clustered, Reducer.read(program.model)), source)
    assert logits[labels == 1].min() > logits[labels == 0].max()


def test_an_unknown_hyperparameter_ends_training_with_a_sentence(program, capsys):
    assert program.run({"learning-rat": "1"}) == 1
    assert "unknown hyperparameter 'learning-rat'" in capsys.readouterr().err
    assert "learning-rat" in (program.folder / "failure").read_text()
    assert not program.model.exists()


def test_a_channel_that_neither_has_weights_nor_says_so_is_a_mistake(program, capsys):
    (program.folder / "initialisation.json").unlink()
    assert program.run({}) == 1
    assert "for random weights, is wanted" in capsys.readouterr().err
