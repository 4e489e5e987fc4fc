"""The place of the labels in a delivery: a labels file, or a folder for each class."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from steps.core.common.errors import UserError
from steps.core.common.text import printable
from steps.core.dataset.classes import Classes, folded
from steps.core.dataset.label_files import MANIFEST_SUFFIXES, TABLE_SUFFIXES
from steps.core.dataset.label_names import LabelNamesError, choose
from steps.core.dataset.paths import PathRefusedError, locate

FOLDER_PER_CLASS = "."
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar")
# Where Ground Truth puts the output manifest of a job.
JOB_MANIFEST = "manifests/output/output.manifest"
_JOB = re.compile(rf"([^/]+/)?{JOB_MANIFEST}")
_SHOWN = 5
# Folders that say what a picture is for, not what it shows.
_SPLIT_NAMES = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev"})


def find_labels(folder: Path, classes: Classes) -> str:
    """Return the name of the labels file in `folder`, or "." for a folder per class.

    A manifest goes before a Parquet table, that before a CSV. Raises UserError if there is nothing, or a tie.
    """
    inside = list(folder.iterdir())
    files, folders = ([p.name for p in inside if kind(p)] for kind in (Path.is_file, Path.is_dir))
    jobs = [p.relative_to(folder).as_posix() for start in ("", "*/") for p in folder.glob(start + JOB_MANIFEST)]
    return choose_labels([*files, *jobs], folders, classes, str(folder))


def choose_labels(files: Iterable[str], folders: Iterable[str], classes: Classes, where: str) -> str:
    """Like `find_labels`, of the paths of what lies at a place that is called `where`.

    Files count if they lie directly there, or as the output manifest of a labelling job, at `JOB_MANIFEST` in it or in
    a folder of it.
    """
    names = [name for name in sorted(files) if "/" not in name or _JOB.fullmatch(name)]
    for suffixes in (MANIFEST_SUFFIXES, (".parquet",), (".csv",)):
        found = [name for name in names if Path(name).suffix.lower() in suffixes]
        if len(found) > 1:
            raise UserError(f"{where} holds several labels files ({', '.join(found)}): name one with `--labels FILE`")
        if found:
            return found[0]
    visible = sorted({name for name in folders if not name.startswith(".")})
    if any(classes.find(name) is not None for name in visible):
        return FOLDER_PER_CLASS
    cure, two = _folders_cure(visible, classes)
    if packed := next((name for name in names if Path(name).suffix.lower() in ARCHIVE_SUFFIXES), None):
        cure = f". {printable(packed, 80)} is an archive: unpack it"
    raise LabelNamesError(
        f"{where} holds no labelled data: a Ground Truth manifest (*.manifest, *.jsonl), a table (*.parquet, *.csv) "
        f"or the folders {classes.negative!r} and {classes.positive!r} are wanted{cure}",
        two,
    )


def _folders_cure(folders: Sequence[str], classes: Classes) -> tuple[str, Sequence[str]]:
    """Return what to do about folders of other names, and the two that may be the classes."""
    shown = ", ".join(repr(printable(name, 80)) for name in folders[:_SHOWN])
    if any(folded(name) in _SPLIT_NAMES for name in folders):
        return f". The folders {shown} are splits, which are made here, by group: add what is in each by itself", ()
    if len(folders) == len(("negative", "positive")):
        return f". Its folders are {shown}. {choose(folders, classes)}", folders
    if folders:
        return f". Its folders are {shown}: `--classes NEGATIVE,POSITIVE` tells which two are the classes", ()
    return "", ()


def labels_file(folder: Path, labels: str) -> Path:
    """Return the path of the labels file; raises UserError if it is missing, or of no kind that is read."""
    try:
        path = folder / locate(folder, labels)
    except PathRefusedError as error:
        says = "is missing" if error.reason == "missing-file" else f"cannot be read: {error}"
        raise UserError(f"the labels file {folder / labels} {says}") from None
    if path.suffix.lower() in ARCHIVE_SUFFIXES:
        raise UserError(f"{path.name} is an archive: unpack it, and name the folder")
    if path.suffix.lower() not in MANIFEST_SUFFIXES + TABLE_SUFFIXES:
        raise UserError(f"{path.name}: wanted one of {', '.join(MANIFEST_SUFFIXES + TABLE_SUFFIXES)}")
    return path
