"""Statistics over seeds, of NumPy arrays."""
