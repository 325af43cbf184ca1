"""Runs on disk: how to train, save, resume, load, join, evaluate and plot them."""
