"""The folder of a run: its identity, its lock, its state, and the list of all runs."""

import contextlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.executor.errors import DefinitionError
from pipelines.executor.files import read_json
from pipelines.locks import is_held

LOCK = "lock"
INTERRUPTED = "Interrupted"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """`status` is Executing, Succeeded, Failed, Stopped or Interrupted (it was executing, and nobody is any more)."""

    id: str
    pipeline: str
    status: str
    started: float
    seconds: float
    parameters: Mapping[str, Any]
    failed_step: str | None
    reason: str | None
    code_note: str
    run_dir: Path


def new_run(home: Path) -> Path:
    """Make the folder of a new run; its name, the execution id, sorts by time (to a millisecond) and is unique."""
    while True:
        now = time.time()
        tail = f"{int(now % 1 * 1000):03d}{secrets.token_hex(1)}"
        folder = home / "runs" / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{tail}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder


def existing_run(home: Path, execution_id: str) -> tuple[Path, Mapping[str, Any]]:
    """Return the folder and the state of a run to go on with; raises DefinitionError if there is none."""
    folder = home / "runs" / execution_id
    state = read_json(folder / "state.json") if execution_id and "/" not in execution_id else None
    if state is None:
        known = ", ".join(run.id for run in load_runs(home)[-3:]) or "none"
        raise DefinitionError(f"there is no run {execution_id!r} to resume in {home}: the newest are {known}")
    return folder, state


def load_runs(home: Path) -> list[RunSummary]:
    """Return every run of a home, the oldest first."""
    found = []
    for folder in sorted(home.glob("runs/*")):
        state = read_json(folder / "state.json")
        if state is None:
            continue
        status, seconds = state["status"], state["seconds"]
        if status == "Executing":
            if is_held(folder / LOCK):
                seconds += time.time() - state["resumed"]
            else:
                status = INTERRUPTED
        found.append(
            RunSummary(
                id=state["execution_id"],
                pipeline=state["pipeline_name"],
                status=status,
                started=state["started"],
                seconds=seconds,
                parameters=state["parameters"],
                failed_step=state["failed_step"],
                reason=state["reason"],
                code_note=state["code_note"],
                run_dir=folder,
            )
        )
    return found
