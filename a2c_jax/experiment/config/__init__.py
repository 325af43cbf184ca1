"""Configurations of runs, as flags and as JSON."""
