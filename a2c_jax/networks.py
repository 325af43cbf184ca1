"""Policies with their critics: :class:`a2c_jax.Network` records."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from a2c_jax import checks, record_checks
from a2c_jax._devices import fast_random
from a2c_jax.distributions import distribution_for
from a2c_jax.layers import MLP, Activation, LayerInit, orthogonal, uniform_fan_in
from a2c_jax.spaces import Box
from a2c_jax.types import (
    Environment,
    InitFn,
    Key,
    Network,
    NetworkT,
    Observation,
    Params,
    RecurrentNetwork,
    Scalar,
)


def mlp_actor_critic(
    env: Environment,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: Activation = nn.tanh,
    hidden_init: LayerInit = orthogonal(),
    policy_init: LayerInit = orthogonal(0.01),
    value_init: LayerInit = orthogonal(1.0),
    log_std: float | None = 0.0,
) -> Network:
    """Two separate multilayer perceptrons, one for the policy and one for the value.

    Observations of any shape are flattened, and those of any numeric type become float32. The
    parameters are ``{"policy": ..., "value": ...}``; each function reads only its own.

    Args:
        env: gives the shape of an observation and the action space.
        hidden_sizes: units of each hidden layer, the same in both networks.
        activation: after each hidden layer.
        hidden_init: initialises the hidden layers.
        policy_init: initialises the policy's head; by default small, so that the initial policy
            is nearly uniform.
        value_init: initialises the value's head.
        log_std: for actions in a Box, the initial log standard deviation: a parameter for each
            number of an action, independent of the observation. If None, the policy's head
            outputs log standard deviations.

    Raises:
        ValueError: if the observation is not one array, no distribution supports the action
            space, or a size is below 1.
    """
    hidden = (hidden_sizes, activation, hidden_init)
    return _join(actor(env, (*hidden, policy_init), log_std), critic(env, (*hidden, value_init)))


def mlp_q_actor_critic(
    env: Environment,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: Activation = nn.tanh,
    hidden_init: LayerInit = orthogonal(),
    policy_init: LayerInit = orthogonal(0.01),
    value_init: LayerInit = orthogonal(1.0),
) -> Network:
    """Two separate perceptrons, whose critic has a value for each action: Q(s, ·) ``[..., A]``.

    Arguments, parameters and errors are those of :func:`mlp_actor_critic`. For the same key, the
    two policies are bit-identical.

    Source: the article, "Algorithm 1 Q Actor Critic".
    """
    num_actions = record_checks.discrete(env)
    hidden = (hidden_sizes, activation, hidden_init)
    action_values = _perceptron(env, (*hidden, value_init), num_actions)
    return _join(_perceptron(env, (*hidden, policy_init), num_actions), action_values)


def article_network(env: Environment, hidden_sizes: Sequence[int] = (256,)) -> Network:
    """The article's network: two perceptrons, 256 ReLU units each, initialised as in PyTorch.

    Args:
        env: gives the shape of an observation and the action space.
        hidden_sizes: units of each hidden layer; one of 256 in the article.

    Raises:
        ValueError: as :func:`mlp_actor_critic` does.

    Source: the article, ``class ActorCritic``.
    """
    init = uniform_fan_in()
    return mlp_actor_critic(env, hidden_sizes, nn.relu, init, init, init)


def article_q_network(env: Environment, hidden_sizes: Sequence[int] = (256,)) -> Network:
    """The article's network with a value for each action; see :func:`article_network`."""
    init = uniform_fan_in()
    return mlp_q_actor_critic(env, hidden_sizes, nn.relu, init, init, init)


def scaled(
    network: NetworkT,
    env: Environment,
    *,
    observation_scale: Sequence[float] = (),
    value_scale: Scalar = 1.0,
) -> NetworkT:
    """Changes the units of a network: ``policy(x * obs)`` and ``y * value(x * obs)``.

    Networks learn faster if features have similar sizes and values are about 1. With
    ``value_scale``, the critic learns as if rewards were divided by it, provided that
    ``value_coef`` is divided by its square.

    Args:
        network: the network.
        env: gives the shape of an observation.
        observation_scale: x, one factor for each feature of a flat observation, or one for all;
            empty for no scaling.
        value_scale: y.

    Raises:
        ValueError: if the number of factors is not 0, 1 or the number of features, or a factor
            or ``value_scale`` is not above 0.
    """
    observation_shape = record_checks.single_array(env)
    features = math.prod(observation_shape)
    observation_scale = tuple(observation_scale)
    if len(observation_scale) not in (0, 1, features):
        raise ValueError(
            f"observation_scale has {len(observation_scale)} numbers, but an observation of "
            f"{env.name} has {features}; give one for each, one for all, or another preset."
        )
    for factor in observation_scale:
        checks.positive("observation_scale", factor)
    checks.positive("value_scale", value_scale)
    if not observation_scale and checks.is_known(value_scale) and value_scale == 1.0:
        return network
    shape = observation_shape if len(observation_scale) == features else ()
    factors = np.reshape(np.array(observation_scale or 1.0, np.float32), shape)

    def scale(obs: jax.Array) -> jax.Array:
        obs = jnp.asarray(obs, jnp.float32)
        return obs * jax.lax.broadcast_to_rank(jnp.asarray(factors), obs.ndim)

    return adapted(network, scale, values_of=lambda values: value_scale * values)


def adapted(
    network: NetworkT,
    observe: Callable[[Observation], Observation],
    *,
    outputs_of: Callable[[jax.Array, Observation], jax.Array] = lambda outputs, obs: outputs,
    values_of: Callable[[jax.Array], jax.Array] = lambda values: values,
) -> NetworkT:
    """The network of changed observations: ``outputs_of(policy(params, observe(obs)), obs)``."""
    if isinstance(network, RecurrentNetwork):
        of = network
        return of._replace(
            encode=lambda params, obs: of.encode(params, observe(obs)),
            policy=lambda params, m, obs: outputs_of(of.policy(params, m, observe(obs)), obs),
            value=lambda params, m, obs: values_of(of.value(params, m, observe(obs))),
        )

    def both(params: Params, obs: Observation) -> tuple[jax.Array, jax.Array]:
        outputs, values = network.outputs_and_values(params, observe(obs))
        return outputs_of(outputs, obs), values_of(values)

    return Network(
        network.init,
        lambda params, obs: outputs_of(network.policy(params, observe(obs)), obs),
        lambda params, obs: values_of(network.value(params, observe(obs))),
        None if network.both is None else both,
    )


Half = tuple[InitFn, Any]  # an initialiser, and a function of its parameters and observations
Layers = tuple[Any, ...]  # the arguments of an MLP except its outputs


def _join(policy_half: Half, value_half: Half) -> Network:
    (init_policy, policy), (init_value, value) = policy_half, value_half

    @fast_random
    def init(key: Key) -> Params:
        policy_key, value_key = jax.random.split(key)
        return {"policy": init_policy(policy_key), "value": init_value(value_key)}

    return Network(
        init,
        lambda params, obs: policy(params["policy"], obs),
        lambda params, obs: value(params["value"], obs),
    )


def actor(env: Environment, layers: Layers, log_std: float | None) -> Half:
    """A policy made of a perceptron; see :func:`mlp_actor_critic`."""
    num_outputs = distribution_for(env.action_space).num_outputs
    if log_std is None or not isinstance(env.action_space, Box):
        return _perceptron(env, layers, num_outputs)
    init_mean, mean = _perceptron(env, layers, num_outputs // 2)

    def init(key: Key) -> Params:
        return {**init_mean(key), "log_std": jnp.full(num_outputs // 2, log_std, jnp.float32)}

    def policy(params: Params, obs: jax.Array) -> jax.Array:
        means = mean({"params": params["params"]}, obs)
        return jnp.concatenate([means, jnp.broadcast_to(params["log_std"], means.shape)], -1)

    return init, policy


def critic(env: Environment, layers: Layers) -> Half:
    """A value function made of a perceptron: ``[...]``."""
    init, values = _perceptron(env, layers, 1)
    return init, lambda params, obs: values(params, obs)[..., 0]


def _perceptron(env: Environment, layers: Layers, features: int) -> Half:
    record_checks.single_array(env)
    hidden_sizes, *rest = layers
    sizes = tuple(checks.positive_int("hidden_sizes", size) for size in hidden_sizes)
    module = MLP(sizes, features, *rest)
    return lambda key: module.init(key, zeros(env)), on_one_axis(env, module)


def on_one_axis(env: Environment, module: nn.Module) -> Any:
    """A module as a function of parameters and observations ``[..., *O]``, on one batch axis."""
    like = jax.tree.leaves(env.observation)[0]

    def apply(params: Params, obs: Observation) -> jax.Array:
        first = jax.tree.leaves(obs)[0]
        num_leading = first.ndim - like.ndim
        leading = first.shape[:num_leading]
        batch = jax.tree.map(lambda x: x.reshape((-1, *x.shape[num_leading:])), obs)
        out: Any = module.apply(params, batch)
        return out.reshape((*leading, out.shape[-1]))

    return apply


def zeros(env: Environment) -> Observation:
    """A batch of one observation, all zero."""
    return jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape), leaf.dtype), env.observation)
