"""Linear layers, how they start, and the multilayer perceptron made of them."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from a2c_jax.products import affine, head
from a2c_jax.types import Key

Initializer = Callable[[Key, tuple[int, int]], jax.Array]
Activation = Callable[[jax.Array], jax.Array]


class LayerInit(NamedTuple):
    """How a linear layer starts, each a function of ``(key, (out, in))``.

    Attributes:
        kernel: the kernel, ``[out, in]``.
        bias: the bias, ``[out]``.
    """

    kernel: Initializer
    bias: Initializer


def orthogonal(gain: float = math.sqrt(2.0)) -> LayerInit:
    """Orthogonal kernels times ``gain``, biases of zero (Saxe et al. 2014)."""
    init = nn.initializers.orthogonal(gain)

    def kernel(key: Key, shape: tuple[int, int]) -> jax.Array:
        # One factorisation after another under vmap: jaxlib 0.10.2 never finishes a batch
        # of them that is spread over several CPU devices.
        return jax.custom_batching.sequential_vmap(lambda key: init(key, shape))(key)

    return LayerInit(
        kernel=kernel,
        bias=lambda key, shape: jnp.zeros(shape[0]),
    )


def uniform_fan_in() -> LayerInit:
    """PyTorch's default for Linear: kernel and bias uniform within ±1/sqrt(in)."""

    def uniform(key: Key, shape: tuple[int, ...], fan_in: int) -> jax.Array:
        bound = 1.0 / math.sqrt(fan_in)
        return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

    return LayerInit(
        kernel=lambda key, shape: uniform(key, shape, shape[1]),
        bias=lambda key, shape: uniform(key, shape[:1], shape[1]),
    )


class Linear(nn.Module):
    """``y = W x + b`` of a batch ``[B, in]``.

    Attributes:
        features: size of the output.
        layer_init: how the layer starts.
        output_first: whether the kernel is stored ``[out, in]``, as :func:`a2c_jax.products.head`
            wants it, which is for few outputs.
    """

    features: int
    layer_init: LayerInit
    output_first: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[B, in]`` to ``[B, out]``."""
        shape = (self.features, x.shape[-1])
        bias = self.param("bias", self.layer_init.bias, shape)
        if self.output_first:
            return head(x, self.param("kernel", self.layer_init.kernel, shape)) + bias
        return affine(
            x, self.param("kernel", lambda key: self.layer_init.kernel(key, shape).T), bias
        )


class MLP(nn.Module):
    """Hidden layers with an activation, then a linear head."""

    hidden_sizes: Sequence[int]
    features: int
    activation: Activation
    hidden_init: LayerInit
    head_init: LayerInit

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[B, in]`` to ``[B, features]``."""
        for size in self.hidden_sizes:
            x = self.activation(Linear(size, self.hidden_init, output_first=False)(x))
        return Linear(self.features, self.head_init, output_first=True)(x)
