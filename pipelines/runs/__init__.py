"""Executions, here and in AWS: starting one, following it, its status and verdict."""
