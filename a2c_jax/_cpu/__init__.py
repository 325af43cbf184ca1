"""What makes XLA's CPU back end fast, and nothing else: the numbers are those of plain JAX.

Everything here can be replaced by what it stands for (:func:`fast_random` by nothing,
:func:`stored` by nothing and :func:`linear` by ``x @ kernel + bias``) and only speed changes.
"""

from a2c_jax._cpu.products import linear, stored
from a2c_jax._cpu.threefry import fast_random

__all__ = ["fast_random", "linear", "stored"]
