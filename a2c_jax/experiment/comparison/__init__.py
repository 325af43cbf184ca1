"""Comparisons of methods at equal environment steps."""
