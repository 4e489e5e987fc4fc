"""Hold a runtime against a bundle's golden screenshots.

Without `--scores` LiteRT runs here, on the bundle's own `model.tflite`. With it, an app's answers are read: JSON, for
the name of each golden screenshot an object with `score`, `pixels_sha256` (of the decoded pixels, RGB row by row),
`tiles` ([left, top, width, height] each, overview first), `tiles_sha256` (of the pixels of each, cut and resized), and
`evidence` (what each tile adds to the logit) if it is known.
Everything that differs is named, and the program ends with 0 if nothing does, 3 if something does, 1 if it cannot tell.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steps.core.common.errors import UserError
from steps.core.common.files import read_json, sha256_file
from steps.core.common.program import RejectedError, run
from steps.core.tiles.decode import ImageRefusedError, read_image
from steps.device.contract import TFLITE_FILE
from steps.device.golden import FOLDER, Answer, Golden, answer, differences, stored_as_jpeg
from steps.device.runtime import LiteModel


def check(bundle: Path, answers: Path | None = None) -> None:
    """Print what was measured and each difference, a sentence each.

    Raises RejectedError if there are differences, UserError for unreadable files.
    """
    golden = Golden.read(bundle)
    found = differences(golden, read_answers(answers)) if answers else _check_here(bundle, golden)
    for line in found:
        print(line)
    count = len(golden.screenshots)
    if found:
        differ = "difference" if len(found) == 1 else "differences"
        raise RejectedError(f"{len(found)} {differ} from the {count} golden screenshots of {bundle}")
    print(f"All {count} golden screenshots are answered as they must be")


def _check_here(bundle: Path, golden: Golden) -> list[str]:
    found = []
    if (seen := sha256_file(bundle / TFLITE_FILE)) != golden.model_sha256:
        found.append(f"{TFLITE_FILE} has sha256 {seen[:12]}, the golden screenshots are of {golden.model_sha256[:12]}")
    model = LiteModel(bundle / TFLITE_FILE, 1)
    answers, pictures = {}, []
    for one in golden.screenshots:
        path = bundle / FOLDER / one.file
        try:
            pictures.append(read_image(path)[0])
        except ImageRefusedError as error:
            found.append(f"{one.name}: {path.name} is damaged: {error}")
            continue
        answers[one.name] = answer(model, pictures[-1])
    if pictures:
        stored = stored_as_jpeg(model, pictures, golden.threshold)
        print(
            f"From tiles stored as JPEG, as the gate sees them, to raw pixels, as the phone sees them, scores move by "
            f"{stored.mean:.4f} on average and by {stored.largest:.4f} at most; {stored.other_decisions} decisions "
            "differ"
        )
    return found + differences(golden, answers)


def read_answers(path: Path) -> dict[str, Answer]:
    """Read an app's answers; raises UserError that names what is missing or is of another type."""
    value = read_json(path)
    if not isinstance(value, Mapping):
        raise UserError(f"{path} holds a {type(value).__name__}: an object with a name for each answer is wanted")
    return {str(name): _answer(path, str(name), one) for name, one in value.items()}


def _answer(path: Path, name: str, value: Any) -> Answer:
    try:
        return Answer(
            score=float(value["score"]),
            pixels_sha256=str(value["pixels_sha256"]),
            tiles=[[int(side) for side in box] for box in value["tiles"]],
            tiles_sha256=[str(sha256) for sha256 in value["tiles_sha256"]],
            evidence=[float(one) for one in value.get("evidence", ())],
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}, {name}: {type(error).__name__} {error}; an object with score, pixels_sha256, tiles and "
            "tiles_sha256 is wanted"
        ) from None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m steps.device.check", description=__doc__)
    add = parser.add_argument
    add("bundle", type=Path, help="folder of an unpacked bundle")
    add("--scores", type=Path, help="JSON with the answers of an app")
    add("--message", type=Path, default=Path("/opt/ml/output/message"), help="where the reason of a failure goes")
    args = parser.parse_args(argv)
    return run(lambda: check(args.bundle, args.scores), args.message)


if __name__ == "__main__":
    sys.exit(main())
