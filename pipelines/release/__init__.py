"""Signed releases of approved models, and the channels that phones follow."""
