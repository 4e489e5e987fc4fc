"""Parameters of a run that is about the workflow, not the model: those of a deployment's smoke run."""

from infra.deployment.smoke import PARAMETERS as QUICK
from infra.deployment.smoke import SCREENSHOTS

__all__ = ["QUICK", "SCREENSHOTS"]
