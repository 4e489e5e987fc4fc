"""Hypothesis profiles, and slow modules that are not even imported unless their mark is asked for."""

import os
import re
import sys

from hypothesis import HealthCheck, settings

# A busy machine is no failure, and CI has to fail for a change's sake only, not for an unlucky draw. More examples:
# `pytest --hypothesis-profile deep`.
_SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "derandomize": "CI" in os.environ}
settings.register_profile("fast", max_examples=20, **_SHARED)
settings.register_profile("deep", max_examples=100, **_SHARED)
settings.load_profile("fast")

# As the command line does: workers and their children share what the first of them has compiled.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_MARKS = re.compile(r"^pytestmark = (.*(?:\n    .*)*)", re.MULTILINE)


def pytest_addoption(parser):
    parser.addoption("--smoke", action="store_true", help="run benchmarks on little data, to see that they work")
    parser.addoption("--save-figures", action="store_true", help="write what benchmarks measure to their figures.toml")


def pytest_ignore_collect(collection_path, config):
    """Leave out a module that `-m` can choose nothing of: its imports alone (TensorFlow, CDK, moto) take seconds."""
    if not collection_path.name.startswith("test_") or collection_path.suffix != ".py":
        return None
    source = collection_path.read_text(encoding="utf-8")
    own = _MARKS.search(source)
    wanted = re.findall(r"\b(?:(not) )?(?!and|or|not)(\w+)", config.option.markexpr)
    excluded = any(own and f"pytest.mark.{mark}" in own[1] for negated, mark in wanted if negated)
    chosen = [mark for negated, mark in wanted if not negated]
    missing = chosen and not any(f"pytest.mark.{mark}" in source for mark in chosen)
    return True if excluded or missing else None
