"""Gradient descent through the reducer: what counts how much, what is averaged, and when it ends."""

import numpy as np
import pytest

from steps.core.dataset.splits import DEVELOPMENT, Split
from steps.network.reducer import Reducer
from steps.network.runtime import start_tensorflow
from steps.train.hyperparameters import Hyperparameters
from tests.steps.tiny import tiny

start_tensorflow()

import tensorflow as tf  # noqa: E402
import tf_keras as keras  # noqa: E402

from steps.network.tile_input import TileSource, screenshot_codes, tile_evidence  # noqa: E402
from steps.train import fit as fit_module  # noqa: E402
from steps.train.fit import Examples, Fitting, fit, train_head  # noqa: E402

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def source(workspace):
    return TileSource(workspace.tiles, workspace.shards, workspace.development, DEVELOPMENT)


@pytest.fixture
def examples(source):
    def made(kind="mean", **settings):
        return Examples(source, source.rows(Split.TRAIN), Reducer(kind), Hyperparameters(augment=0.0, **settings))

    return made


def model_for(examples, seed=3):
    keras.utils.set_random_seed(seed)
    return tiny(examples.reducer.columns)


def logits_of(model, examples):
    rows = examples.rows
    evidence = tile_evidence(model, examples.source, rows)
    return examples.reducer.logits(evidence, rows["index"].to_numpy(), screenshot_codes(rows))


def labels_of(examples):
    return examples.rows.drop_duplicates("id")["label"].to_numpy()


def separation(model, examples):
    logits, labels = logits_of(model, examples), labels_of(examples)
    return logits[labels == 1].mean() - logits[labels == 0].mean()


@pytest.mark.parametrize("kind", ["blend", "attention", "noisy-or"])
def test_training_through_the_reducer_tells_the_classes_apart(examples, kind):
    given = examples(kind, batch_size=8)
    model = model_for(given)
    losses = []
    fit(model, given, Fitting(6, 0.02), lambda number, loss: bool(losses.append((number, loss))))
    assert [number for number, _ in losses] == [1, 2, 3, 4, 5, 6]
    assert losses[-1][1] < 0.7 * losses[0][1]
    assert separation(model, given) > 1


def test_training_stops_when_it_is_told(examples):
    given = examples(batch_size=64)
    numbers = []
    fit(model_for(given), given, Fitting(5, 1e-3), lambda number, _: numbers.append(number) or number == 2)
    assert numbers == [1, 2]


def test_each_epoch_shows_the_moving_average_and_goes_on_from_the_latest_weights(examples):
    """One step an epoch: the averages follow from the weights of a run without any."""
    given = examples(batch_size=1000)

    def weights_of(ema):
        model, shown = model_for(given), []
        shown.append(model.get_weights())
        fit(model, given, Fitting(4, 0.01, ema=ema), lambda *_: bool(shown.append(model.get_weights())))
        return shown, model.get_weights()

    plain, _ = weights_of(0.0)
    averaged, last = weights_of(0.3)
    expected = plain[0]
    for done in range(4):
        # It warms up: the first steps' weights would weigh too much in the average.
        keep = min(0.3, (1 + done) / (10 + done))
        expected = [keep * a + (1 - keep) * w for a, w in zip(expected, plain[done + 1], strict=True)]
        for ours, theirs in zip(averaged[done + 1], expected, strict=True):
            assert ours == pytest.approx(theirs, abs=2e-4)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(averaged[4], plain[4], strict=True))
    # What remains in the end is what was shown last.
    assert all((a == b).all() for a, b in zip(last, averaged[4], strict=True))


class Told:
    """In place of the descent: writes down what each screenshot counts, and answers with logits of its own."""

    def __init__(self):
        self.epochs, self.done = [], 0

    def __call__(self, *_):
        return self

    def restore(self, _state):
        return fit_module._Done()

    def state(self, *_):
        return None

    def step(self, shares, labels, weights):
        ((_counts, tiles),) = shares
        numbers = np.round(tiles.numpy()[:, 0, :, :, 0].astype(float).mean((1, 2))).astype(int)
        self.epochs.append({n: (lab, w) for n, lab, w in zip(numbers, labels, weights, strict=True)})
        self.done += 1
        return tf.constant(0.0)

    def show_average(self):
        pass

    show_latest = show_average


def test_classes_weigh_what_they_are_told(examples, monkeypatch):
    told = Told()
    monkeypatch.setattr(fit_module, "_Descent", told)
    fit(tiny(), examples(batch_size=1000, positive_weight=3.0, negative_weight=0.5), Fitting(1, 0.1))
    ((seen),) = told.epochs
    assert {(label, weight) for label, weight in seen.values()} == {(0.0, 0.5), (1.0, 3.0)}
    # A screenshot's red is its number, and odd ones are positive.
    assert np.mean([label == number % 2 for number, (label, _) in seen.items()]) > 0.9


def test_keras_callbacks_see_the_tile_model_and_every_step(examples):
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_train_begin(self, _logs=None):
            seen.append(("begin", self.model.name))

        def on_train_batch_begin(self, batch, _logs=None):
            seen.append(batch)

        def on_epoch_end(self, epoch, _logs=None):
            seen.append(("epoch", epoch))

    given = examples(batch_size=1000)
    fit(model_for(given), given, Fitting(2, 1e-3, callbacks=[Spy()]))
    assert seen == [("begin", "tiny"), 0, ("epoch", 0), 1, ("epoch", 1)]


@pytest.mark.parametrize("kind", ["blend", "max", "attention"])
def test_the_head_is_trained_alone_and_everything_else_stays(examples, kind):
    given = examples(kind, head_epochs=40)
    model = model_for(given)
    before = model.get_weights()
    train_head(model, given)
    after = model.get_weights()
    assert all((a == b).all() for a, b in zip(before[:-2], after[:-2], strict=True))
    logits, labels = logits_of(model, given), labels_of(given)
    assert logits[labels == 1].min() > logits[labels == 0].max()


def test_a_head_on_features_that_never_change_says_the_classes_shares(examples):
    """A dead feature has no deviation: it must not blow the folded weights up."""
    given = examples(head_epochs=60)
    model = model_for(given)
    norm = model.get_layer("Conv_1/BatchNorm")
    norm.gamma.assign(tf.zeros_like(norm.gamma))
    norm.beta.assign(tf.ones_like(norm.beta))
    train_head(model, given)
    logits, share = logits_of(model, given), labels_of(given).mean()
    assert np.isfinite(logits).all()
    assert logits == pytest.approx(np.full(len(logits), np.log(share / (1 - share))), abs=0.1)
