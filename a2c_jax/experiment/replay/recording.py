"""Episodes of trained policies, recorded step by step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from a2c_jax import checks
from a2c_jax.agents import AnyNetwork, as_agent, as_state
from a2c_jax.parallel import gather_groups, over_seeds, run_groups, seed_layout, split_groups
from a2c_jax.rollout import play, until_end
from a2c_jax.spaces import Space
from a2c_jax.types import AgentState, Environment, Key, MaskedObservation, Params, Rollout


class Recording(NamedTuple):
    """E recorded episodes of each of S seeds, the longest of T steps; later rows are undefined.

    ``observations [S, E, T, *O]`` are those before each step, in which the agent chose ``actions
    [S, E, T, ...]``; ``outputs [S, E, T, P]`` are the parameters of the policy's distribution, and
    ``values [S, E, T]`` are the critic's: V(s), or Q(s, a) of the action taken. Episodes have
    ``final_observations [S, E, *O]`` and ``lengths [S, E]``. They have reached the time limit where
    they are not ``terminated [S, E]``.
    """

    env_name: str
    action_space: Space
    seeds: tuple[int, ...]
    observations: np.ndarray
    final_observations: np.ndarray
    actions: np.ndarray
    outputs: np.ndarray
    values: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    terminated: np.ndarray


def record(
    env: Environment,
    network: AnyNetwork,
    params: Params | AgentState,
    seeds: Sequence[int],
    key: Key,
    num_episodes: int,
    greedy: bool = True,
) -> Recording:
    """Plays E episodes of each of S seeds, whose parameters or states of an agent are ``[S, ...]``.

    All seeds start from the same states. The episodes of one seed do not depend on the others.
    """
    num_episodes, agent = checks.positive_int("num_episodes", num_episodes), as_agent(env, network)
    reset_key, run_key = jax.random.split(key)
    run_keys = jax.vmap(jax.random.fold_in, (None, 0))(run_key, np.asarray(seeds, np.uint32))

    def play_seed(seed: tuple[Key, AgentState]) -> Any:
        key, state = seed
        steps = play(reset_key, key, env, agent, state, num_episodes, greedy, lambda step: step)
        unrolled = agent.unroll(state, Rollout(steps, agent.memory(num_episodes)))
        policy = (steps.action, unrolled.outputs, unrolled.values, steps.reward)
        played = until_end(steps.terminated | steps.truncated)
        obs, next_obs = map(one_array, (steps.obs, steps.next_obs))
        rows = (obs, *policy, next_obs, steps.terminated, played)
        return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), rows)

    layout = seed_layout(len(seeds))
    groups = split_groups((run_keys, as_state(network, params)), layout)
    results = run_groups(over_seeds(play_seed, layout), groups)
    *rows, next_obs, terminated, played = map(np.asarray, gather_groups(results, layout))
    lengths = played.sum(axis=-1)
    last = (*np.indices(lengths.shape), lengths - 1)
    # Copies, since the arrays of a CPU device are otherwise views of JAX's own memory.
    observations, actions, outputs, values, rewards = (
        np.array(each[:, :, : lengths.max()]) for each in rows
    )
    return Recording(
        env.name, env.action_space, tuple(int(seed) for seed in seeds), observations,
        next_obs[last], actions, outputs, values, rewards, lengths, terminated[last],
    )  # fmt: skip


def one_array(obs: Any) -> jax.Array:
    """Observations ``[T, E, *O]`` as one array, without action masks; trees become flat."""
    leaves = jax.tree.leaves(obs.obs if isinstance(obs, MaskedObservation) else obs)
    if len(leaves) == 1:
        return leaves[0]
    flat = [jnp.asarray(leaf, jnp.float32).reshape((*leaf.shape[:2], -1)) for leaf in leaves]
    return jnp.concatenate(flat, axis=-1)


def episode_of(recording: Recording, seed: int, episode: int) -> Recording:
    """One episode, without the axes ``[S, E]``; its last observation is that of the final state."""
    names, at = Recording._fields[3:], (seed, episode)
    one = recording._replace(**{name: getattr(recording, name)[at] for name in names})
    rows = ("observations", "actions", "outputs", "values", "rewards")
    cut = {name: getattr(one, name)[: one.lengths] for name in rows}
    cut["observations"] = np.concatenate([cut["observations"], one.final_observations[None]])
    return one._replace(**cut)
