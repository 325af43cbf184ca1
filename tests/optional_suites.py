"""Marks of tests that need a suite of environments, which is an extra."""

import importlib.util

import pytest


def needs(suite: str) -> pytest.MarkDecorator:
    """Skips a test where the suite is not installed."""
    installed = importlib.util.find_spec(suite) is not None
    return pytest.mark.skipif(not installed, reason=f"{suite} is not installed")
