"""Replays: recorded episodes, and the page that plays them."""
