"""Statistics over seeds, on NumPy arrays."""
