"""Judging training epoch by epoch: whole validation screenshots, the best weights, and when to stop."""

from typing import Any

import numpy as np

from steps.core.common.errors import UserError
from steps.core.gate.roc import roc, tpr_at_fpr
from steps.network.distributed import ALONE, Replicas
from steps.network.reducer import Reducer
from steps.network.tile_input import TileSource, screenshot_codes, tile_evidence
from steps.train.checkpoints import State
from steps.train.hyperparameters import Hyperparameters

Row = dict[str, float | int | str]


class Judge:
    """Scores the validation screenshots, keeps the best weights, and says when patience has run out."""

    def __init__(
        self, source: TileSource, settings: Hyperparameters, rows: Any, reducer: Reducer, replicas: Replicas = ALONE
    ) -> None:
        self._source, self._settings, self._rows, self._reducer = source, settings, rows, reducer
        self._replicas = replicas
        self._codes = screenshot_codes(rows)
        self.labels = rows.drop_duplicates("id")["label"].to_numpy(np.int64)
        self.history: list[Row] = []
        self.best: Row = {}
        self.best_logits = np.zeros(0)
        self._best_weights: list[Any] = []
        self._key = (-1.0, -np.inf, -np.inf)
        self._since_best = 0

    def epoch(self, model: Any, phase: str, number: int, train_loss: float | None = None) -> bool:
        """Judge the present weights, print a line of metrics, and return whether patience has run out.

        Of several hosts the chief prints, and what it finds holds.
        """
        evidence = tile_evidence(model, self._source, self._rows, replicas=self._replicas)
        logits = self._reducer.logits(evidence, self._rows["index"].to_numpy(), self._codes)
        if not np.isfinite(logits).all():
            raise UserError(f"training diverged in epoch {number} ({phase}): scores are NaN; lower the learning rate")
        row: Row = {"phase": phase, "epoch": number, **self._metrics(logits)}
        if train_loss is not None:
            row["train:loss"] = train_loss
        self.history.append(row)
        self._tell(row)
        stop = self._keep(row, logits, model)
        return bool(self._replicas.as_chief(np.array([stop], np.int64))[0])

    def _tell(self, row: Row) -> None:
        if self._replicas.is_chief:
            print(metrics_line(row), flush=True)

    def _keep(self, row: Row, logits: Any, model: Any) -> bool:
        # Small splits tie often: then the better ranking counts, then the lower loss.
        key = (float(row["validation:tpr_at_fpr"]), float(row["validation:auc"]), -float(row["validation:loss"]))
        if key > self._key:
            self._key, self._since_best = key, 0
            self.best, self.best_logits, self._best_weights = row, logits, model.get_weights()
            return False
        self._since_best += 1
        return self._since_best >= self._settings.patience

    def state(self) -> State:
        """Return all that is known of the epochs so far, for a checkpoint."""
        facts = {"history": self.history, "best": self.best, "key": self._key, "since_best": self._since_best}
        return State(facts, {"best": self._best_weights, "logits": [self.best_logits]})

    def restore(self, state: State) -> None:
        """Go on from a state; its lines of metrics are printed again, so that a log tells every epoch."""
        facts = state.facts
        self.history, self.best = list(facts["history"]), facts["best"]
        self._key, self._since_best = tuple(facts["key"]), facts["since_best"]
        self._best_weights, (self.best_logits,) = list(state.arrays["best"]), state.arrays["logits"]
        for row in self.history:
            self._tell(row)

    def restore_best(self, model: Any) -> None:
        if self._best_weights:
            model.set_weights(self._best_weights)

    def _metrics(self, logits: Any) -> dict[str, float]:
        labels = self.labels
        if not len(labels) or labels.min() == labels.max():
            raise UserError("the validation split needs screenshots of both classes: add labelled data")
        right = np.where(labels == 1, logits, -logits)
        false, true = roc(logits, labels)
        return {
            "validation:loss": float(np.logaddexp(0, -right).mean()),
            "validation:auc": float(np.trapezoid(true, false)),
            "validation:tpr_at_fpr": tpr_at_fpr(logits, labels, self._settings.objective_fpr),
        }


def metrics_line(row: Row) -> str:
    """Return `name=value;` pairs on one line, the form that the definition's metric regexes read."""
    return " ".join(f"{k}={v:.6f};" if isinstance(v, float) else f"{k}={v};" for k, v in row.items())
