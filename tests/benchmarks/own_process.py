"""Code in a process of its own, because the most memory that one ever held cannot be set back."""

import os
import resource
import subprocess
import sys
from pathlib import Path


def run(code, *words):
    """Run Python code, which may import the modules of this folder by their bare names; return what it prints."""
    command = [sys.executable, "-c", code, *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def peak_mb():
    """Return the most megabytes that this process has held; on Linux getrusage would begin with its parent's."""
    if sys.platform == "linux":
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
