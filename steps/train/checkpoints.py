"""Checkpoints of a training: worked on beside the folder that SageMaker keeps in S3, and moved into it whole."""

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from steps.core.common.files import unfinished


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """`folder` is there to work in; `save` makes the one file `saved` of all that it holds.

    What is deleted or renamed beside `saved` SageMaker deletes in S3, where no job may delete anything; TensorFlow
    does both with every checkpoint. Of several hosts, which share that place in S3, one alone `writes`.
    """

    saved: Path
    folder: Path
    writes: bool = True

    def restore(self) -> None:
        """Restore `folder` from what was saved; a damaged file is named, and counts for nothing."""
        if not self.saved.is_file():
            return
        try:
            with zipfile.ZipFile(self.saved) as archive:
                damage: object = archive.testzip()
                if not damage:
                    archive.extractall(self.folder)
                    return
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
            damage = error
        print(f"The checkpoint is not whole ({damage}): starting from the beginning", flush=True)

    def save(self) -> None:
        if not self.writes:
            return
        self.saved.parent.mkdir(parents=True, exist_ok=True)
        with unfinished(self.saved.parent.parent) as beside:
            with zipfile.ZipFile(beside, "w") as archive:
                for path in sorted(path for path in self.folder.rglob("*") if path.is_file()):
                    archive.write(path, path.relative_to(self.folder))
            # A rename, unless the folder is another file system's.
            shutil.move(beside, self.saved)
