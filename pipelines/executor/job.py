"""One job: its folder under the `/opt/ml` contract, how it is started, and why it failed."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.executor.files import write_json
from pipelines.executor.store import LocalStore

CONTAINER_ROOT = "/opt/ml"
CODE_DIR = "/opt/ml/code"
# Only a whole path prefix: at the start or after a character that a path in a command line may follow, and followed
# by the end of the path segment ("/opt/mlflow" and "/data/opt/ml" are other folders).
_WHOLE_PREFIX = re.compile(r'(?:(?<![\s\S])|(?<=[=:,"\s]))' + re.escape(CONTAINER_ROOT) + r'(?=[/=:,"\s]|\Z)')
# What a container would have of its own; everything else of the user's environment (credentials!) stays outside.
_INHERITED = ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
_PYTHONS = ("python", "python3")
_REASON_CHARACTERS = 1024  # of a failure reason, as SageMaker
_REASON_BYTES = 4 * _REASON_CHARACTERS
_FRAME = re.compile(r'\s+File "|\s{4,}|Traceback \(most recent call last\)|\s*[\^~]+\s*$')


@dataclass(frozen=True, slots=True)
class Image:
    """A container image: the command that it starts, and a digest of the code inside, part of every cache key."""

    entrypoint: tuple[str, ...]
    digest: str


ImageResolver = Callable[[str, tuple[str, ...]], Image]
"""Given an image URI and the explicit command (may be empty; the digest may depend on it), return the image."""


@dataclass(frozen=True, slots=True)
class Mount:
    """Objects that a job reads at a LocalPath.

    With `listed`, `uri` is a ManifestFile of them. With `sharded` each of several hosts gets a part of them.
    """

    name: str
    uri: str
    local_path: str
    listed: bool
    sharded: bool


@dataclass(frozen=True, slots=True)
class Job:
    """A job as SageMaker would start it on the host number `host`: every path in it is one inside the container.

    `environment` is what the request says, `contract` what the platform adds; only the former is part of a cache key.
    Of a match of a metric the first group is the value, without a group all of it.
    `config` are JSON files by their paths; the one at `hosts_file` names the `hosts`. `kept` is a folder in
    `/opt/ml` that a job which begins again in the same place finds as it left it.
    """

    name: str
    image: Image
    command: tuple[str, ...]
    environment: Mapping[str, str]
    inputs: tuple[Mount, ...]
    folders: tuple[str, ...]
    config: Mapping[str, Any]
    message_file: str
    hosts: tuple[str, ...]
    hosts_file: str
    host: int = 0
    metrics: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    max_seconds: float | None = None
    contract: Mapping[str, str] = field(default_factory=dict)
    kept: str | None = None

    def root(self, top: Path) -> Path:
        """Return the folder of this host below the job's own, which is that of the first one."""
        return top / "hosts" / f"algo-{self.host + 1}" if self.host else top


@dataclass(frozen=True, slots=True)
class Launched:
    """A process to start; `after` removes what may outlive it, and is called however it ended."""

    command: list[str]
    cwd: Path
    environment: Mapping[str, str]
    after: Callable[[], None] = lambda: None


Launch = Callable[[Job, Path], Launched]
"""Says how to start a job that is staged in a folder."""
Linked = dict[Path, tuple[int, int, int]]
"""Objects of the store that a job could write through, with (inode, size, mtime) before it ran."""


def as_subprocess(job: Job, root: Path) -> Launched:
    """Start a job as a process of this machine, whose `/opt/ml` is a folder of its own by rewritten paths.

    `python` is the interpreter that runs the executor. Of the environment the later win: this machine's, the
    platform's, the request's.
    """
    head, *words = (rewrite(word, root) for word in job.command)
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    # Scripts that say `python3` mean the interpreter of the image, which here is our own.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    stated = {name: rewrite(value, root) for name, value in {**job.contract, **job.environment}.items()}
    return Launched(
        [sys.executable if head in _PYTHONS else head, *words],
        host_path(CODE_DIR, root),
        {"PATH": path, "PYTHONUNBUFFERED": "1", **inherited, **stated},
    )


def stage(job: Job, root: Path, store: LocalStore) -> Linked:
    """Make the job's folder anew, but for what it kept: inputs, configuration files, empty output folders."""
    linked: Linked = {}
    _clear(root, job.kept)
    kept = () if job.kept is None else (job.kept,)
    for folder in (CODE_DIR, "/opt/ml/output", *job.folders, *kept):
        host_path(folder, root).mkdir(parents=True, exist_ok=True)
    hosts = {"current_host": job.hosts[job.host], "hosts": list(job.hosts)}
    for path, document in {**job.config, job.hosts_file: hosts}.items():
        write_json(host_path(path, root), document)
    for mount in job.inputs:
        share = (job.host, len(job.hosts)) if mount.sharded else (0, 1)
        fetched = store.fetch(mount.uri, host_path(mount.local_path, root), listed=mount.listed, share=share)
        linked |= {path: _identity(path) for path in fetched}
    return linked


def _clear(root: Path, kept: str | None) -> None:
    """Remove what an earlier attempt left, but for one folder; a link that a job has put there is not followed."""
    top = host_path(CONTAINER_ROOT, root)
    for path in (top.parent, top):
        if path.is_symlink() or path.is_file():
            path.unlink()
    for path in list(top.iterdir()) if top.is_dir() else ():
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        elif kept is None or path != host_path(kept, root):
            shutil.rmtree(path, ignore_errors=True)


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


def failure_message(job: Job, root: Path, last_lines: Sequence[str], otherwise: str) -> str:
    """Return why a job says it failed: its message file, else its last line that is not of a traceback's frames."""
    said, file = "", host_path(job.message_file, root)
    if file.is_file() and not file.is_symlink():
        with file.open("rb") as stream:
            said = stream.read(_REASON_BYTES).decode(errors="replace").strip()
    lines = (line.strip() for line in reversed(last_lines) if line.strip() and not _FRAME.match(line))
    return (said or next(lines, "") or otherwise)[:_REASON_CHARACTERS]


def rewrite(text: str, root: Path) -> str:
    """Return `text` with each `/opt/ml` that is a whole path prefix replaced by `<root>/opt/ml`."""
    return _WHOLE_PREFIX.sub(lambda _: f"{root}{CONTAINER_ROOT}", text)


def host_path(container_path: str, root: Path) -> Path:
    """Return where an absolute path inside the container lies on this machine; never outside of `root`."""
    return root.joinpath(*(part for part in container_path.split("/") if part not in {"", ".", ".."}))
