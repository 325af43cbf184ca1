"""Sweeps: settings times seeds in one compiled program."""
