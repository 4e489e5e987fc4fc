"""Jobs in real containers, as SageMaker starts them: without a network, without rights, on a read-only file system.

Images are those of the engine (docker, or podman by the same words) and have to be there already. Of an executor that
is killed outright a container may be left; `docker ps --filter label=tilegate-job` lists what is there.
"""

import json
import os
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.executor.errors import DefinitionError
from pipelines.executor.job import CONTAINER_ROOT, Image, Job, Launched, host_path

# Of the training contract the platform itself sets these; SM_* come from AWS's training toolkit, which ours lack.
_SET_BY_PLATFORM = ("TRAINING_JOB_NAME",)
_UNPRIVILEGED = 1000


@dataclass(frozen=True, slots=True)
class ContainerEngine:
    """An engine's command line, with the variables that it needs (DOCKER_HOST, for one)."""

    command: tuple[str, ...] = ("docker",)
    environment: Mapping[str, str] | None = None

    def image(self, uri: str, _command: tuple[str, ...]) -> Image:
        """Resolve an image that the engine has; its digest is the image's id. Raises DefinitionError."""
        done = self._call("image", "inspect", uri)
        if done.returncode:
            raise DefinitionError(f"the container engine has no image {uri}: {done.stderr.strip()}")
        (told,) = json.loads(done.stdout)
        return Image(tuple(told["Config"]["Entrypoint"] or ()), told["Id"])

    def launch(self, job: Job, root: Path) -> Launched:
        """Start a job in a container of its own, as this machine's user, or for root as one without rights."""
        own = host_path(CONTAINER_ROOT, root)
        user, group = os.geteuid(), os.getegid()
        if user == 0:
            user = group = _UNPRIVILEGED
            _give(own, user, group)
        name = f"tilegate-{uuid.uuid4().hex}"
        contract = {key: job.contract[key] for key in _SET_BY_PLATFORM if key in job.contract}
        variables = {**contract, **job.environment}
        head, *words = job.command
        options = [
            *("--rm", "--name", name, "--label", f"tilegate-job={job.name}"),
            *("--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--read-only", "--tmpfs", "/tmp", "--user", f"{user}:{group}"),  # noqa: S108 (the container's own)
            *("--volume", f"{own}:{CONTAINER_ROOT}", "--entrypoint", head),
            *(word for key, value in variables.items() for word in ("--env", f"{key}={value}")),
        ]
        command = [*self.command, "run", *options, job.image.digest, *words]
        return Launched(command, own, self._variables(), lambda: self._remove(name))

    def _remove(self, name: str) -> None:
        # Usually it is gone with its process; one whose command line was killed is not.
        self._call("rm", "--force", name)

    def _call(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = (*self.command, *words)
        try:
            return subprocess.run(command, env=self._variables(), capture_output=True, text=True, check=False)
        except OSError as error:
            raise DefinitionError(f"the container engine cannot be called by {command[0]!r}: {error}") from error

    def _variables(self) -> dict[str, str]:
        return {**os.environ, **(self.environment or {})}


def _give(folder: Path, user: int, group: int) -> None:
    """Let a user write into the folders of a job; its input files are links to objects, which it may only read."""
    for parent, _, names in os.walk(folder):
        os.chown(parent, user, group)
        for name in names:
            path = Path(parent, name)
            path.chmod(path.stat().st_mode | 0o044)
