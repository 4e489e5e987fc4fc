"""Errors, files, worker processes, and the frame of a step program."""
