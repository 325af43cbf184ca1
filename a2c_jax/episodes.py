"""Whole episodes, one at a time, in arrays as long as the time limit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from a2c_jax.rollout import reset_envs, rollout
from a2c_jax.types import Environment, Key, Network, Params, QNetwork, Transition


class Episode(NamedTuple):
    """One episode, in as many rows T as the time limit allows.

    Attributes:
        transitions: ``[T, ...]``; the rows behind the episode's end are of no account.
        played: bool ``[T]``, which rows belong to the episode.
    """

    transitions: Transition
    played: jax.Array


def play_episode(
    key: Key, env: Environment, network: Network | QNetwork, params: Params
) -> Episode:
    """Plays one episode from its beginning to its end or time limit."""
    reset_key, run_key = jax.random.split(key)
    env_state, obs = reset_envs(reset_key, env, 1)
    _, _, transitions = rollout(
        run_key,
        lambda obs: network.policy(params, obs),
        env,
        env_state,
        obs,
        env.max_episode_steps,
    )
    transitions = jax.tree.map(lambda x: x[:, 0], transitions)
    ended = transitions.terminated | transitions.truncated
    ended_before = jnp.cumsum(ended) - ended
    return Episode(transitions, played=ended_before == 0)
