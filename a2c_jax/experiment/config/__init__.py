"""Configurations: what a run is configured with, as flags and as JSON."""
