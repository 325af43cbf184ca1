"""Figures: arrays in, a file out."""
