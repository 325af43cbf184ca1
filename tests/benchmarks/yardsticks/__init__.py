"""Other programs that train the same task, which ``bench.py`` measures too.

Each is a script that imports nothing of a2c_jax, so that an interpreter with packages and
versions of its own can run it; the protocol is in ``worker.py``.
"""
