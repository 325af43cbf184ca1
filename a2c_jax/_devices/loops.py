"""Loops, branches and argmax in the form that suits the device: a CPU, or a GPU or TPU.

With :mod:`a2c_jax._devices.fused_products`, they reduce the kernels that an H100 launches for an
update of 16 steps of 1024 seeds of the article's network from 242 to 95.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

_FEW_ROWS = 32
_FEW_ACTIONS = 8


def scan(body: Callable[[Any, Any], Any], carry: Any, rows: Any, reverse: bool = False) -> Any:
    """``jax.lax.scan``, unrolled on a GPU or TPU if there are few rows.

    On a CPU, unrolled loops are slower and take five times as long to compile. On a GPU, where
    each kernel is launched, steps then share kernels.
    """
    length = jax.tree.leaves(rows)[0].shape[0]

    def unrolled(by: int) -> Callable[[Any, Any], Any]:
        return lambda carry, rows: jax.lax.scan(body, carry, rows, reverse=reverse, unroll=by)

    if length > _FEW_ROWS:
        return unrolled(1)(carry, rows)
    # Without the barrier, every kernel that reads the stacked rows would stack them again.
    return jax.lax.platform_dependent(
        carry,
        rows,
        cpu=unrolled(1),
        default=lambda *args: jax.lax.optimization_barrier(unrolled(length)(*args)),
    )


def shortcut(short: Callable[[], Any], full: Callable[[], Any], unless: jax.Array) -> Any:
    """``short()``, or ``full()`` if ``unless`` holds; on a GPU or TPU, ``full()`` always.

    There, seeds are vmapped, and under ``vmap`` both branches are computed.
    """
    return jax.lax.platform_dependent(cpu=lambda: jax.lax.cond(unless, full, short), default=full)


def argmax(x: jax.Array) -> jax.Array:
    """``jnp.argmax(x, axis=-1)``; on a GPU or TPU, comparisons that fuse if there are few.

    Their only difference: where an entry is NaN, they ignore it.
    """

    def compare(x: jax.Array) -> jax.Array:
        best, index = x[..., 0], jnp.zeros_like(x[..., 0], dtype)
        for number in range(1, x.shape[-1]):
            better = x[..., number] > best
            best = jnp.where(better, x[..., number], best)
            index = jnp.where(better, dtype.type(number), index)
        return index

    def whole(x: jax.Array) -> jax.Array:
        return jnp.argmax(x, axis=-1)

    dtype = jax.eval_shape(whole, x).dtype
    if x.shape[-1] > _FEW_ACTIONS:
        return whole(x)
    return jax.lax.platform_dependent(x, cpu=whole, default=compare)
