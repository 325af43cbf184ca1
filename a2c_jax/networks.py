"""Policies with their critics: :class:`a2c_jax.Network` and :class:`a2c_jax.QNetwork` records."""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from a2c_jax import checks
from a2c_jax.environments import num_actions
from a2c_jax.layers import MLP, Activation, LayerInit, orthogonal, uniform_fan_in
from a2c_jax.threefry import unrolled
from a2c_jax.types import Environment, Key, Network, Params, QNetwork, Scalar

AnyNetwork = TypeVar("AnyNetwork", Network, QNetwork)


def mlp_actor_critic(
    env: Environment,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: Activation = nn.tanh,
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
    sizes = _sizes(hidden_sizes)
    actor = MLP(sizes, num_actions(env), activation, hidden_init, policy_init)
    critic = MLP(sizes, 1, activation, hidden_init, value_init)
    init, policy, value = _actor_and_critic(env, actor, critic)
    return Network(init, policy, lambda params, obs: value(params, obs)[..., 0])


def mlp_q_actor_critic(
    env: Environment,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: Activation = nn.tanh,
    hidden_init: LayerInit = orthogonal(),
    policy_init: LayerInit = orthogonal(0.01),
    value_init: LayerInit = orthogonal(1.0),
) -> QNetwork:
    """The same two perceptrons, with a critic that gives a value to each action.

    Arguments, parameters and errors are those of :func:`mlp_actor_critic`, and so is the
    policy, to the bit, for the same key.

    Source: the article, "Algorithm 1 Q Actor Critic".
    """
    sizes = _sizes(hidden_sizes)
    actor = MLP(sizes, num_actions(env), activation, hidden_init, policy_init)
    critic = MLP(sizes, num_actions(env), activation, hidden_init, value_init)
    return QNetwork(*_actor_and_critic(env, actor, critic))


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


def article_q_network(env: Environment, hidden_sizes: Sequence[int] = (256,)) -> QNetwork:
    """The article's network with a value for each action; see :func:`article_network`."""
    init = uniform_fan_in()
    return mlp_q_actor_critic(env, hidden_sizes, nn.relu, init, init, init)


def scaled(
    network: AnyNetwork,
    env: Environment,
    *,
    observation_scale: Sequence[float] = (),
    value_scale: Scalar = 1.0,
) -> AnyNetwork:
    """The same network in units of its own: ``policy(x * obs)`` and ``y * critic(x * obs)``.

    Features of like size, and values of about 1, are learned sooner. A critic whose value is
    ``value_scale`` times what its layers give learns as one of rewards divided by it, if
    ``value_coef`` is divided by its square.

    Args:
        network: a :class:`a2c_jax.Network` or :class:`a2c_jax.QNetwork`.
        env: gives the shape of an observation.
        observation_scale: x, one factor for each feature of a flat observation, or one for all;
            none leaves observations as they are.
        value_scale: y.

    Raises:
        ValueError: if there are neither none, one, nor as many factors as features, or a number
            is not above 0.
    """
    features = math.prod(env.observation_shape)
    observation_scale = tuple(observation_scale)
    if len(observation_scale) not in (0, 1, features):
        raise ValueError(
            f"observation_scale has {len(observation_scale)} numbers, but an observation of "
            f"{env.name} has {features}; give as many, one for all of them, or another preset."
        )
    for factor in observation_scale:
        checks.positive("observation_scale", factor)
    checks.positive("value_scale", value_scale)
    if not observation_scale and checks.is_known(value_scale) and value_scale == 1.0:
        return network
    shape = env.observation_shape if len(observation_scale) == features else ()
    factors = np.reshape(np.array(observation_scale or 1.0, np.float32), shape)
    init, policy, critic = network
    return type(network)(
        init,
        lambda params, obs: policy(params, obs * factors),
        lambda params, obs: value_scale * critic(params, obs * factors),
    )


def require_state_values(network: Any) -> None:
    """Raises ValueError if ``network`` has a critic of actions where one of states is needed."""
    if not hasattr(network, "value"):
        raise ValueError(
            f"network is a {type(network).__name__}, which has no state values (value); give one "
            "that has, such as mlp_actor_critic(env), or use q_actor_critic."
        )


def require_action_values(network: Any) -> None:
    """Raises ValueError if ``network`` has a critic of states where one of actions is needed."""
    if not hasattr(network, "action_values"):
        raise ValueError(
            f"network is a {type(network).__name__}, which has no action values (action_values); "
            "give one that has, such as mlp_q_actor_critic(env), or use actor_critic."
        )


def _sizes(hidden_sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(checks.positive_int("hidden_sizes", size) for size in hidden_sizes)


def _actor_and_critic(env: Environment, actor: MLP, critic: MLP) -> tuple[Any, Any, Any]:
    obs_size = math.prod(env.observation_shape)

    def apply(module: MLP, params: Params, obs: jax.Array) -> jax.Array:
        # One batch axis whatever came in: XLA's CPU back end is slow on products with more.
        batch_shape = obs.shape[: obs.ndim - len(env.observation_shape)]
        out: Any = module.apply(params, obs.reshape((-1, obs_size)))
        return out.reshape((*batch_shape, module.features))

    def init(key: Key) -> Params:
        policy_key, value_key = jax.random.split(unrolled(key))
        obs = jnp.zeros((1, obs_size))
        return {"policy": actor.init(policy_key, obs), "value": critic.init(value_key, obs)}

    def policy(params: Params, obs: jax.Array) -> jax.Array:
        return apply(actor, params["policy"], obs)

    def critique(params: Params, obs: jax.Array) -> jax.Array:
        return apply(critic, params["value"], obs)

    return init, policy, critique
