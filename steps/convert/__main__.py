"""ConvertToTFLite: make the wanted forms of the model, run the gate on the exact bytes of each, pack the best.

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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.convert.bundle import device_contract, write_summary
from steps.convert.model_card import model_card
from steps.convert.origin import read_origin
from steps.convert.variants import MAX_FLIPPED, Variant, choose, mark, refusal, table, write_variants
from steps.core.common.choices import ALL_THERE_IS, VARIANTS, wanted_variants
from steps.core.common.errors import UserError
from steps.core.common.files import read_json, write_json, write_text
from steps.core.common.program import PROCESSING, RejectedError, granted_cpus, run
from steps.core.common.scratch import scratch
from steps.core.tiles.spec import PreprocessingSpec
from steps.device.contract import CONTRACT_FILE, TFLITE_FILE
from steps.evaluate.arguments import add_arguments, limits_of
from steps.evaluate.evaluation import FILE_NAME as EVALUATION_FILE
from steps.evaluate.report.model import Origin
from steps.network.archive import FILE_NAME as MODEL_ARCHIVE
from steps.network.archive import pack, unpacked
from steps.network.head import Head
from steps.network.runtime import start_tensorflow

if TYPE_CHECKING:
    from steps.convert.gate_variants import Judged
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
    from steps.convert.gate_variants import judge_all, read_decisions
    from steps.convert.representative_data import write_representative
    from steps.device.runtime import LiteModel
    from steps.evaluate.step import enter_look, judge, load_candidate, write_evidence

    candidate = load_candidate(args)
    decisions = read_decisions(args.evaluation)
    baseline, origin = read_json(args.evaluation / EVALUATION_FILE).get("baseline"), read_origin(args.job)
    with scratch("variants") as folder, unpacked(args.model) as archive:
        tiles = write_representative(candidate.source, folder)
        ingredients = Ingredients(archive, candidate.backbone, tiles, candidate.head, candidate.source.spec)
        judged = judge_all(
            wanted or VARIANTS,
            ingredients,
            lambda lite, variant: judge(lite.describe, candidate, limits, _subject(variant, candidate.subject)),
            decisions,
            folder=folder,
            cpus=granted_cpus(),
        )
        choice = _settle(judged, candidate.source.spec, candidate.head, args, folder / "bundle")
        rows = choice.rows
        print(f"Measured {len(rows)} variants\n{table(rows)}", flush=True)
        evidence: Path = args.output / "evidence"
        write_variants(evidence, rows, max_flipped=args.max_flipped)
        # A rejection is looked at as well, by the variant that came nearest to what the trained model was.
        shown = choice.told or next((one for one in judged if one.evaluation), None)
        if shown and shown.evaluation:
            enter_look(args.new_ledger, shown.evaluation)
            describe = LiteModel(shown.path, granted_cpus()).describe
            write_evidence(
                *(evidence, replace(shown.evaluation, baseline=baseline), describe, candidate),
                title=f"TFLite model, {shown.variant.name}",
                variants=[row.to_dict() for row in rows],
                origin=origin,
                refused="" if choice.told else f"No file may ship. {refusal(rows, args.max_flipped)}.",
            )
        if choice.told is None:
            raise RejectedError(f"No converted model may ship. {refusal(rows, args.max_flipped)}")
        shutil.copytree(folder / "bundle", args.output / "bundle", dirs_exist_ok=True)
        _finish(args.output, choice, candidate, origin)


@dataclass(frozen=True, slots=True)
class _Choice:
    """All variants, and the one that ships, if any, with its golden screenshots."""

    rows: Sequence[Variant]
    told: "Judged | None" = None
    golden: "Golden | None" = None


def _settle(
    judged: Sequence["Judged"], spec: PreprocessingSpec, head: Head, args: argparse.Namespace, staging: Path
) -> _Choice:
    """Choose the variant that ships, and stage its files; where its golden screenshots fail, the next one is in."""
    from steps.device.golden import write_golden

    variants = [one.variant for one in judged]
    while chosen := choose(variants, max_flipped=args.max_flipped):
        told = next(one for one in judged if one.variant.name == chosen)
        point = told.evaluation.verdict.point if told.evaluation else None
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        shutil.copyfile(told.path, staging / TFLITE_FILE)
        spec.write(staging)
        head.write(staging)
        try:
            golden = write_golden(staging, point.threshold if point else float("nan"))
        except UserError as error:
            variants = [replace(v, reason=str(error)) if v.name == chosen else v for v in variants]
            continue
        return _Choice(mark(variants, chosen, args.max_flipped), told, golden)
    return _Choice(mark(variants, None, args.max_flipped))


def _subject(variant: Variant, shared: Any) -> dict[str, Any]:
    return {"model": variant.sha256, "quantization": variant.name, "bytes": variant.bytes, **shared}


def _finish(output: Path, choice: _Choice, candidate: "Candidate", origin: Origin) -> None:
    from steps.device.operators import demands

    bundle, best, golden = output / "bundle", choice.told, choice.golden
    if best is None or golden is None or best.evaluation is None:
        raise UserError("a model that was not judged cannot ship")
    evaluation = best.evaluation
    subject = {**evaluation.subject, "flipped_decisions": best.variant.flipped}
    contract = device_contract(
        evaluation,
        candidate.source.spec,
        candidate.head,
        subject,
        demands=demands(bundle / TFLITE_FILE).to_dict(),
        golden=golden.to_dict(),
        classes=candidate.classes,
        run=origin.run or None,
    )
    replace(evaluation, subject=subject).write_verdict(bundle)
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
    print(f"Bundled {best.variant.name}: {contract['bytes']:,} bytes, sha256 {contract['sha256'][:12]}")


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    return run(lambda: _main(args), args.message)


if __name__ == "__main__":
    sys.exit(main())
