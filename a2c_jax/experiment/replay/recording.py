"""Episodes of trained policies, recorded step by step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from a2c_jax import checks
from a2c_jax.agents import AnyNetwork, as_agent, as_state
from a2c_jax.experiment.run.evaluate import check_episodes
from a2c_jax.experiment.run.folder import Run, load_run
from a2c_jax.experiment.run.job import row_of
from a2c_jax.parallel import gather_groups, over_seeds, run_groups, seed_layout, split_groups
from a2c_jax.rollout import play, until_end
from a2c_jax.spaces import Space
from a2c_jax.types import AgentState, Environment, Key, MaskedObservation, Params, Rollout

_SEEDS = 8  # more would make a page of megabytes


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


def record_run(
    run: Run | Path | str,
    seeds: Sequence[int] | None = None,
    num_episodes: int = 2,
    greedy: bool = True,
    seed: int = 0,
) -> Recording:
    """Plays and records episodes of the newest policies of a run; writes nothing.

    By default these are the policies of the first eight seeds. Actions are the most probable ones,
    or sampled if not ``greedy``. ``seed`` is that of the episodes.
    """
    check_episodes(num_episodes, seed)
    run = run if isinstance(run, Run) else load_run(run)
    seeds = checked_seeds(run, seeds)
    rows = np.array([run.job.seeds.index(each) for each in seeds])
    states = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], run.state.agent)
    key = jax.random.key(seed)
    return record(run.job.env, run.job.agent, states, seeds, key, num_episodes, greedy)


def checked_seeds(run: Run, seeds: Sequence[int] | None) -> tuple[int, ...]:
    """Returns the seeds, by default the first eight of the run."""
    seeds = run.job.seeds[:_SEEDS] if seeds is None else tuple(seeds)
    if not seeds:
        raise ValueError("seeds is empty; name at least one seed of the run.")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds is {seeds}; name every seed once.")
    for each in seeds:
        row_of("seeds", each, run.job.seeds)
    return seeds


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
        ends = steps.terminated, until_end(steps.terminated | steps.truncated)
        rows = (_one_array(steps.obs), *policy, _one_array(steps.next_obs), *ends)
        return tuple(jnp.swapaxes(row, 0, 1) for row in rows)

    layout = seed_layout(len(seeds))
    groups = split_groups((run_keys, as_state(network, params)), layout)
    results = run_groups(over_seeds(play_seed, layout), groups)
    *rows, next_obs, terminated, played = map(np.asarray, gather_groups(results, layout))
    lengths = played.sum(axis=-1)
    last = (*np.indices(lengths.shape), lengths - 1)
    # Copies, since the arrays of a CPU device are otherwise views of JAX's own memory.
    observations, *others = (np.array(each[:, :, : lengths.max()]) for each in rows)
    rest = next_obs[last], *others, lengths, terminated[last]
    return Recording(env.name, env.action_space, tuple(map(int, seeds)), observations, *rest)


def _one_array(obs: Any) -> jax.Array:
    """Observations ``[T, E, *O]`` as one array, without action masks; trees become flat."""
    leaves = jax.tree.leaves(obs.obs if isinstance(obs, MaskedObservation) else obs)
    if len(leaves) == 1:
        return leaves[0]
    flat = [jnp.asarray(leaf, jnp.float32).reshape((*leaf.shape[:2], -1)) for leaf in leaves]
    return jnp.concatenate(flat, axis=-1)


def episode_of(recording: Recording, seed: int, episode: int) -> Recording:
    """One episode, without the axes ``[S, E]``; its last observation is that of the final state."""
    one = Recording(*recording[:3], *(each[seed, episode] for each in recording[3:]))
    rows = ("observations", "actions", "outputs", "values", "rewards")
    cut = {name: getattr(one, name)[: one.lengths] for name in rows}
    cut["observations"] = np.concatenate([cut["observations"], one.final_observations[None]])
    return one._replace(**cut)
