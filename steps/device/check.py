"""Hold a runtime against a bundle's golden screenshots.

Without `--scores` LiteRT runs here, on the bundle's own `model.tflite`. With it, another runtime's answers are read, a
phone's for instance: JSON, for the name of each golden screenshot an object with `score`, `pixels_sha256` (of the
decoded pixels, RGB row by row) and `tiles` ([left, top, width, height] each, overview first), and `evidence` if it is
known.
Everything that differs is named, and the program ends with 0 if nothing does, 3 if something does, 1 if it cannot tell.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from steps.core.common.errors import UserError
from steps.core.common.files import read_json, sha256_file
from steps.core.common.program import RejectedError, run
from steps.core.tiles.decode import ImageRefusedError, read_image
from steps.core.tiles.spec import PreprocessingSpec
from steps.device.golden import FOLDER, MODEL_FILE, Answer, Golden, Stored, answer, differences, stored_as_jpeg
from steps.device.runtime import LiteModel
from steps.network.head import Head

_SCORE_OF_EVIDENCE = 1e-5


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.device.check", description=__doc__)
    add = parser.add_argument
    add("bundle", type=Path, help="folder of an unpacked bundle")
    add("--scores", type=Path, help="JSON with the answers of another runtime")
    add("--message", type=Path, default=Path("/opt/ml/output/message"), help="where the reason of a failure goes")
    return parser.parse_args(argv)


def check(bundle: Path, scores: Path | None = None) -> list[str]:
    """Return what differs, a sentence each; prints what was measured. Raises UserError for unreadable files."""
    golden = Golden.read(bundle)
    if scores is not None:
        return differences(golden, read_answers(scores))
    return _check_here(bundle, golden)


def _check_here(bundle: Path, golden: Golden) -> list[str]:
    found = []
    if (seen := sha256_file(bundle / MODEL_FILE)) != golden.model_sha256:
        found.append(f"{MODEL_FILE} has sha256 {seen[:12]}, the golden screenshots are of {golden.model_sha256[:12]}")
    model, head, spec = LiteModel(bundle / MODEL_FILE, 1), Head.read(bundle), PreprocessingSpec.read(bundle)
    answers, pictures = {}, []
    for one in golden.screenshots:
        path = bundle / FOLDER / one.file
        try:
            answers[one.name] = given = answer(model, path)
            pictures.append(read_image(path)[0])
        except ImageRefusedError as error:
            found.append(f"{one.name}: {path.name} is damaged: {error}")
            continue
        apart = abs(_score_of_evidence(head, given) - given.score)
        if not apart <= _SCORE_OF_EVIDENCE:
            found.append(f"{one.name}: the model's score is {apart:.2g} from what the head makes of its evidence")
    if pictures:
        print(_sentence(stored_as_jpeg(model, head, spec, pictures, golden.threshold)))
    return found + differences(golden, answers)


def _score_of_evidence(head: Head, given: Answer) -> float:
    if given.evidence is None:
        raise ValueError("an answer of LiteRT has evidence")
    return float(expit(head.bias + given.evidence.sum()))


def _sentence(stored: Stored) -> str:
    return (
        f"From tiles stored as JPEG, as the gate sees them, to raw pixels, as the phone sees them, scores move by "
        f"{stored.mean:.4f} on average and by {stored.largest:.4f} at most; {stored.other_decisions} decisions differ"
    )


def read_answers(path: Path) -> dict[str, Answer]:
    """Read another runtime's answers; raises UserError that names what is missing or is of another type."""
    value = read_json(path)
    if not isinstance(value, Mapping):
        raise UserError(f"{path} holds a {type(value).__name__}: an object with a name for each answer is wanted")
    return {str(name): _answer(path, str(name), one) for name, one in value.items()}


def _answer(path: Path, name: str, value: Any) -> Answer:
    try:
        tiles = [[int(side) for side in box] for box in value["tiles"]]
        evidence = np.asarray(value["evidence"], np.float64) if "evidence" in value else None
        return Answer(float(value["score"]), str(value["pixels_sha256"]), tiles, evidence)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}, {name}: {type(error).__name__} {error}; an object with score, pixels_sha256 and tiles is wanted"
        ) from None


def _main(args: argparse.Namespace) -> None:
    found = check(args.bundle, args.scores)
    for line in found:
        print(line)
    count = len(Golden.read(args.bundle).screenshots)
    if found:
        raise RejectedError(f"{len(found)} differences from the {count} golden screenshots of {args.bundle}")
    print(f"All {count} golden screenshots are answered as they must be")


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    return run(lambda: _main(args), args.message)


if __name__ == "__main__":
    sys.exit(main())
