"""ConvertToTFLite: convert the model to the wanted variants, run the gate on the exact bytes of each, pack the best.

`bundle/` holds what ships: `model.tflite`, `model.json` (the device contract), `preprocessing.json`, `head.json`,
`evaluation.json`, `golden/` and `MODEL_CARD.md`; `model.tar.gz` holds the same. `evidence/` holds what people look at
and what never ships, because it shows screenshots: `report.html`, `scores.parquet` and `variants.json`, the table of
all variants. Which one is the best is the rule of `steps.convert.variants`. If none may ship, nothing is packed and the
program ends with exit code 3.

The ledger gets one look at the test split, the chosen variant's: all that may ship decide alike but for the few flips
that are allowed.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from steps.convert.bundle import device_contract, write_summary
from steps.convert.model_card import model_card
from steps.convert.origin import read_origin
from steps.convert.variants import MAX_FLIPPED, Variant, choose, mark, refusal, table, write_variants
from steps.core.common.choices import ALL_THERE_IS, VARIANTS, wanted_variants
from steps.core.common.errors import UserError
from steps.core.common.files import read_json, write_json, write_text
from steps.core.common.program import PROCESSING, RejectedError, granted_cpus, run
from steps.core.common.scratch import scratch
from steps.device.contract import CONTRACT_FILE, TFLITE_FILE
from steps.evaluate.arguments import add_arguments, limits_of
from steps.evaluate.evaluation import FILE_NAME as EVALUATION_FILE
from steps.evaluate.evaluation import Evaluation
from steps.evaluate.report.model import Origin
from steps.network.archive import FILE_NAME as MODEL_ARCHIVE
from steps.network.archive import pack, unpacked
from steps.network.runtime import start_tensorflow

if TYPE_CHECKING:
    from steps.convert.build import Ingredients
    from steps.convert.gate_variants import Gated
    from steps.device.golden import Golden
    from steps.evaluate.step import Candidate

CARD_FILE = "MODEL_CARD.md"
_JOB = Path("/opt/ml/config/processingjobconfig.json")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.convert", description=__doc__)
    add_arguments(parser)
    add = parser.add_argument
    add("--evaluation", type=Path, default=PROCESSING / "input/evaluation", help="EvaluateModel's output")
    add("--output", type=Path, default=PROCESSING / "output/bundle", help="where the bundle goes")
    add("--job", type=Path, default=_JOB, help="the platform's description of this job, which tells the run")
    known = ", ".join(VARIANTS)
    add("--variants", default=ALL_THERE_IS, help=f"forms to try, of {known}; {ALL_THERE_IS}: those that can be made")
    add(
        "--max-flipped",
        type=float,
        default=MAX_FLIPPED,
        help="share of decisions that may differ from the Keras model's",
    )
    return parser.parse_args(argv)


def _main(args: argparse.Namespace) -> None:
    limits = limits_of(args)
    wanted = wanted_variants(args.variants)
    if not 0 <= args.max_flipped <= 1:
        raise UserError(f"max-flipped {args.max_flipped}: a share between 0 and 1 is wanted, such as 0.005 for 0.5 %")
    start_tensorflow()
    from steps.convert.build import Ingredients
    from steps.convert.gate_variants import gate_all, read_decisions
    from steps.convert.quantization import write_representative
    from steps.device.runtime import LiteModel
    from steps.evaluate.step import enter_look, load_candidate, write_evidence

    candidate = load_candidate(args)
    decisions = read_decisions(args.evaluation)
    baseline, origin = read_json(args.evaluation / EVALUATION_FILE).get("baseline"), read_origin(args.job)
    with scratch("variants") as folder, unpacked(args.model) as archive:
        tiles = folder / "representative.npy"
        write_representative(candidate.source, tiles)
        ingredients = Ingredients(archive, candidate.backbone, tiles, candidate.head, candidate.source.spec)
        gated = gate_all(wanted or VARIANTS, ingredients, candidate, limits, decisions, folder=folder)
        rows, shipped, golden = _settle(gated, ingredients, args.max_flipped, folder / "bundle")
        print(f"Measured {len(rows)} variants\n{table(rows)}", flush=True)
        evidence: Path = args.output / "evidence"
        write_variants(evidence, rows, max_flipped=args.max_flipped)
        # A rejection is looked at as well, by the variant that came nearest to what the trained model was.
        shown = shipped or next((one for one in gated if one.evaluation), None)
        if shown and shown.evaluation:
            enter_look(args.new_ledger, shown.evaluation)
            describe = LiteModel(shown.path, granted_cpus()).describe
            write_evidence(
                *(evidence, replace(shown.evaluation, baseline=baseline), describe, candidate),
                title=f"TFLite model, {shown.variant.name}",
                variants=[asdict(row) for row in rows],
                origin=origin,
                refused="" if shipped else f"No file may ship. {refusal(rows, args.max_flipped)}.",
            )
        if not (shipped and shipped.evaluation and golden):
            raise RejectedError(f"No converted model may ship. {refusal(rows, args.max_flipped)}")
        shutil.copytree(folder / "bundle", args.output / "bundle", dirs_exist_ok=True)
        subject = {**shipped.evaluation.subject, "flipped_decisions": shipped.variant.flipped}
        _finish(args.output, replace(shipped.evaluation, subject=subject), golden, candidate, origin)


def _settle(
    gated: Sequence["Gated"], ingredients: "Ingredients", max_flipped: float, staging: Path
) -> tuple[Sequence[Variant], "Gated | None", "Golden | None"]:
    """Choose the variant that ships, and stage its files; where its golden screenshots fail, the next one is in.

    Returns all variants, and the one that ships, if any, with its golden screenshots.
    """
    from steps.device.golden import write_golden

    variants = [one.variant for one in gated]
    while chosen := choose(variants, max_flipped=max_flipped):
        best = next(one for one in gated if one.variant.name == chosen)
        point = best.evaluation.verdict.point if best.evaluation else None
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        shutil.copyfile(best.path, staging / TFLITE_FILE)
        ingredients.spec.write(staging)
        ingredients.head.write(staging)
        try:
            golden = write_golden(staging, point.threshold if point else float("nan"))
        except UserError as error:
            variants = [replace(v, reason=str(error)) if v.name == chosen else v for v in variants]
            continue
        return mark(variants, chosen, max_flipped), best, golden
    return mark(variants, None, max_flipped), None, None


def _finish(output: Path, evaluation: Evaluation, golden: "Golden", candidate: "Candidate", origin: Origin) -> None:
    from steps.device.flatbuffer import demands

    bundle = output / "bundle"
    contract = device_contract(
        evaluation,
        candidate.source.spec,
        candidate.head,
        evaluation.subject,
        demands=demands(bundle / TFLITE_FILE),
        golden=golden.to_dict(),
        classes=candidate.classes,
        run=origin.run or None,
    )
    evaluation.write_verdict(bundle)
    write_json(bundle / CONTRACT_FILE, contract)
    card = model_card(
        evaluation,
        contract,
        validation=candidate.validation,
        classes=candidate.classes,
        origin=origin,
        synthetic=candidate.is_sample,
    )
    write_text(bundle / CARD_FILE, card)
    pack(bundle, output / MODEL_ARCHIVE)
    write_summary(output, contract, evaluation, output / MODEL_ARCHIVE)
    print(f"Bundled {contract['quantization']}: {contract['bytes']:,} bytes, sha256 {contract['sha256'][:12]}")


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    return run(lambda: _main(args), args.message)


if __name__ == "__main__":
    sys.exit(main())
