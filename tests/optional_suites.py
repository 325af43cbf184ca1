"""Marks of tests of suites of environments, which are extras."""

import pytest


def needs(suite):
    """Marks a test of a suite: it is slow, and skipped where the suite is not installed."""
    return pytest.mark.slow("another package", package=suite)


def for_each(presets):
    """Parameters of a test that makes the environment of each preset."""
    return [pytest.param(name, marks=needs("brax") if "brax" in name else ()) for name in presets]
