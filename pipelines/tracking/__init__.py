"""Experiment tracking with MLflow; importing this package imports no MLflow."""
