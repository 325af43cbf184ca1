"""The command line: parse flags, call a Python function, print its result."""
