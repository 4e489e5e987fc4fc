"""What is run and when: the definition, the local executor, the registry, MLflow and the command line."""
