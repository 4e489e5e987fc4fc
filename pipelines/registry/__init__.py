"""The registry of models that wait for, or have, a person's approval; importing this does not import MLflow."""

from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.registry.protocol import (
    PENDING,
    Decision,
    ModelRegistry,
    ModelVersion,
    RegistryError,
    register_callback,
)

__all__ = [
    "PENDING",
    "Decision",
    "MlflowRegistry",
    "ModelRegistry",
    "ModelVersion",
    "RegistryError",
    "register_callback",
]
