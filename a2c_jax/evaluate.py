"""Evaluation of a policy on whole episodes, inside the compiled program."""

import jax
import jax.numpy as jnp

from a2c_jax import checks
from a2c_jax.distributions import categorical
from a2c_jax.environments import num_actions
from a2c_jax.rollout import reset_envs
from a2c_jax.types import Environment, EpisodeStats, Key, Network, Params


def evaluate(
    env: Environment,
    network: Network,
    params: Params,
    key: Key,
    num_episodes: int,
    greedy: bool = True,
) -> EpisodeStats:
    """Plays one episode in each of ``num_episodes`` environments, to its end or time limit.

    Pure: jit it, and vmap it over the parameters of many seeds. A scan over the time limit
    with masks, since an early way out would make a GPU wait for the host at every step.

    Args:
        env: the environment.
        network: whose policy to play.
        params: its parameters.
        key: one key for all episodes.
        num_episodes: how many.
        greedy: the most probable action if true, else one sampled from the policy.

    Returns:
        Undiscounted returns and lengths, ``[num_episodes]``.

    Raises:
        ValueError: if ``num_episodes`` is not a whole number of at least 1.
    """
    num_episodes = checks.positive_int("num_episodes", num_episodes)
    reset_key, run_key = jax.random.split(key)
    env_state, obs = reset_envs(reset_key, env, num_episodes)

    def act(key: Key, obs: jax.Array) -> jax.Array:
        logits = network.policy(params, obs)
        if greedy:
            return categorical.mode(logits)
        return categorical.sample(logits, categorical.noise(key, (num_episodes, num_actions(env))))

    def body(carry: tuple, key: Key) -> tuple[tuple, None]:
        env_state, obs, alive, stats = carry
        action_key, step_key = jax.random.split(key)
        timestep = jax.vmap(env.step)(
            jax.random.split(step_key, num_episodes), env_state, act(action_key, obs)
        )
        stats = EpisodeStats(
            stats.returns + jnp.where(alive, timestep.reward, 0.0), stats.lengths + alive
        )
        alive = alive & ~(timestep.terminated | timestep.truncated)
        return (timestep.env_state, timestep.obs, alive, stats), None

    nothing = EpisodeStats(jnp.zeros(num_episodes), jnp.zeros(num_episodes))
    start = (env_state, obs, jnp.ones(num_episodes, jnp.bool_), nothing)
    keys = jax.random.split(run_key, env.max_episode_steps)
    (_, _, _, stats), _ = jax.lax.scan(body, start, keys)
    return stats
