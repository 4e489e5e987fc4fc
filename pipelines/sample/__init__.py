"""The embedded sample: labelled phone screens drawn by code, for a first run and for the tests."""

from pipelines.sample.writer import SAMPLE_VERSION, write_sample

__all__ = ["SAMPLE_VERSION", "write_sample"]
