"""The Kotlin of docs/android on this machine's JVM, where there are one and a compiler."""

import shutil
import subprocess
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parent / "kotlin.sh"

needs_kotlin = pytest.mark.skipif(
    not (_SCRIPT.parents[2] / ".kotlin").is_dir() or not shutil.which("java"),
    reason=f"NOT TESTED: the app's Kotlin, for there is no JVM or no compiler; {_SCRIPT.name} says what it needs",
)


def kotlin(*words, said=""):
    """Run the program of Main.kt; its standard input is `said`."""
    command = [str(_SCRIPT), *map(str, words)]
    return subprocess.run(
        command, input=said, capture_output=True, text=True, check=False, timeout=300, encoding="utf-8"
    )
