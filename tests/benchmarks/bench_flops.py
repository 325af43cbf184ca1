"""Arithmetic: how much of it a step needs, and how fast the devices could do it at best."""

import time
from collections.abc import Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp

LAYERS = {"article": (4, 256), "default": (4, 64, 64)}
"""Sizes of the observation and the hidden layers, in both halves of the network."""

_ACTIONS, _VALUES = 2, 1
_WIDTH = 1024
_PRODUCTS = 4  # in one call, so that calling costs nothing beside it


def flops_per_step(layers: Sequence[int]) -> int:
    """Floating point operations of the matrix products for one environment step, in training.

    With P and V the numbers of weights of the policy and of the value, and P' and V' those
    without the first layers, 2 for each weight (a product and a sum) and::

        rollout              P         the policy acts
        update, forward      P + V     of the observations
                             V         of the next observations, for the targets
        update, backward     P + V     gradients of the weights
                             P' + V'   gradients of the inputs of all layers but the first

    which is 2 (3 P + 3 V + P' + V'), and 18,432 for the article's network. What a program
    computes in another way, or leaves out, does not change what is counted; biases, activations,
    the environment and the optimizer are not counted.

    Args:
        layers: sizes of the observation and of the hidden layers.
    """
    policy, value = _weights(layers, _ACTIONS), _weights(layers, _VALUES)
    later_policy, later_value = _weights(layers[1:], _ACTIONS), _weights(layers[1:], _VALUES)
    return 2 * (3 * policy + 3 * value + later_policy + later_value)


def _weights(layers: Sequence[int], outputs: int) -> int:
    return sum(inputs * units for inputs, units in pairwise((*layers, outputs)))


def matmul_flops_per_second(rounds: int) -> list[float]:
    """The rate of products of float32 matrices of 1024 x 1024, on all devices at once."""

    @jax.jit
    def products(x: jax.Array, y: jax.Array) -> jax.Array:
        for _ in range(_PRODUCTS):
            x = x @ y
        return x

    matrix = jnp.eye(_WIDTH, dtype=jnp.float32)
    operands = [jax.device_put(matrix, device) for device in jax.local_devices()]

    def seconds() -> float:
        start = time.perf_counter()
        jax.block_until_ready([products(operand, operand) for operand in operands])
        return time.perf_counter() - start

    seconds()  # compiles
    flops = 2 * _WIDTH**3 * _PRODUCTS * len(operands)
    return [flops / seconds() for _ in range(rounds)]
