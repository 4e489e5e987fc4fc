"""The registry of models that wait for, or have, a person's approval: MLflow here, SageMaker in AWS."""
