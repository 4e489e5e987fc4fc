"""A model that passed the gate, and what is known of its file: for the tests of what stands beside it in a bundle."""

import numpy as np
import pandas as pd

from steps.core.gate.limits import Limits
from steps.core.tiles.spec import PreprocessingSpec
from steps.evaluate.evaluation import Evaluation, evaluate
from steps.network.head import Head

SPEC, HEAD = PreprocessingSpec(tile_size=96), Head.of(np.arange(6.0), -1.0)
SUBJECT = {"model": "5" * 64, "bytes": 1234567, "quantization": "float16", "flipped_decisions": 0.002}
DEMANDS = {"operators": ["ADD", "MEAN"], "min_runtime_version": "2.3.0"}
GOLDEN = {"score_tolerance": 1e-4, "evidence_tolerance": 1e-3, "kernel_spread": 8e-7, "screenshots": [{"score": 0.1}]}
GOLDEN["stored_as_jpeg"] = {"largest": 0.01, "mean": 0.001, "other_decisions": 0}


def evaluation(count=4000, **columns) -> Evaluation:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 4 == 0
    frame = pd.DataFrame({"id": [f"{n:064x}" for n in range(count)], "uri": "u", "label": labels.astype(int)})
    frame = frame.assign(
        group=frame["id"],
        split=np.where(np.arange(count) % 8 < 4, "calibration", "test"),
        width=1080,
        height=2400,
        score=np.clip(0.2 + 0.6 * labels + rng.normal(0, 0.03, count), 0, 1),
        **columns,
    )
    return evaluate(frame, Limits(max_fpr=0.01, min_tpr=0.5), {"hyperparameters": {"backbone": "small"}})
