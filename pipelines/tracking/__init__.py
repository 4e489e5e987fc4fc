"""Experiment tracking of local executions with MLflow; importing this does not import MLflow."""

from pipelines.tracking.listener import MlflowTracker
from pipelines.tracking.ui import run_url, ui_command, ui_environment

__all__ = ["MlflowTracker", "run_url", "ui_command", "ui_environment"]
