"""The registry of models that wait for, or have, a person's approval; importing it imports neither MLflow nor boto3."""

from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.registry.protocol import (
    APPROVED,
    PENDING,
    REJECTED,
    Decision,
    ModelRegistry,
    ModelVersion,
    RegistryError,
    register_callback,
)
from pipelines.registry.sagemaker_registry import SageMakerRegistry

__all__ = [
    "APPROVED",
    "PENDING",
    "REJECTED",
    "Decision",
    "MlflowRegistry",
    "ModelRegistry",
    "ModelVersion",
    "RegistryError",
    "SageMakerRegistry",
    "register_callback",
]
