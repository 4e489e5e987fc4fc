"""What all tests share."""

import os

from hypothesis import HealthCheck, settings

# A busy machine is no failure, and CI has to fail for a change's sake only, not for an unlucky draw.
settings.register_profile(
    "tilegate", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("tilegate")


def pytest_addoption(parser):
    parser.addoption("--smoke", action="store_true", help="run benchmarks on little data, to see that they work")
    parser.addoption("--save-figures", action="store_true", help="write what benchmarks measure to their figures.toml")
