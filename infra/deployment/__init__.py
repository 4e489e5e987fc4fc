"""Bringing an environment's stacks to what their templates say, and removing them again."""
