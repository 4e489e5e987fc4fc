"""A job on several hosts: a process and an `/opt/ml` for each, told of each other by resourceconfig.json.

The first host has the job's own folder, the others `hosts/<name>` in it. What the hosts write is brought together as
in S3, where all of them upload to one place: of two files with one name the last host's stays.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.executor.errors import RunStopped, StepFailed
from pipelines.executor.files import output_files
from pipelines.executor.job import Job
from pipelines.executor.prefix import host_path
from pipelines.executor.runner import Enough, Machine, Printed


@dataclass(frozen=True, slots=True)
class Cluster:
    """The hosts of a job, by name, and where each is told about them (a path in the container)."""

    names: tuple[str, ...]
    instance_type: str
    config_path: str

    @property
    def count(self) -> int:
        return len(self.names)

    def folder(self, root: Path, number: int) -> Path:
        return root if number == 0 else root / "hosts" / f"algo-{number + 1}"

    def roots(self, root: Path) -> list[Path]:
        return [self.folder(root, number) for number in range(self.count)]

    def job_of(self, job: Job, number: int) -> Job:
        """Return the job as one host gets it: its own name, and its share of what is shared out."""
        name = self.names[number]
        told = (
            {"SM_CURRENT_HOST": name, "SM_HOSTS": json.dumps(self.names)} if "SM_CURRENT_HOST" in job.contract else {}
        )
        return replace(
            job,
            config={**job.config, self.config_path: self._resource_config(name)},
            contract={**job.contract, **(told if job.contract else {})},
            inputs=tuple(replace(m, share=(number, self.count)) if m.sharded else m for m in job.inputs),
        )

    def _resource_config(self, name: str) -> dict[str, Any]:
        return {
            "current_host": name,
            "hosts": list(self.names),
            "current_instance_type": self.instance_type,
            "current_group_name": "homogeneousCluster",
            "network_interface_name": "lo",
        }


def cluster_of(resources: Mapping[str, Any], config_path: str, *, addressed: bool = False) -> Cluster:
    """Return the hosts that a request wants, named as SageMaker does.

    Hosts that talk to each other share one address here: if they are `addressed`, several are named by address and
    port, `127.0.0.1:<port>`, instead.
    """
    count = int(resources.get("InstanceCount", 1))
    names = _free_addresses(count) if addressed and count > 1 else tuple(f"algo-{n}" for n in range(1, count + 1))
    return Cluster(names, str(resources.get("InstanceType", "local")), config_path)


def run_on_hosts(
    machine: Machine,
    cluster: Cluster,
    job: Job,
    root: Path,
    *,
    step: str,
    trial: str | None = None,
    enough: Enough | None = None,
) -> Printed:
    """Run a job on its hosts to its end, and return what the first host printed; raises StepFailed, RunStopped.

    The first host that fails ends the others. However many they are, they take the place of one job.
    """
    jobs = [cluster.job_of(job, number) for number in range(cluster.count)]
    if cluster.count == 1:
        return machine.run(jobs[0], root, step, trial, enough)
    over = _Over(machine.stop)
    together = replace(machine, slots=threading.Semaphore(cluster.count), stop=over)
    ends: list[_End] = []

    def run(number: int, own: Job) -> None:
        place = cluster.folder(root, number)
        place.mkdir(parents=True, exist_ok=True)
        try:
            # Only the first host's metrics count, so only they may end the job early.
            printed = together.run(own, place, step, trial, None if number else enough)
        except BaseException as error:  # noqa: BLE001 (whatever ends one host ends all of them, and is raised below)
            ends.append(_End(number, error=error))
            over.set()
        else:
            ends.append(_End(number, printed))
            if printed.cut:
                over.set()

    with machine.slots:
        threads = [threading.Thread(target=run, args=item, name=f"{step}-{item[0]}") for item in enumerate(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return _result(ends, machine)


@dataclass(frozen=True, slots=True)
class _End:
    """How one host ended."""

    number: int
    printed: Printed | None = None
    error: BaseException | None = None


def _result(ends: list[_End], machine: Machine) -> Printed:
    """Return what the first host printed, or raise what happened first; `ends` are in the order in which they came."""
    first = next(end for end in ends if end.number == 0).printed
    if first is not None and first.cut:
        return first
    if machine.stop.is_set():
        raise RunStopped
    for end in ends:
        if isinstance(end.error, StepFailed):
            raise _of_host(end.error, f"algo-{end.number + 1}") from end.error
        if end.error is not None:
            raise end.error
    if first is None:
        raise RuntimeError("no host of the job failed, and the first printed nothing")
    return first


def gather(cluster: Cluster, root: Path, folder: str) -> Path:
    """Bring what all hosts wrote into a folder (a path in the container) together, and return where it now lies.

    Raises DefinitionError if a host left a link there, or made one of the folder itself.
    """
    whole = host_path(folder, root)
    output_files(whole, root)
    for other in cluster.roots(root)[1:]:
        for key, path in output_files(host_path(folder, other), other):
            target = whole / key
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    return whole


class _Over(threading.Event):
    """Set when one host has ended the job, or when the run is stopped."""

    def __init__(self, run: threading.Event) -> None:
        super().__init__()
        self._run = run

    def is_set(self) -> bool:
        return super().is_set() or self._run.is_set()


def _of_host(failure: StepFailed, name: str) -> StepFailed:
    return StepFailed(failure.step, f"host {name}: {failure.reason}", exit_code=failure.exit_code, kind=failure.kind)


def _free_addresses(count: int) -> tuple[str, ...]:
    # Held open together, so that all of them are different.
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return tuple(sorted(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets))
