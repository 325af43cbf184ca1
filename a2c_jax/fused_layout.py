"""Parameters of two small perceptrons as rows of one array, a column for each hidden unit.

The policy's units come first, then the value's, each padded with zeros to a multiple of 64, so
that a row divides among the 128 threads that Mosaic GPU works with. Padding stays zero under
training: nothing flows into a unit whose weights are zero, nor out of it.

====================== ======================================================
rows                   contents
====================== ======================================================
0 … 3                  first kernel, one row for each number that is observed
4                      first bias
5, 6, 7                kernels of the heads: two actions, then the value
8                      biases of the heads, in columns 0, 1 and 2
9, 10 … 9 + units      second bias and kernel, where there are two layers
====================== ======================================================
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from a2c_jax.types import Params

NUM_OBS, NUM_ACTIONS = 4, 2
NUM_OUTPUTS = NUM_ACTIONS + 1  # and a value
FIRST_BIAS, HEADS, HEAD_BIASES, SECOND_BIAS, SECOND = 4, 5, 8, 9, 10
_WARPGROUP = 128


def round_up(size: int, multiple: int = _WARPGROUP) -> int:
    """The least multiple that is no smaller than ``size``."""
    return -(-size // multiple) * multiple


class Layout(NamedTuple):
    """Which rows there are: one or two hidden layers of these sizes."""

    hidden_sizes: tuple[int, ...]

    @property
    def units(self) -> int:
        """Columns of each network."""
        return round_up(max(self.hidden_sizes), _WARPGROUP // 2)

    @property
    def shape(self) -> tuple[int, int]:
        """Of the array."""
        rows = SECOND_BIAS if len(self.hidden_sizes) == 1 else SECOND + self.units
        return rows, 2 * self.units


def pack(params: Params, layout: Layout) -> jax.Array:
    """Lays out a parameter tree, or one of the optimizer's like it, as rows."""
    policy, value = params["policy"]["params"], params["value"]["params"]

    def beside(name: str, kind: str) -> jax.Array:
        left, right = (jnp.atleast_2d(net[name][kind]) for net in (policy, value))
        return jnp.concatenate([_widen(left, layout), _widen(right, layout)], axis=1)

    head = f"Linear_{len(layout.hidden_sizes)}"
    left = _widen(policy[head]["kernel"], layout)
    right = _widen(value[head]["kernel"], layout)
    biases = jnp.concatenate([policy[head]["bias"], value[head]["bias"]])
    blocks = [
        beside("Linear_0", "kernel"),
        beside("Linear_0", "bias"),
        jnp.concatenate([left, jnp.zeros_like(left)], axis=1),
        jnp.concatenate([jnp.zeros_like(right), right], axis=1),
        jnp.pad(biases, (0, layout.shape[1] - biases.size))[None],
    ]
    if len(layout.hidden_sizes) > 1:
        kernel = beside("Linear_1", "kernel")
        missing = layout.units - kernel.shape[0]
        blocks += [beside("Linear_1", "bias"), jnp.pad(kernel, ((0, missing), (0, 0)))]
    return jnp.concatenate(blocks)


def unpack(rows: jax.Array, layout: Layout) -> Params:
    """The tree that :func:`pack` laid out."""
    sizes, units = layout.hidden_sizes, layout.units

    def linear(start: int, heads: slice, biases: slice) -> dict[str, Any]:
        columns = slice(start, start + sizes[-1])
        first = slice(start, start + sizes[0])
        layers = [{"kernel": rows[:NUM_OBS, first], "bias": rows[FIRST_BIAS, first]}]
        if len(sizes) > 1:
            kernel = rows[SECOND : SECOND + sizes[0], columns]
            layers.append({"kernel": kernel, "bias": rows[SECOND_BIAS, columns]})
        layers.append({"kernel": rows[heads, columns], "bias": rows[HEAD_BIASES, biases]})
        return {"params": {f"Linear_{i}": layer for i, layer in enumerate(layers)}}

    value_row = HEADS + NUM_ACTIONS
    return {
        "policy": linear(0, slice(HEADS, value_row), slice(0, NUM_ACTIONS)),
        "value": linear(units, slice(value_row, HEAD_BIASES), slice(NUM_ACTIONS, NUM_ACTIONS + 1)),
    }


def turned_second(rows: jax.Array, layout: Layout) -> jax.Array:
    """The second kernels ``[units, 2 units]``, each transposed in its place; or a row of zeros."""
    if len(layout.hidden_sizes) == 1:
        return jnp.zeros((1, layout.shape[1]))
    halves = jnp.split(rows[SECOND:], 2, axis=1)
    return jnp.concatenate([half.T for half in halves], axis=1)


def _widen(block: jax.Array, layout: Layout) -> jax.Array:
    return jnp.pad(block, ((0, 0), (0, layout.units - block.shape[1])))
