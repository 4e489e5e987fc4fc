"""ConvertToTFLite: convert the model, run the gate again on the exact bytes, and pack the bundle for the phone.

`bundle/` holds what ships: `model.tflite`, `model.json` (the device contract), `preprocessing.json`, `evaluation.json`
and `MODEL_CARD.md`; `model.tar.gz` holds the same. `evidence/` holds what people look at and what never ships, because
it shows screenshots: `report.html` and `scores.parquet`. If the converted bytes do not pass, nothing is packed and the
program ends with exit code 3.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from steps.core.archive import FILE_NAME as MODEL_ARCHIVE
from steps.core.archive import pack
from steps.core.bundle import device_contract, model_card, write_summary
from steps.core.errors import UserError
from steps.core.evaluation import SCORES, Evaluation
from steps.core.files import replacing, sha256_file, write_json, write_text
from steps.core.program import PROCESSING, RejectedError, granted_cpus, run
from steps.core.spec import PreprocessingSpec
from steps.held_out import add_arguments, limits_of
from steps.runtime import start_tensorflow

TFLITE_FILE = "model.tflite"
CONTRACT_FILE = "model.json"
CARD_FILE = "MODEL_CARD.md"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.convert", description=__doc__)
    add_arguments(parser)
    add = parser.add_argument
    add("--evaluation", type=Path, default=PROCESSING / "input/evaluation", help="EvaluateModel's output")
    add("--output", type=Path, default=PROCESSING / "output/bundle", help="where the bundle goes")
    add("--quantization", default="float16", help="float32, float16 or dynamic")
    add("--max-flipped", type=float, default=0.005, help="share of decisions that may differ from the Keras model's")
    return parser.parse_args(argv)


def _main(args: argparse.Namespace) -> None:
    limits = limits_of(args)
    start_tensorflow()
    from steps.judging import judge_and_write, load_candidate
    from steps.tflite import LiteModel, convert

    candidate = load_candidate(args)
    converted = convert(candidate.model, args.quantization)
    bundle: Path = args.output / "bundle"
    with replacing(bundle / TFLITE_FILE) as beside:
        beside.write_bytes(converted)
    lite = LiteModel(bundle / TFLITE_FILE, granted_cpus())
    subject = {
        "model": sha256_file(bundle / TFLITE_FILE),
        "quantization": args.quantization,
        "bytes": len(converted),
        **candidate.subject,
    }
    title = f"TFLite model, {args.quantization}"
    evidence: Path = args.output / "evidence"
    evaluation = judge_and_write(lite.score_tiles, candidate.source, limits, subject, folder=evidence, title=title)
    flipped = _flipped(evaluation, args.evaluation)
    print(f"{flipped:.2%} of the decisions differ from the Keras model's")
    if not evaluation.verdict.passed:
        raise RejectedError(f"The converted model does not pass the gate. {evaluation.verdict.message}")
    if not flipped <= args.max_flipped:
        raise RejectedError(
            f"The converted model decides otherwise than the Keras model on {flipped:.2%} of the held-out screenshots; "
            f"{args.max_flipped:.2%} is the most: convert with another quantization"
        )
    _finish(args.output, bundle, evaluation, candidate.source.spec, {**subject, "flipped_decisions": flipped})


def _flipped(evaluation: Evaluation, keras: Path) -> float:
    """Return the share of held-out screenshots on which the two models decide differently, each at its threshold."""
    try:
        theirs = pd.read_parquet(keras / SCORES, columns=["id", "flagged"])
    except (OSError, ValueError) as error:
        raise UserError(f"{keras / SCORES} cannot be read ({error}): evaluate the trained model first") from None
    both = evaluation.scored.merge(theirs, on="id", suffixes=("", "_keras"), validate="one_to_one")
    if len(both) != len(evaluation.scored):
        raise UserError("the trained model was evaluated on other screenshots: run EvaluateModel on this dataset")
    return float((both["flagged"] != both["flagged_keras"]).mean())


def _finish(
    output: Path, bundle: Path, evaluation: Evaluation, spec: PreprocessingSpec, subject: dict[str, Any]
) -> None:
    contract = device_contract(evaluation, spec, subject)
    spec.write(bundle)
    evaluation.write_verdict(bundle)
    write_json(bundle / CONTRACT_FILE, contract)
    write_text(bundle / CARD_FILE, model_card(evaluation, contract))
    pack(bundle, output / MODEL_ARCHIVE)
    write_summary(output, contract, evaluation)
    print(f"Bundled {contract['bytes']:,} bytes, sha256 {contract['sha256'][:12]}")


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    return run(lambda: _main(args), args.message)


if __name__ == "__main__":
    sys.exit(main())
