"""Sweeps: settings times seeds in one program."""
