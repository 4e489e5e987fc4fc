"""ValidateData: open every image that is new, check all labelled rows by the rules, and report what is odd.

Writes `dataset.parquet` and `quarantine.parquet`; for people `validation.json` and the page `report.html`; for later
nights the facts of the new images. The training job gets a `dataset.parquet` of its own without the held-out splits,
so that it never sees their labels.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from steps.core.common.choices import BACKBONES
from steps.core.common.program import PROCESSING, run
from steps.core.dataset.classes import AUTO
from steps.validate.checks.stops import label_changes


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.validate", description=__doc__)
    add = parser.add_argument
    add("--plan", type=Path, default=PROCESSING / "input/plan", help="folder of the plan")
    add("--store", type=Path, default=PROCESSING / "input/store", help="the store's objects that the plan lists")
    add("--pretrained", type=Path, help="folder of the pretrained weights; without it no embeddings are compared")
    add("--backbone", default="small", choices=BACKBONES, help="what the weights are of")
    add("--output", type=Path, default=PROCESSING / "output/screenshots", help="where the tables go")
    add("--development", type=Path, default=PROCESSING / "output/development", help="where the training job's go")
    add("--report", type=Path, default=PROCESSING / "output/report", help="where the page and its figures go")
    add("--new-facts", type=Path, default=PROCESSING / "output/new-facts", help="where the new images' facts go")
    add("--message", type=Path, default=Path("/opt/ml/output/message"), help="where the reason of a failure goes")
    add("--classes", default=AUTO, help="names of the negative and the positive class, or auto")
    add("--label-attribute", default=AUTO, help="the manifest's label attribute, where it has several")
    add(
        "--max-label-changes",
        type=float,
        default=label_changes.limit,
        help="largest share of labels that may change, 0 to 1",
    )
    add("--workers", type=int, default=0, help="processes; 0 is one for each CPU")
    return parser.parse_args(argv)


def _main(args: argparse.Namespace) -> None:
    # Worker processes import this module again, and need nothing of what the step itself needs.
    from steps.validate.step import validate_data

    validate_data(args)


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    return run(lambda: _main(args), args.message)


if __name__ == "__main__":
    sys.exit(main())
