"""A local executor of SageMaker Pipelines definitions: every job is a subprocess under the `/opt/ml` contract."""
