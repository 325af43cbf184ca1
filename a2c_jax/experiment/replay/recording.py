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
from a2c_jax.types import (
    AgentState,
    Environment,
    Key,
    MaskedObservation,
    Observation,
    Params,
    Rollout,
)


class Recording(NamedTuple):
    """E recorded episodes of each of S seeds, in NumPy arrays.

    T is the length of the longest episode. Rows after the end of an episode are undefined.

    Attributes:
        env_name: name of the environment.
        action_space: its action space.
        seeds: the S seeds.
        observations: observation before each step, ``[S, E, T, *O]``; see :func:`one_array`.
        final_observations: observation after the last step, ``[S, E, *O]``.
        actions: actions taken, as the agent chose them, ``[S, E, T, ...]``.
        outputs: outputs of the policy, the parameters of its distribution, ``[S, E, T, P]``.
        values: of the critic, ``[S, E, T]``: V(s), or Q(s, a) of the action taken.
        rewards: ``[S, E, T]``.
        lengths: steps of each episode, int ``[S, E]``.
        terminated: whether the task ended, bool ``[S, E]``; else the time limit was reached.
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
    """Plays E episodes of each of S seeds, to their end or time limit, as ``evaluate`` does.

    Parameters, or states of an agent, have a leading axis ``[S]`` in the order of the seeds. All
    seeds start from the same states. The episodes of one seed do not depend on the others.

    Raises:
        ValueError: if ``num_episodes`` is not a whole number of at least 1.
    """
    num_episodes, agent = checks.positive_int("num_episodes", num_episodes), as_agent(env, network)
    reset_key, run_key = jax.random.split(key)
    run_keys = jax.vmap(jax.random.fold_in, (None, 0))(run_key, np.asarray(seeds, np.uint32))

    def play_seed(seed: tuple[Key, AgentState]) -> Any:
        """The rows of a seed's episodes, ``[E, T, ...]`` each."""
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


def one_array(obs: Observation) -> jax.Array:
    """Observations ``[T, E, *O]`` as one array, without action masks; trees become flat."""
    if isinstance(obs, MaskedObservation):
        return one_array(obs.obs)
    leaves = jax.tree.leaves(obs)
    if len(leaves) == 1:
        return leaves[0]
    flat = [jnp.asarray(leaf, jnp.float32).reshape((*leaf.shape[:2], -1)) for leaf in leaves]
    return jnp.concatenate(flat, axis=-1)


def episode_of(recording: Recording, seed: int, episode: int) -> Recording:
    """One episode of L steps, by the position of its seed and its number.

    Its arrays lack the axes ``[S, E]``. ``observations`` has L + 1 rows, the last of them for the
    final state.
    """
    at = (seed, episode)
    length, final = recording.lengths[at], recording.final_observations[at]
    rows = ("observations", "actions", "outputs", "values", "rewards")
    cut = {name: getattr(recording, name)[at][:length] for name in rows}
    cut["observations"] = np.concatenate([cut["observations"], final[None]])
    return recording._replace(
        final_observations=final, lengths=length, terminated=recording.terminated[at], **cut
    )
