"""The suites of environments that are extras: which are installed, and marks of tests."""

import importlib.util

import pytest


def installed(suite):
    return importlib.util.find_spec(suite) is not None


def needs(suite):
    """Skips a test where the suite is not installed."""
    return pytest.mark.skipif(not installed(suite), reason=f"{suite} is not installed")


def for_each(presets):
    """Parameters of a test that makes the environment of each preset."""
    return [pytest.param(name, marks=needs("brax") if name == "brax" else ()) for name in presets]
