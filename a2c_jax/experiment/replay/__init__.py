"""Replays: recorded episodes of trained policies, on one HTML page."""
