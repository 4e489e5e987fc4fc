"""The Kotlin of docs/android on this machine's JVM, where there are one and a compiler."""

import shutil
import subprocess
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parent / "kotlin.sh"
_NEEDED = (
    _SCRIPT.parents[2] / ".kotlin",
    *(Path("/usr/share/java") / name for name in ("com.android.json.jar", "jna.jar")),
)

needs_kotlin = pytest.mark.skipif(
    not shutil.which("java") or not all(path.exists() for path in _NEEDED),
    reason=f"NOT TESTED: the app's Kotlin, for there is no JVM or no compiler; {_SCRIPT.name} says what it needs",
)


def kotlin(*words, said=""):
    """Run the program of Main.kt; its standard input is `said`."""
    command = [str(_SCRIPT), *map(str, words)]
    return subprocess.run(
        command, input=said, capture_output=True, text=True, check=False, timeout=300, encoding="utf-8"
    )
