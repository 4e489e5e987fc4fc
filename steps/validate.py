"""ValidateData: read the snapshot's labelled batches, open every image, and write what may be learned from.

Writes `dataset.parquet`, `quarantine.parquet` and `validation.json`; the training job gets a `dataset.parquet` of its
own without the held-out splits, so that it never sees their labels.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from steps.core.classes import AUTO, Classes
from steps.core.dataset import write_dataset, write_quarantine
from steps.core.files import write_json
from steps.core.program import PROCESSING, Progress, run, worker_count
from steps.core.snapshot import read_snapshot
from steps.core.splits import DEVELOPMENT
from steps.core.validation import Inspection, inspect, validate
from steps.workers import map_in_processes

FILE_NAME = "validation.json"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.validate", description=__doc__)
    add = parser.add_argument
    add("--dataset", type=Path, default=PROCESSING / "input/dataset", help="folder of the dataset snapshot")
    add("--labelled", type=Path, default=PROCESSING / "input/labelled", help="folder of the labelled batches")
    add("--output", type=Path, default=PROCESSING / "output/dataset", help="where the tables go")
    add("--development", type=Path, default=PROCESSING / "output/development", help="where the training job's go")
    add("--message", type=Path, default=Path("/opt/ml/output/message"), help="where the reason of a failure goes")
    add("--classes", default=AUTO, help="names of the negative and the positive class, or auto")
    add("--label-attribute", default=AUTO, help="the manifest's label attribute, where it has several")
    add("--workers", type=int, default=0, help="processes; 0 is one for each CPU")
    return parser.parse_args(argv)


def _inspect_all(files: Sequence[Path], workers: int) -> Iterator[Inspection]:
    progress = Progress("Opened", len(files), "screenshots")
    for inspection in map_in_processes(inspect, files, workers):
        progress.advance()
        yield inspection


def _main(args: argparse.Namespace) -> None:
    classes = Classes.parse(args.classes)
    workers = worker_count(args.workers)
    validation = validate(
        read_snapshot(args.dataset),
        args.labelled,
        classes,
        inspect_all=lambda files: _inspect_all(files, workers),
        attribute=None if args.label_attribute == AUTO else args.label_attribute,
    )
    summary = validation.summary(classes)
    write_dataset(args.output, validation.accepted)
    write_quarantine(args.output, validation.quarantined)
    write_json(args.output / FILE_NAME, summary)
    write_dataset(args.development, [s for s in validation.accepted if s.split in DEVELOPMENT])
    print(f"Accepted {summary['accepted']} of {summary['rows']} rows from {summary['groups']} groups")
    for reason, count in summary["quarantined_by_reason"].items():
        print(f"Quarantined {count}: {reason}")


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    return run(lambda: _main(args), args.message)


if __name__ == "__main__":
    sys.exit(main())
