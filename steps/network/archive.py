"""Model archives: `model.tar.gz` as SageMaker hands it from step to step, packed and unpacked with care."""

import gzip
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steps.core.common.archives import unpack
from steps.core.common.errors import UserError
from steps.core.common.files import replacing
from steps.core.common.scratch import scratch

FILE_NAME = "model.tar.gz"
# What TrainModel puts into it, beside the head and the preprocessing spec: numbers and JSON, nothing that could run.
MODEL_FILE, HISTORY_FILE, TRAINING_FILE = "backbone.npz", "history.json", "training.json"


@contextmanager
def unpacked(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder with the content of `folder / model.tar.gz`; what `unpack` refuses is refused."""
    with scratch("model") as content:
        try:
            unpack(folder / FILE_NAME, content)
        except UserError as error:
            raise UserError(f"{error}: train the model again") from None
        yield content


def pack(folder: Path, archive: Path) -> None:
    """Pack the files of `folder` so that equal files give equal bytes: sorted, without times and owners."""
    with (
        replacing(archive) as beside,
        beside.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size, member.mode = path.stat().st_size, 0o644
            with path.open("rb") as stream:
                tar.addfile(member, stream)
