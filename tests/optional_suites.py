"""The suites of environments that are extras: which are installed, and marks of tests."""

import importlib.util

import pytest


def installed(suite):
    return importlib.util.find_spec(suite) is not None


def needs(suite):
    """Marks a test of a suite: it is slow, and skipped where the suite is not installed."""
    return pytest.mark.slow("another package", package=suite)


def for_each(presets):
    """Parameters of a test that makes the environment of each preset."""
    return [pytest.param(name, marks=needs("brax") if name == "brax" else ()) for name in presets]
