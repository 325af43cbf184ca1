"""Evaluation of a policy on whole episodes, inside the compiled program."""

import jax
import jax.numpy as jnp

from a2c_jax import checks
from a2c_jax.agents import AnyNetwork, as_agent, as_state
from a2c_jax.rollout import play, until_end
from a2c_jax.types import AgentState, Environment, EpisodeStats, Key, Params


def evaluate(
    env: Environment,
    network: AnyNetwork,
    params: Params | AgentState,
    key: Key,
    num_episodes: int,
    greedy: bool = True,
) -> EpisodeStats:
    """Plays one episode in each of ``num_episodes`` environments, to its end or time limit.

    Pure: jit it, and vmap it over the parameters of many seeds. It always steps to the time limit
    and masks ended episodes: an early exit would make a GPU wait for the host at every step.

    Args:
        env: the environment.
        network: the network whose policy to play, or an agent.
        params: the network's parameters, or the agent's state.
        key: one key for all episodes.
        num_episodes: number of episodes.
        greedy: take the most probable action if true, else one sampled from the policy.

    Returns:
        Undiscounted returns and lengths, ``[num_episodes]``.

    Raises:
        ValueError: if ``num_episodes`` is not a whole number of at least 1, ``key`` is not one
            key, or the policy's outputs have the wrong shape.
    """
    checks.key("key", key)
    num_episodes = checks.positive_int("num_episodes", num_episodes)
    reset_key, run_key = jax.random.split(key)
    rewards, ended = play(
        reset_key,
        run_key,
        env,
        as_agent(env, network),
        as_state(network, params),
        num_episodes,
        greedy,
        keep=lambda step: (step.reward, step.terminated | step.truncated),
    )
    played = until_end(ended)
    return EpisodeStats(
        returns=jnp.sum(rewards, axis=0, where=played),
        lengths=jnp.sum(played, axis=0, dtype=jnp.float32),
    )
