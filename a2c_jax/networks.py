"""flax.linen modules behind the :class:`a2c_jax.Network` record."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from a2c_jax import checks
from a2c_jax.environments import num_actions
from a2c_jax.types import Environment, Key, Network, Params

Initializer = Callable[[Key, tuple[int, int]], jax.Array]


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
    """``y = W x + b`` over the last axis.

    Attributes:
        features: size of the output.
        layer_init: how the layer starts.
        output_first: whether the kernel is stored ``[out, in]``. For a head, which has few
            outputs, this asks autodiff for a weight gradient of the shape
            ``[out, batch] [batch, in]``, which XLA's CPU back end runs several times faster
            than its transpose; for a hidden layer it is the other way round.
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
            return x @ self.param("kernel", self.layer_init.kernel, shape).T + bias
        return x @ self.param("kernel", lambda key: self.layer_init.kernel(key, shape).T) + bias


class MLP(nn.Module):
    """Hidden layers with an activation, then a linear head."""

    hidden_sizes: Sequence[int]
    features: int
    activation: Callable[[jax.Array], jax.Array]
    hidden_init: LayerInit
    head_init: LayerInit

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[B, in]`` to ``[B, features]``."""
        for size in self.hidden_sizes:
            x = self.activation(Linear(size, self.hidden_init, output_first=False)(x))
        return Linear(self.features, self.head_init, output_first=True)(x)


def mlp_actor_critic(
    env: Environment,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: Callable[[jax.Array], jax.Array] = nn.tanh,
    hidden_init: LayerInit = orthogonal(),
    policy_init: LayerInit = orthogonal(0.01),
    value_init: LayerInit = orthogonal(1.0),
) -> Network:
    """Two separate multilayer perceptrons, one for the policy and one for the value.

    Observations of any shape are flattened here. The parameters are
    ``{"policy": ..., "value": ...}``, and neither function reads the other's.

    Args:
        env: gives the shape of an observation and the number of actions.
        hidden_sizes: units of each hidden layer, the same in both networks.
        activation: after each hidden layer.
        hidden_init: of the hidden layers.
        policy_init: of the policy's head; small, so that the first policy is near uniform.
        value_init: of the value's head.

    Raises:
        ValueError: if the action space is continuous or a size is below 1.
    """
    sizes = tuple(checks.positive_int("hidden_sizes", size) for size in hidden_sizes)
    actor = MLP(sizes, num_actions(env), activation, hidden_init, policy_init)
    critic = MLP(sizes, 1, activation, hidden_init, value_init)
    obs_size = math.prod(env.observation_shape)

    def apply(module: MLP, params: Params, obs: jax.Array) -> jax.Array:
        # One batch axis whatever came in: XLA's CPU back end is slow on products with more.
        batch_shape = obs.shape[: obs.ndim - len(env.observation_shape)]
        out: Any = module.apply(params, obs.reshape((-1, obs_size)))
        return out.reshape((*batch_shape, module.features))

    def init(key: Key) -> Params:
        policy_key, value_key = jax.random.split(key)
        obs = jnp.zeros((1, obs_size))
        return {"policy": actor.init(policy_key, obs), "value": critic.init(value_key, obs)}

    def policy(params: Params, obs: jax.Array) -> jax.Array:
        return apply(actor, params["policy"], obs)

    def value(params: Params, obs: jax.Array) -> jax.Array:
        return apply(critic, params["value"], obs)[..., 0]

    return Network(init, policy, value)


def article_network(env: Environment, hidden_sizes: Sequence[int] = (256,)) -> Network:
    """The article's network: two perceptrons, 256 ReLU units each, initialised as in PyTorch.

    Args:
        env: gives the shape of an observation and the number of actions.
        hidden_sizes: units of each hidden layer; one of 256 in the article.

    Raises:
        ValueError: if the action space is continuous or a size is below 1.

    Source: the article, ``class ActorCritic``.
    """
    init = uniform_fan_in()
    return mlp_actor_critic(env, hidden_sizes, nn.relu, init, init, init)
