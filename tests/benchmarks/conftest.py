"""The benchmarks' sizes and figures: a smoke takes the small ones and compares nothing."""

import pytest

from steps.network.runtime import start_tensorflow
from tests.benchmarks.figures import Figures

_FIGURES = pytest.StashKey[Figures]()


@pytest.fixture(scope="session")
def sizes(pytestconfig):
    """Choose a benchmark's sizes: `sizes(full=…, smoke=…)`."""
    chosen = "smoke" if pytestconfig.option.smoke else "full"
    return lambda **of: of[chosen]


@pytest.fixture(scope="session")
def network(sizes):
    """Cut the backbone to its first blocks in a smoke, most of whose time tracing and converting would be."""
    with pytest.MonkeyPatch.context() as patch:
        if sizes(full=False, smoke=True):
            start_tensorflow()
            from steps.network import backbone

            patch.setattr(backbone, "_SMALL", backbone._SMALL[:2])
            patch.setattr(backbone, "_SMALL_POOLED", (1,))
        yield


@pytest.fixture(scope="session")
def figures(pytestconfig):
    return pytestconfig.stash.setdefault(_FIGURES, Figures(smoke=pytestconfig.option.smoke))


def pytest_terminal_summary(terminalreporter, config):
    found = config.stash.get(_FIGURES, None)
    for line in found.lines() if found else ():
        terminalreporter.write_line(line)
    if found and config.option.save_figures:
        found.save()
