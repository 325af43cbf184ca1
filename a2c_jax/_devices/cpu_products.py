"""Products of thin matrices, ``[B, few] [few, out]`` and ``[B, in] [in, few]``, that XLA fuses.

A network for a small task begins with few features and ends with few outputs. XLA's CPU back end
hands such matrix products to a library, whose call takes longer than the arithmetic, and fuses
nothing around them. Written as sums, they fuse with the bias and the activation into one loop, and
a whole rollout can become a single kernel. Their derivatives are matrix products, of shapes that
are fast. The numbers equal those of the matrix products up to rounding.
"""

import functools
import operator

import jax
import jax.numpy as jnp

_IN_CACHE = 16_384  # numbers that a core's first-level cache holds
_LANES = 32  # partial sums, which fill two or four vector registers


def to_few(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """``x Wᵀ + b`` of few outputs, with a kernel ``[out, in]``."""
    return _to_few(x, kernel) + bias[None]


@jax.custom_jvp
def from_few(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """``x W + b`` of few features, with a kernel ``[in, out]``."""
    # A sum of outer products takes half the time of the matrix product [128, 4] [4, 256],
    # activation included.
    outer_products = [x[:, i : i + 1] * kernel[i : i + 1] for i in range(x.shape[1])]
    return functools.reduce(operator.add, outer_products) + bias[None]


@from_few.defjvp
def _from_few_jvp(primals, tangents):  # type: ignore[no-untyped-def]
    x, kernel, bias = primals
    dx, dkernel, dbias = tangents
    # The bias is treated as the kernel of a feature that is always 1: alone, its gradient, a sum
    # over the batch, would take as long as the kernel's. The leading axis is that of the features,
    # which suits the product of the derivative.
    features = jnp.concatenate([x.T, jnp.ones((1, x.shape[0]), x.dtype)])
    with_bias = features.T @ jnp.concatenate([dkernel, dbias[None]])
    return from_few(x, kernel, bias), dx @ kernel + with_bias


@jax.custom_jvp
def _to_few(x: jax.Array, kernel: jax.Array) -> jax.Array:
    # x Wᵀ, by a matrix-vector product or, for small batches, a sum for each output. The
    # matrix-vector products take 3 microseconds where [128, 256] [256, 2] takes 5, and their
    # derivatives are twice as fast. The sums save a quarter of a rollout's time, and three
    # quarters if XLA compiles the rollout into one kernel.
    # A symbolic batch, of an exported program, has no known size.
    is_small = isinstance(x.shape[0], int) and x.size <= _IN_CACHE
    one = _sum_in_lanes if is_small and x.shape[1] % _LANES == 0 else jnp.dot
    return jnp.stack([one(x, row) for row in kernel], -1)


def _sum_in_lanes(x: jax.Array, row: jax.Array) -> jax.Array:
    # Partial sums in neighbouring lanes: a sequential sum over the last axis would use only one
    # lane of a vector register.
    terms = x * row[None]
    parts = [terms[:, i : i + _LANES] for i in range(0, x.shape[1], _LANES)]
    return jnp.sum(functools.reduce(operator.add, parts), -1)


@_to_few.defjvp
def _to_few_jvp(primals, tangents):  # type: ignore[no-untyped-def]
    x, kernel = primals
    dx, dkernel = tangents
    # The transposes of these sums are outer products, which fuse with the operations after them.
    through = jnp.stack([jnp.sum(dx * row[None], -1) for row in kernel], -1)
    tangent = through + jnp.stack([x @ drow for drow in dkernel], -1)
    # Without the barrier, XLA computes the loss's gradient again for every unit of the layer below.
    return _to_few(x, kernel), jax.lax.optimization_barrier(tangent)
