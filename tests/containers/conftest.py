"""A throw-away container engine and the images, built once for all tests here.

Without an engine everything here is skipped, with the reason; nothing passes that was not run. Times are printed with
`pytest -s`. TILEGATE_ENGINE_DIR keeps the engine and its cache between runs; what keeps it takes it down.
"""

import json
import os
import subprocess
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.definition.compiler import compile_pipeline
from pipelines.definition.settings import Settings
from pipelines.executor.executor import Executor
from pipelines.runs.local_start import LocalStart, RunRequest
from pipelines.runs.sample_data import write_sample
from tests.containers.container_engine import ContainerEngine
from tests.quick import QUICK, SCREENSHOTS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BASE = "localhost/tilegate-base:test"


@dataclass(frozen=True)
class Docker:
    """Debian's docker command line, against an engine of our own."""

    folder: Path

    @property
    def environment(self):
        return {"DOCKER_HOST": f"unix://{self.folder}/docker.sock", "DOCKER_BUILDKIT": "1"}

    @property
    def engine(self):
        return ContainerEngine(("/usr/bin/docker",), self.environment)

    # As jobs will run: no network, no rights, a read-only file system but for the container's own /tmp.
    CLOSED = ("--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")  # noqa: S108

    def __call__(self, *words, cwd=None, timeout=900, stderr=subprocess.PIPE):
        environment = {**os.environ, **self.environment}
        command = ["/usr/bin/docker", *words]
        return subprocess.run(
            command,
            env=environment,
            cwd=cwd,
            timeout=timeout,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )

    def run(self, image, *words, options=(), user="1000:1000"):
        return self("run", "--rm", *self.CLOSED, "--user", user, *options, image, *words, timeout=300)

    def build(self, tag, *options):
        began = time.monotonic()
        done = self("build", "--network", "host", "-t", tag, *options, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-4000:]
        told = self("image", "inspect", "--format", "{{.Size}}", tag).stdout
        print(f"\nbuilt {tag}: {time.monotonic() - began:.0f} s, {int(told) / 1e6:.0f} MB")
        return tag


def _engine(folder, *words):
    # No pipes: the daemon would hold them open for as long as it lives.
    log = folder / "engine.log"
    began = time.monotonic()
    with log.open("w") as sink:
        done = subprocess.run(
            ["nice", "-n", "5", HERE / "engine.sh", *words],
            env={**os.environ, "ENGINE_DIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            check=False,
        )
    print(f"\nengine {' '.join(words)}: {time.monotonic() - began:.0f} s")
    return done.returncode, log.read_text().strip()


@pytest.fixture(scope="session")
def docker(tmp_path_factory):
    kept = os.environ.get("TILEGATE_ENGINE_DIR")
    # A socket's path may have 108 characters, which pytest's folders come near to.
    folder = Path(kept or f"/tmp/tilegate-engine-{os.getpid()}")  # noqa: S108
    folder.mkdir(parents=True, exist_ok=True)
    docker = Docker(folder)
    try:
        if not (folder / "docker.sock").exists() or docker("version").returncode:
            code, told = _engine(folder, "up")
            if code:
                pytest.skip(f"NOT TESTED: no container engine can be started here: {told[-300:]}")
        code, told = _engine(folder, "base", BASE)
        if code:
            pytest.skip(f"NOT TESTED: no base image can be made here: {told[-300:]}")
        yield docker
    finally:
        if not kept:
            _engine(folder, "down")
            subprocess.run(["rm", "-r", folder], check=False)


def _tensorflow(docker, layout):
    """Build a base with TensorFlow: in the system's Python, or laid out as SageMaker's."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    version = next(package["version"] for package in packages if package["name"] == "tensorflow-cpu")
    given = (f"BASE_IMAGE={BASE}", f"TENSORFLOW=tensorflow-cpu=={version}")
    options = ("--target", layout, *(word for value in given for word in ("--build-arg", value)))
    return docker.build(f"localhost/tensorflow-{layout}:test", *options, "-f", HERE / "tensorflow.Dockerfile", HERE)


def _image(docker, target, base, tag="test"):
    options = ("-f", "containers/Dockerfile", "--target", target, "--build-arg", f"BASE_IMAGE={base}", ".")
    return docker.build(f"localhost/tilegate-{target}:{tag}", *options)


@pytest.fixture(scope="session")
def data_image(docker):
    return _image(docker, "data", BASE)


@pytest.fixture(scope="session")
def model_image(docker):
    """On a base that is laid out as SageMaker's: it runs the whole pipeline."""
    return _image(docker, "model", _tensorflow(docker, "sagemaker"))


@pytest.fixture(scope="session")
def other_model_image(docker):
    """On a base whose TensorFlow the system's Python has."""
    return _image(docker, "model", _tensorflow(docker, "system"), "system")


@pytest.fixture(scope="session")
def control_image(docker):
    return _image(docker, "control", BASE)


@pytest.fixture(scope="session")
def finished(docker, data_image, model_image, tmp_path_factory):
    """The compiled definition, run by the local executor with every job in its image, on a tiny sample."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(data_image=data_image, model_image=model_image)
    sample = write_sample(home / "sample", screenshots=SCREENSHOTS)
    start, chosen = LocalStart(home, settings), {**QUICK, "ProcessingInstanceCount": 2}
    executor = Executor(
        json.loads(compile_pipeline(settings)),
        home=home,
        name=settings.name,
        images=docker.engine.image,
        launch=docker.engine.launch,
        register=lambda *_: {"ModelPackageArn": "arn:aws:model-package/screenshots/1", "ModelPackageVersion": 1},
        parameters=start.prepare(*start.asked(RunRequest(home, sample, parameters=chosen))),
    )
    began = time.monotonic()
    result = executor.run()
    print(f"\nthe pipeline in containers: {time.monotonic() - began:.0f} s")
    for name, step in result.steps.items():
        print(f"    {name:<24}{step.seconds:6.1f} s  {step.status}")
    return result
