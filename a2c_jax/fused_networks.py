"""The networks inside the fused kernel: outputs and gradients for one observation at a time.

Mosaic GPU has no matrix product of such sizes, so everything is multiplied and summed.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from a2c_jax.fused_layout import (
    FIRST_BIAS,
    HEAD_BIASES,
    HEADS,
    NUM_ACTIONS,
    NUM_OBS,
    NUM_OUTPUTS,
    SECOND,
    SECOND_BIAS,
)
from a2c_jax.fused_memory import Memory, Ref, Static


class Weights(NamedTuple):
    """What stays in registers, each ``[columns]``, biases of heads apart; see the layout."""

    first: list[jax.Array]
    first_bias: jax.Array
    heads: list[jax.Array]
    head_biases: list[jax.Array]
    second_bias: jax.Array | None
    is_policy: jax.Array


def loop(count: int, body: Callable[[jax.Array], None]) -> None:
    """Calls ``body(i)`` for each i below ``count``."""

    def call(i: jax.Array, carry: int) -> int:
        body(i)
        return carry

    jax.lax.fori_loop(0, count, call, 0)


def accumulate(
    count: int, terms: Callable[[jax.Array], list[jax.Array]], zeros: list[jax.Array]
) -> list[jax.Array]:
    """Adds up what ``terms(i)`` gives for each i below ``count``, from ``zeros`` on."""

    def add(i: jax.Array, totals: list[jax.Array]) -> list[jax.Array]:
        return [total + term for total, term in zip(totals, terms(i), strict=True)]

    return jax.lax.fori_loop(0, count, add, zeros)


def load_weights(static: Static, memory: Memory) -> Weights:
    """Reads the parameters: second kernels into shared memory, the rest into registers."""
    params = memory.given.params
    two_layers = len(static.layout.hidden_sizes) > 1
    if two_layers:

        def copy(i: jax.Array) -> None:
            memory.local.second[i] = params[SECOND + i]
            memory.local.turned[i] = memory.given.turned[i]

        loop(static.layout.units, copy)
    return Weights(
        first=[params[i] for i in range(NUM_OBS)],
        first_bias=params[FIRST_BIAS],
        heads=[params[HEADS + i] for i in range(NUM_OUTPUTS)],
        head_biases=[params[HEAD_BIASES, i] for i in range(NUM_OUTPUTS)],
        second_bias=params[SECOND_BIAS] if two_layers else None,
        is_policy=memory.given.is_policy[...],
    )


def hidden_layers(
    static: Static, memory: Memory, weights: Weights, obs: list[jax.Array]
) -> list[jax.Array]:
    """Activations ``[columns]`` of both networks, layer by layer, for four numbers.

    Leaves those of the first of two layers in ``units`` too.
    """
    terms = [x * row for x, row in zip(obs, weights.first, strict=True)]
    first = static.activation(sum(terms, weights.first_bias))
    if weights.second_bias is None:
        return [first]
    units, second = memory.local.units, memory.local.second
    units[...] = first

    def add(i: jax.Array, total: jax.Array) -> jax.Array:
        return total + _of_its_network(static, weights, units, i) * second[i]

    second_sum = jax.lax.fori_loop(0, static.layout.units, add, weights.second_bias)
    return [first, static.activation(second_sum)]


def head(weights: Weights, last_layer: jax.Array, i: int) -> jax.Array:
    """Output i, a scalar: logits, then the value."""
    return jnp.sum(last_layer * weights.heads[i]) + weights.head_biases[i]


def differentiate_networks(static: Static, memory: Memory, weights: Weights) -> None:
    """Fills ``grads`` but for the heads' biases, from the loss's gradient in ``outputs``."""
    local, two_layers = memory.local, weights.second_bias is not None
    zeros = jnp.zeros(static.layout.shape[1], jnp.float32)
    if two_layers:

        def clear(i: jax.Array) -> None:
            local.grads[SECOND + i] = zeros

        loop(static.layout.units, clear)
    rows = [*range(FIRST_BIAS + 1), *range(HEADS, HEAD_BIASES), *([SECOND_BIAS] * two_layers)]

    def one(index: jax.Array) -> list[jax.Array]:
        t, n = index // static.num_envs, index % static.num_envs
        obs = [local.obs[t, k, n] for k in range(NUM_OBS)]
        by_output = [local.outputs[t, i, n] for i in range(NUM_OUTPUTS)]
        return _gradient(static, memory, weights, obs, by_output)

    totals = accumulate(static.batch, one, [zeros] * len(rows))
    for row, total in zip(rows, totals, strict=True):
        local.grads[row] = total * _owns(weights, row)


def _gradient(
    static: Static,
    memory: Memory,
    weights: Weights,
    obs: list[jax.Array],
    by_output: list[jax.Array],
) -> list[jax.Array]:
    """By the first kernel and bias, the heads and the second bias; the second kernel's is added."""
    layers = hidden_layers(static, memory, weights, obs)
    by_head = [d * layers[-1] for d in by_output]
    through = [d * row for d, row in zip(by_output, weights.heads, strict=True)]
    delta = (through[0] + through[1] + through[2]) * static.slope(layers[-1])
    by_second_bias = []
    if weights.second_bias is not None:
        by_second_bias = [delta]
        delta = _through_second(static, memory, weights, delta) * static.slope(layers[0])
    return [*(x * delta for x in obs), delta, *by_head, *by_second_bias]


def _through_second(
    static: Static, memory: Memory, weights: Weights, delta: jax.Array
) -> jax.Array:
    """Adds to the second kernels' gradient; returns the gradient by the first activations."""
    local = memory.local
    local.deltas[...] = delta

    def one(i: jax.Array, total: jax.Array) -> jax.Array:
        row = local.grads[SECOND + i]
        local.grads[SECOND + i] = row + _of_its_network(static, weights, local.units, i) * delta
        return total + _of_its_network(static, weights, local.deltas, i) * local.turned[i]

    return jax.lax.fori_loop(0, static.layout.units, one, jnp.zeros_like(delta))


def _of_its_network(static: Static, weights: Weights, ref: Ref, i: jax.Array) -> jax.Array:
    """In each column the number that unit i of the same network has."""
    return jnp.where(weights.is_policy > 0, ref[i], ref[static.layout.units + i])


def _owns(weights: Weights, row: int) -> jax.Array | float:
    """1 in the columns that a row of parameters has, 0 in its padding."""
    if HEADS <= row < HEADS + NUM_ACTIONS:
        return weights.is_policy
    return 1.0 - weights.is_policy if row == HEADS + NUM_ACTIONS else 1.0
