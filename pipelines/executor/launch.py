"""The start of a staged job: the seam between the executor and what runs a job's process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipelines.executor.job import CODE_DIR, Job, command_line, environment_of
from pipelines.executor.prefix import host_path


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Launched:
    """A process to start; `after` removes what may outlive it, and is called however it ended."""

    command: list[str]
    cwd: Path
    environment: Mapping[str, str]
    after: Callable[[], None] = _nothing


class Launch(Protocol):
    """Says how to start a job that is staged in `root`, with `extra` variables on top of its own."""

    def __call__(self, job: Job, root: Path, extra: Mapping[str, str]) -> Launched: ...


def as_subprocess(job: Job, root: Path, extra: Mapping[str, str]) -> Launched:
    """Start a job as a process of this machine, whose `/opt/ml` is a folder of its own by rewritten paths."""
    return Launched(command_line(job, root), host_path(CODE_DIR, root), environment_of(job, root, extra))
