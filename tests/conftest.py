"""What all tests share."""

import os
import sys

from hypothesis import HealthCheck, settings

# A busy machine is no failure, and CI has to fail for a change's sake only, not for an unlucky draw.
settings.register_profile(
    "tilegate", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("tilegate")

# As the command line does: workers and their children share what the first of them has compiled.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
