"""One job: its folder under the `/opt/ml` contract, its process, and why it failed."""

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.executor import archive
from pipelines.executor.files import write_json
from pipelines.executor.images import Image
from pipelines.executor.metrics import MetricDefinition
from pipelines.executor.prefix import host_path, rewrite
from pipelines.executor.store import LocalStore

CONFIG_DIR = "/opt/ml/input/config"
CODE_DIR = "/opt/ml/code"
# What a container would have of its own; everything else of the user's environment (credentials!) stays outside.
_INHERITED = ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
_PYTHONS = ("python", "python3")
_REASON_CHARACTERS = 1024  # of a failure reason, as SageMaker
_REASON_BYTES = 4 * _REASON_CHARACTERS


@dataclass(frozen=True, slots=True)
class Mount:
    """Objects that a job reads at a LocalPath.

    With `listed`, `uri` is a ManifestFile of them. With `sharded` each of several hosts gets a part of them: `share` is
    the host's number, from 0, and how many there are. With `rewritten`, its text files get the job's own `/opt/ml`;
    `unpacked_to` is where its archive is unpacked.
    """

    name: str
    uri: str
    local_path: str
    listed: bool = False
    sharded: bool = False
    share: tuple[int, int] = (0, 1)
    rewritten: bool = False
    unpacked_to: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as SageMaker would start it: every path in it is a path inside the container.

    `environment` is what the request says, `contract` what the platform adds; only the former is part of a cache key.
    `kept` are folders that a job which begins again in the same place finds as it left them.
    """

    name: str
    image: Image
    command: tuple[str, ...]
    environment: Mapping[str, str]
    inputs: tuple[Mount, ...]
    folders: tuple[str, ...]
    config: Mapping[str, Any]
    message_file: str
    metrics: tuple[MetricDefinition, ...] = ()
    max_seconds: float | None = None
    contract: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()


Linked = dict[Path, tuple[int, int, int]]
"""Objects of the store that a job could write through, with (inode, size, mtime) before it ran."""


def stage(job: Job, root: Path, store: LocalStore) -> Linked:
    """Make the job's folder anew: inputs, configuration files, empty output folders, and what it kept."""
    linked: Linked = {}
    asides = {host_path(folder, root): root / "kept" / str(n) for n, folder in enumerate(job.kept)}
    for place, aside in asides.items():
        # A kill in the middle of this leaves it aside, where the next attempt finds it.
        if place.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
            aside.parent.mkdir(exist_ok=True)
            place.rename(aside)
    _remove(root / "opt")
    for place, aside in asides.items():
        place.parent.mkdir(parents=True)
        aside.rename(place) if aside.is_dir() else place.mkdir()
    for folder in (CODE_DIR, CONFIG_DIR, "/opt/ml/output", *job.folders):
        host_path(folder, root).mkdir(parents=True, exist_ok=True)
    for path, document in job.config.items():
        write_json(host_path(path, root), document)
    for mount in job.inputs:
        dest = host_path(mount.local_path, root)
        brought = store.fetch(mount.uri, dest, copy=mount.rewritten, listed=mount.listed, share=mount.share)
        linked |= {path: _identity(path) for path in brought}
        if mount.rewritten:
            _rewrite_files(dest, root)
        if mount.unpacked_to:
            for file in dest.iterdir():
                archive.unpack(file, host_path(mount.unpacked_to, root))
    return linked


def _remove(folder: Path) -> None:
    """Remove a folder, or the link that a job has put in its place."""
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def changed_in_place(linked: Linked) -> Path | None:
    """Return an object that was written through its link: the same file, with other bytes.

    Objects are read-only, but not to root, whom permissions do not bind. One that somebody else has replaced
    meanwhile is another file.
    """
    for path, before in linked.items():
        now = _identity(path) if path.exists() else before
        if now[0] == before[0] and now != before:
            return path
    return None


def _identity(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def command_line(job: Job, root: Path) -> list[str]:
    """Return the command on this machine; `python` is the interpreter that runs the executor."""
    words = [rewrite(word, root) for word in job.command]
    return [sys.executable if words[0] in _PYTHONS else words[0], *words[1:]]


def environment_of(job: Job, root: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the job's process; later ones win: machine, image, contract, definition, `extra`."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    # Scripts that say `python3` mean the interpreter of the image, which here is our own.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    stated = {**job.image.environment, **job.contract, **job.environment}
    stated = {name: rewrite(value, root) for name, value in stated.items()}
    return {"PATH": path, "PYTHONUNBUFFERED": "1", **inherited, **stated, **extra}


def failure_message(job: Job, root: Path, last_lines: Sequence[str], otherwise: str) -> str:
    """Return why a job says it failed: its message file, else its last line that is not of a traceback's frames."""
    said, file = "", host_path(job.message_file, root)
    if file.is_file() and not file.is_symlink():
        with file.open("rb") as stream:
            said = stream.read(_REASON_BYTES).decode(errors="replace").strip()
    lines = (line.strip() for line in reversed(last_lines) if line.strip() and not _FRAME.match(line))
    return (said or next(lines, "") or otherwise)[:_REASON_CHARACTERS]


_FRAME = re.compile(r'\s+File "|\s{4,}|Traceback \(most recent call last\)|\s*[\^~]+\s*$')


def _rewrite_files(folder: Path, root: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
            path.write_text(rewrite(text, root), encoding="utf-8")
