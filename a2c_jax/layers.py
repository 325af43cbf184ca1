"""Linear layers, their initialisation, and the multilayer perceptron made of them."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from a2c_jax._devices import perceptron, stored
from a2c_jax.types import Key

Activation = Callable[[jax.Array], jax.Array]


class Initializer(Protocol):
    """Draws the initial kernel or bias of a linear layer of shape ``(in, out)``."""

    def __call__(self, key: Key, shape: tuple[int, int], /) -> jax.Array: ...


class LayerInit(NamedTuple):
    """Initialisers of a linear layer.

    Attributes:
        kernel: ``kernel(key, (in, out)) -> [in, out]``.
        bias: ``bias(key, (in, out)) -> [out]``.
    """

    kernel: Initializer
    bias: Initializer


def orthogonal(gain: float = math.sqrt(2.0)) -> LayerInit:
    """Orthogonal kernels times ``gain``, biases of zero (Saxe et al. 2014)."""
    init = nn.initializers.orthogonal(1.0, dtype=jnp.float32)

    def kernel(key: Key, shape: tuple[int, int]) -> jax.Array:
        # Sequential under vmap: jaxlib 0.10.2 hangs on a batch of factorisations that is
        # spread over several CPU devices.
        draw = jax.custom_batching.sequential_vmap(lambda key: init(key, shape[::-1]).T)
        return gain * draw(key)  # outside, since the gain may be traced

    return LayerInit(kernel=kernel, bias=lambda key, shape: jnp.zeros(shape[1], jnp.float32))


def uniform_fan_in() -> LayerInit:
    """The default of PyTorch's Linear: kernel and bias uniform within ±1/sqrt(in)."""

    def uniform(key: Key, shape: tuple[int, ...], fan_in: int) -> jax.Array:
        bound = 1.0 / math.sqrt(fan_in)
        return jax.random.uniform(key, shape, jnp.float32, -bound, bound)

    return LayerInit(
        kernel=lambda key, shape: uniform(key, shape[::-1], shape[0]).T,
        bias=lambda key, shape: uniform(key, shape[1:], shape[0]),
    )


class Linear(nn.Module):
    """The weights of a linear layer ``y = x W + b``.

    Attributes:
        features: size of the output.
        layer_init: see :class:`LayerInit`.
    """

    features: int
    layer_init: LayerInit

    @nn.compact
    def __call__(self, num_inputs: int) -> tuple[jax.Array, jax.Array]:
        """Returns ``(kernel, bias)`` for an input of this size."""
        shape = (num_inputs, self.features)
        bias = self.param("bias", self.layer_init.bias, shape)
        return self.param("kernel", lambda key: stored(self.layer_init.kernel(key, shape))), bias


class Dense(nn.Module):
    """A linear layer ``y = x W + b``, then an activation.

    Attributes:
        features: size of the output.
        activation: applied to the sums.
        layer_norm: normalise the sums before the activation (Ba et al. 2016).
        layer_init: see :class:`LayerInit`.
    """

    features: int
    activation: Activation
    layer_norm: bool
    layer_init: LayerInit

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[B, in]`` to ``[B, features]``."""
        weights = Linear(self.features, self.layer_init)(x.shape[-1])
        sums = perceptron(x, [weights], self.activation)
        return self.activation(nn.LayerNorm()(sums) if self.layer_norm else sums)


class MLP(nn.Module):
    """Hidden layers with an activation, then a linear head."""

    hidden_sizes: Sequence[int]
    features: int
    activation: Activation
    hidden_init: LayerInit
    head_init: LayerInit

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[B, *O]`` to ``[B, features]``."""
        x = jnp.asarray(x, jnp.float32).reshape((x.shape[0], -1))
        layers = [Linear(size, self.hidden_init) for size in self.hidden_sizes]
        layers.append(Linear(self.features, self.head_init))
        inputs = (x.shape[-1], *self.hidden_sizes)
        weights = [layer(size) for layer, size in zip(layers, inputs, strict=True)]
        return perceptron(x, weights, self.activation)


class Perceptron(nn.Module):
    """Linear layers, each with an activation, on flattened observations.

    Attributes:
        hidden_sizes: units of each layer.
        activation: after each layer.
        layer_norm: normalise the sums of each layer before its activation (Ba et al. 2016).
        layer_init: initialises the layers.
    """

    hidden_sizes: Sequence[int] = (64, 64)
    activation: Activation = nn.tanh
    layer_norm: bool = False
    layer_init: LayerInit = orthogonal()

    @nn.compact
    def __call__(self, obs: jax.Array) -> jax.Array:
        """Maps ``[B, *O]`` to ``[B, hidden_sizes[-1]]``."""
        x = jnp.asarray(obs, jnp.float32).reshape((obs.shape[0], -1))
        for size in self.hidden_sizes:
            x = Dense(size, self.activation, self.layer_norm, self.layer_init)(x)
        return x


class Convolution(nn.Module):
    """A convolution of images without padding, with stride 1, and its activation.

    Attributes:
        features: number of filters.
        size: K, the height and width of a filter.
        activation: after the convolution.
        layer_norm: normalise the filters' sums at each place before the activation.
        layer_init: initialises the kernel ``[K K C, features]``.
    """

    features: int = 16
    size: int = 3
    activation: Activation = nn.relu
    layer_norm: bool = False
    layer_init: LayerInit = orthogonal()

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """Maps ``[B, H, W, C]`` to ``[B, H - K + 1, W - K + 1, features]``."""
        batch, height, width, channels = image.shape
        rows, columns = height - self.size + 1, width - self.size + 1
        image = jnp.asarray(image, jnp.float32)
        patches = [
            image[:, i : i + rows, j : j + columns]
            for i in range(self.size)
            for j in range(self.size)
        ]
        x = jnp.concatenate(patches, axis=-1).reshape((-1, self.size**2 * channels))
        x = Dense(self.features, self.activation, self.layer_norm, self.layer_init)(x)
        return x.reshape((batch, rows, columns, self.features))
