"""Measurements behind the figures of the documentation. `make bench` runs them all."""
