"""Action masks: illegal actions have probability 0.

An environment with illegal actions observes a :class:`a2c_jax.MaskedObservation`.
"""

import jax
import jax.numpy as jnp

from a2c_jax.networks import adapted
from a2c_jax.spaces import Discrete, MultiDiscrete
from a2c_jax.types import Environment, MaskedObservation, NetworkT


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
        >>> network = a2c.masked(a2c.mlp_actor_critic(a2c.unmasked(env)), env)
        >>> obs = a2c.MaskedObservation(jnp.ones(4), jnp.array([False, True]))
        >>> network.policy(network.init(jax.random.key(0)), obs)[0].item()
        -inf
    """
    return env._replace(observation=env.observation.obs) if is_masked(env) else env


def masked(network: NetworkT, env: Environment) -> NetworkT:
    """Makes a network of observations one of masked observations.

    The logits of illegal actions are minus infinity. Then their probability is 0, and entropy and
    gradients are those of the distribution over the legal actions. If no action is legal, as after
    the last step of an episode, every action counts as legal; each of several actions by itself.

    Args:
        network: a network for :func:`unmasked` ``(env)``.
        env: gives the action space.

    Raises:
        ValueError: if actions are not discrete; when it is called, if a mask has another shape or
            type.
    """
    sizes = _sizes(env)
    return adapted(
        network,
        lambda obs: obs.obs,
        outputs_of=lambda outputs, obs: _legal(outputs, obs.action_mask, sizes),
    )


def _sizes(env: Environment) -> tuple[int, ...]:
    match env.action_space:
        case Discrete(n):
            return (n,)
        case MultiDiscrete(sizes):
            return tuple(sizes)
    raise ValueError(
        f"{env.name} has the action space {env.action_space!r}, but a mask needs Discrete or "
        "MultiDiscrete actions; leave the mask out of its observation."
    )


def _legal(outputs: jax.Array, mask: jax.Array, sizes: tuple[int, ...]) -> jax.Array:
    if outputs.shape != mask.shape or mask.dtype != bool:
        raise ValueError(
            f"action_mask is {mask.dtype}{list(mask.shape)}, but the policy's outputs have the "
            f"shape {list(outputs.shape)}; give one flag of type bool for each logit."
        )
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    each = jnp.split(mask, ends[:-1], axis=-1)
    legal = [one | ~jnp.any(one, axis=-1, keepdims=True) for one in each]
    return jnp.where(jnp.concatenate(legal, axis=-1), outputs, -jnp.inf)
