"""Action masks: illegal actions have probability 0.

An environment with illegal actions observes a :class:`a2c_jax.MaskedObservation`.
"""

import jax
import jax.numpy as jnp

from a2c_jax.types import (
    Environment,
    MaskedObservation,
    Memory,
    Network,
    NetworkT,
    Observation,
    Params,
    RecurrentNetwork,
)


def is_masked(env: Environment) -> bool:
    """Whether an environment says which actions are legal."""
    return isinstance(env.observation, MaskedObservation)


def unmasked(env: Environment) -> Environment:
    """The environment as a network of :func:`masked` sees it; only to make the network.

    Example:
        >>> import jax.numpy as jnp, a2c_jax as a2c
        >>> env = a2c.make_env("CartPole-v1")
        >>> mask = jax.ShapeDtypeStruct((2,), jnp.bool_)
        >>> env = env._replace(observation=a2c.MaskedObservation(env.observation, mask))
        >>> network = a2c.masked(a2c.mlp_actor_critic(a2c.unmasked(env)))
        >>> obs = a2c.MaskedObservation(jnp.ones(4), jnp.array([False, True]))
        >>> network.policy(network.init(jax.random.key(0)), obs)[0].item()
        -inf
    """
    return env._replace(observation=env.observation.obs) if is_masked(env) else env


def masked(network: NetworkT) -> NetworkT:
    """Makes a network of observations one of masked observations.

    The logits of illegal actions are minus infinity. Then their probability is 0, and entropy and
    gradients are those of the distribution over the legal actions. If no action is legal, as after
    the last step of an episode, every action counts as legal.

    Args:
        network: a network for :func:`unmasked` ``(env)`` with discrete or multi-discrete actions.
    """
    if isinstance(network, RecurrentNetwork):
        return _masked_recurrent(network)

    def both(params: Params, obs: Observation) -> tuple[jax.Array, jax.Array]:
        outputs, values = network.outputs_and_values(params, obs.obs)
        return _legal(outputs, obs.action_mask), values

    return Network(
        init=network.init,
        policy=lambda params, obs: _legal(network.policy(params, obs.obs), obs.action_mask),
        value=lambda params, obs: network.value(params, obs.obs),
        both=both,
    )


def _masked_recurrent(network: RecurrentNetwork) -> RecurrentNetwork:
    def policy(params: Params, memory: Memory, obs: Observation) -> jax.Array:
        return _legal(network.policy(params, memory, obs.obs), obs.action_mask)

    return network._replace(
        encode=lambda params, obs: network.encode(params, obs.obs),
        policy=policy,
        value=lambda params, memory, obs: network.value(params, memory, obs.obs),
    )


def _legal(outputs: jax.Array, mask: jax.Array) -> jax.Array:
    if outputs.shape != mask.shape:
        raise ValueError(
            f"action_mask has shape {mask.shape}, but the policy's outputs have {outputs.shape}; "
            "give one flag for each logit."
        )
    any_legal = jnp.any(mask, axis=-1, keepdims=True)
    return jnp.where(mask | ~any_legal, outputs, -jnp.inf)
