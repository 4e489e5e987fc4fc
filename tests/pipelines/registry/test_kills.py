"""A person's command may be killed at any moment: running it again completes it, and nothing is decided twice."""

import json
import subprocess
import sys

import pytest

from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.tracking.database import open_client

pytestmark = pytest.mark.integration

KILLS = 60
# Forks with everything imported and nothing opened; the child is killed at some moment of the time that deciding takes.
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import mlflow.store.tracking.sqlalchemy_store
from pipelines.registry.mlflow_registry import MlflowRegistry
home, chance, seconds, killed = Path(sys.argv[1]), random.Random(7), 0.0, 0
for number in range(-1, int(sys.argv[2])):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        registry = MlflowRegistry(home)
        registry._client().search_registered_models()
        os.write(write, b"x")
        registry.approve("screenshots", 1 + number % 2, by="Ann", reason=f"number {number}")
        os._exit(0)
    os.read(read, 1)
    began = time.monotonic()
    if number >= 0:
        time.sleep(chance.random() * seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    seconds = seconds or time.monotonic() - began
    killed += os.WIFSIGNALED(status)
    print(number, flush=True)
    sys.stdin.readline()
print(killed)
"""


def test_an_approval_that_was_killed_at_any_moment_is_completed_by_its_repetition(home, bundle, request_of):
    registry, client = MlflowRegistry(home), open_client(home)
    for text in "ab":
        registry.register(request_of(), bundle(text))
    command = [sys.executable, "-c", KILLER, str(home), str(KILLS)]
    killer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for number in range(-1, KILLS):
        assert killer.stdout.readline() == f"{number}\n"
        done = registry.approve("screenshots", 1 + number % 2, by="Ann", reason=f"number {number}")
        assert done.is_champion
        assert int(client.get_model_version_by_alias("screenshots", "champion").version) == done.version
        tags = client.get_model_version("screenshots", str(done.version)).tags
        assert json.loads(tags[f"tilegate.decision.{len(done.decisions):04d}"])["reason"] == f"number {number}"
        killer.stdin.write("on\n")
        killer.stdin.flush()
    assert int(killer.communicate(timeout=60)[0]) > KILLS / 2
    made = [decision.reason for version in registry.versions("screenshots") for decision in version.decisions]
    assert sorted(made) == sorted(f"number {number}" for number in range(-1, KILLS))
