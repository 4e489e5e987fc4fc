"""The benchmarks' sizes and figures: a smoke takes the small ones and compares nothing."""

import pytest

from tests.benchmarks.figures import Figures

_FIGURES = pytest.StashKey[Figures]()


def pytest_ignore_collect(config):
    """Leave benchmarks unread where the marks leave them out: reading them imports TensorFlow."""
    marks = config.option.markexpr
    return True if marks and "benchmark" not in marks.replace("not benchmark", "") else None


@pytest.fixture(scope="session")
def sizes(pytestconfig):
    """Choose a benchmark's sizes: `sizes(full=…, smoke=…)`."""
    chosen = "smoke" if pytestconfig.option.smoke else "full"
    return lambda **of: of[chosen]


@pytest.fixture(scope="session")
def figures(pytestconfig):
    return pytestconfig.stash.setdefault(_FIGURES, Figures(smoke=pytestconfig.option.smoke))


def pytest_terminal_summary(terminalreporter, config):
    found = config.stash.get(_FIGURES, None)
    for line in found.lines() if found else ():
        terminalreporter.write_line(line)
    if found and config.option.save_figures:
        found.save()
