"""What compiles well on each kind of device; the numbers are those of plain JAX.

:func:`fast_random` and :func:`stored` can be removed, and the others replaced by ``jax.lax.scan``,
``jax.lax.cond``, ``jnp.argmax`` and matrix products; only speed changes. Nowhere else does a
program depend on the kind of device, except that :mod:`a2c_jax.parallel` trains the seeds of a
batch one after another on a CPU and all at once elsewhere.
"""

from a2c_jax._devices.loops import argmax, scan, shortcut
from a2c_jax._devices.products import perceptron, stored
from a2c_jax._devices.threefry import fast_random

__all__ = ["argmax", "fast_random", "perceptron", "scan", "shortcut", "stored"]
