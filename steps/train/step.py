"""Learning from the development splits: the head, and the backbone's last blocks where that is proven to help."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.core.common.errors import UserError
from steps.core.common.files import read_json, write_json
from steps.core.gate.paired import Gain, paired_gain
from steps.core.gate.roc import PARTIAL_AUC_BELOW, partial_auc, roc
from steps.network.head import Head, pool
from steps.train.hyperparameters import Hyperparameters
from steps.train.phase1 import Examples, Phase1, fit_calibration, fit_phase1, folds, solve

if TYPE_CHECKING:
    from steps.train.checkpoints import Checkpoints
    from steps.train.phase2 import Phase2

Floats = npt.NDArray[np.float64]
Row = dict[str, float | int | str]
OBJECTIVE = "validation:objective"


@dataclass(slots=True)
class Learned:
    """The head, the fine-tuned tile model (None: the pretrained backbone as it is), and how it went.

    `history` has a row a measurement, `best` is that of what was kept; `gain` is what phase 2 added on screenshots
    that it had not seen, None where it was not tried. `note` says for people why the backbone stayed as it is.
    """

    head: Head
    penalty: float
    model: Any = None
    history: list[Row] = field(default_factory=list)
    best: Row = field(default_factory=dict)
    gain: Gain | None = None
    note: str = ""


def examples_of(rows: pd.DataFrame, features: npt.NDArray[np.floating[Any]]) -> Examples:
    """Pool the features [tiles, D] of `rows`, whose tiles of a screenshot lie side by side."""
    shots = rows.drop_duplicates("id")
    codes = pd.factorize(rows["id"])[0]
    pooled = pool(features, rows["index"].to_numpy(), codes)
    return Examples(pooled, shots["label"].to_numpy(np.int64), shots["group"].to_numpy(object))


def learn(examples: Examples, settings: Hyperparameters, phase: "Phase2 | None" = None) -> Learned:
    """Learn from all development screenshots: phase 1, then what the hyperparameters say of phase 2.

    `examples` are those of the tiles of `phase`'s source, in their order; without it there is phase 1 alone. Phase 2 is
    kept where its gain on held-out screenshots is proven. Raises UserError where the data cannot teach anything.
    """
    first = fit_phase1(examples, settings.seed)
    learned = Learned(Head.of(first.solution.weights, first.solution.bias), first.penalty)
    if len(first.held_out):
        row = _measured("head", 0, first.logits, examples.labels[first.held_out])
        learned.best = {**row, OBJECTIVE: row["validation:pauc"]}
        learned.history.append(learned.best)
        _print(learned.best)
    else:
        learned.note = "nothing could be held out: a class has fewer than two groups"
    if phase and settings.fine_tune_blocks and len(first.held_out):
        _fine_tune(examples, settings, phase, learned, first)
    if learned.note:
        print(learned.note, flush=True)
    return learned


def _fine_tune(examples: Examples, settings: Hyperparameters, phase: "Phase2", learned: Learned, first: Phase1) -> None:
    """Measure on one part held out what phase 2 adds to phase 1, and refit on everything if that is proven."""
    from steps.train.phase2 import fine_tune, tiles_of

    rows = phase.source.frame
    train, test = next(folds(examples, settings.seed))
    known, asked = examples.take(train), examples.take(test)
    start = solve(known, first.penalty)
    before = start.logits(asked.features)
    watch = _Watch(asked, settings.fine_tune_epochs, phase.checkpoints)
    if not watch.is_over:
        fine_tune(
            phase,
            tiles_of(rows, train),
            known.weights(),
            Head.of(start.weights, start.bias),
            name="held-out",
            epochs=settings.fine_tune_epochs,
            held_out=tiles_of(rows, test),
            on_epoch=watch.epoch,
        )
    learned.history += watch.rows
    gain = learned.gain = paired_gain(watch.best_logits, before, asked.labels, asked.groups)
    # One standard error is the price of whatever is beyond phase 1.
    objective = float(learned.best["validation:pauc"]) + gain.value - gain.error
    kept = gain.proven or not settings.refit
    if kept:
        learned.best = {**watch.best, OBJECTIVE: objective}
    _print({**learned.best, "phase": "kept"})
    learned.note = (
        f"fine-tuning {settings.fine_tune_blocks} blocks is {'' if gain.proven else 'not '}proven to help: {gain}"
    )

    def saved(_number: int, _logits: Floats, _loss: float) -> bool:
        phase.checkpoints.save()
        return True

    if gain.proven and settings.refit:
        epochs = int(watch.best["epoch"])
        learned.model, tuned = fine_tune(
            phase, rows, examples.weights(), learned.head, name="all", epochs=epochs, on_epoch=saved
        )
        learned.head = tuned.calibrated(*fit_calibration(watch.best_logits, asked.labels))


class _Watch:
    """Measures phase 2 epoch by epoch, keeps the best, and is over once an epoch adds nothing more.

    What it knows lies with the checkpoints, so that a training that was interrupted goes on from there.
    """

    def __init__(self, asked: Examples, epochs: int, checkpoints: "Checkpoints") -> None:
        self._asked, self._epochs, self._checkpoints = asked, epochs, checkpoints
        self._path = checkpoints.folder / "held-out.json"
        self.rows: list[Row] = []
        self.best: Row = {}
        self.best_logits: Floats = np.zeros(0)
        if self._path.is_file():
            known = read_json(self._path)
            self.rows, self.best = known["rows"], known["best"]
            self.best_logits = np.array(known["logits"], np.float64)
            print(f"Going on after epoch {len(self.rows)}", flush=True)
            for row in self.rows:
                _print(row)

    @property
    def is_over(self) -> bool:
        return bool(self.rows) and (self.rows[-1] != self.best or len(self.rows) >= self._epochs)

    def epoch(self, number: int, logits: Floats, loss: float) -> bool:
        """Measure an epoch, save it, and only then tell of it; return whether to go on."""
        row = {**_measured("fine-tune", number, logits, self._asked.labels), "train:loss": loss}
        self.rows.append(row)
        if not self.best or float(row["validation:pauc"]) > float(self.best["validation:pauc"]):
            self.best, self.best_logits = row, logits
        write_json(self._path, {"rows": self.rows, "best": self.best, "logits": self.best_logits.tolist()})
        self._checkpoints.save()
        _print(row)
        return not self.is_over


def _measured(phase: str, epoch: int, logits: Floats, labels: npt.NDArray[np.int64]) -> Row:
    if not np.isfinite(logits).all():
        raise UserError(f"training diverged in epoch {epoch} ({phase}): scores are no numbers; lower the learning rate")
    false, true = roc(logits, labels)
    return {
        "phase": phase,
        "epoch": epoch,
        "validation:pauc": partial_auc(logits, labels, PARTIAL_AUC_BELOW),
        "validation:auc": float(np.trapezoid(true, false)),
        "validation:loss": float(np.logaddexp(0, np.where(labels == 1, -logits, logits)).mean()),
    }


def _print(row: Row) -> None:
    """Print `name=value;` pairs on one line, the form that the definition's metric regexes read."""
    names = sorted(row, key=lambda name: (name not in ("phase", "epoch"), name == "epoch", name))
    pairs = ((name, row[name]) for name in names)
    print(" ".join(f"{k}={v:.6f};" if isinstance(v, float) else f"{k}={v};" for k, v in pairs), flush=True)
