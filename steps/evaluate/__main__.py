"""EvaluateModel: score the held-out screenshots with the trained model, freeze a threshold and run the gate.

Writes `evaluation.json`, `scores.parquet` and `report.html`, and enters its look at the test split into the ledger. A
model that does not pass is no error of this step: the verdict is its result, and the pipeline's condition reads it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from steps.core.common.program import PROCESSING, run
from steps.evaluate.arguments import add_arguments, limits_of
from steps.network.runtime import start_tensorflow


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.evaluate", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--features", type=Path, default=PROCESSING / "input/features", help="of the tiles")
    parser.add_argument("--output", type=Path, default=PROCESSING / "output/evaluation", help="where the verdict goes")
    return parser.parse_args(argv)


def _main(args: argparse.Namespace) -> None:
    limits = limits_of(args)
    start_tensorflow()
    from steps.evaluate.baseline import baseline_scores
    from steps.evaluate.step import enter_look, load_candidate, score_and_gate, write_evidence
    from steps.network.tile_input import describer

    candidate = load_candidate(args)
    describe = describer(candidate.model)
    subject = {"model": candidate.subject["trained_model"], **candidate.subject}
    evaluation = score_and_gate(describe, candidate, limits, subject, baseline_scores(args))
    enter_look(args.new_ledger, evaluation)
    write_evidence(args.output, evaluation, describe, candidate, title="Trained model")


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    return run(lambda: _main(args), args.message)


if __name__ == "__main__":
    sys.exit(main())
