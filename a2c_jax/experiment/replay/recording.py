"""Episodes of trained policies, recorded step by step to be looked at."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from a2c_jax import checks
from a2c_jax.agents import as_agent, as_state
from a2c_jax.parallel import gather_groups, over_seeds, run_groups, seed_layout, split_groups
from a2c_jax.rollout import play, until_end
from a2c_jax.spaces import Space
from a2c_jax.types import Agent, AgentState, Environment, Key, Network, Params, Rollout

# CartPole's measures as gymnax and Gymnasium have them; the pole's `length` there is half of it.
STEP_SECONDS = 0.02
POSITION_LIMIT = 2.4  # metres, of the cart's middle
ANGLE_LIMIT = float(np.radians(12.0))
POLE_LENGTH = 1.0  # metres


class Recording(NamedTuple):
    """E recorded episodes of each of S seeds, in NumPy arrays.

    Every episode has as many rows T as the longest; those after its end have no meaning.

    Attributes:
        env_name: name of the environment.
        action_space: its action space.
        seeds: which seeds, S of them.
        observations: observation before each step, ``[S, E, T, *O]``.
        final_observations: observation after the last step, ``[S, E, *O]``.
        actions: actions taken, as the agent chose them, ``[S, E, T, ...]``.
        outputs: outputs of the policy, the parameters of its distribution, ``[S, E, T, P]``.
        values: the critic, ``[S, E, T]``: V(s), or Q(s, a) of the action taken.
        rewards: ``[S, E, T]``.
        lengths: rows that belong to the episode, int ``[S, E]``, in steps.
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


class RecordedEpisode(NamedTuple):
    """One episode of L steps; the fields are those of :class:`Recording`.

    ``observations`` has L + 1 rows, the last of them for the state that the episode ended in.
    """

    observations: np.ndarray
    actions: np.ndarray
    outputs: np.ndarray
    values: np.ndarray
    rewards: np.ndarray
    terminated: bool


def record(
    env: Environment,
    network: Network | Agent,
    params: Params | AgentState,
    seeds: Sequence[int],
    key: Key,
    num_episodes: int,
    greedy: bool = True,
) -> Recording:
    """Plays ``num_episodes`` episodes of each seed, to their end or time limit.

    All seeds start from the same states, and the episodes of one do not depend on which others
    are recorded.

    Args:
        env: the environment.
        network: whose policy to play, or an agent.
        params: parameters, or states of the agent, with a leading axis ``[S]`` for the seeds.
        seeds: their numbers, in the same order.
        key: one key for all starts and all noise.
        num_episodes: E.
        greedy: take the most probable action if true, else one sampled from the policy.

    Raises:
        ValueError: if ``seeds`` and ``params`` have different lengths, or ``num_episodes`` is not
            a whole number of at least 1.
    """
    num_episodes = checks.positive_int("num_episodes", num_episodes)
    _check_seeds(seeds, params)
    reset_key, run_key = jax.random.split(key)
    run_keys = jnp.stack([jax.random.fold_in(run_key, seed % 2**32) for seed in seeds])
    reset_keys = jnp.broadcast_to(reset_key, run_keys.shape)

    def play_seed(seed: tuple[Key, Key, AgentState]) -> tuple[dict, Any, jax.Array]:
        return _play(*seed, env, as_agent(env, network), num_episodes, greedy)

    layout = seed_layout(len(seeds))
    groups = split_groups((reset_keys, run_keys, as_state(network, params)), layout)
    results = run_groups(over_seeds(play_seed, layout), groups)
    rows, next_obs, terminated = gather_groups(results, layout)
    lengths = np.array(rows.pop("played")).sum(axis=-1)
    last = (*np.indices(lengths.shape), lengths - 1)
    # Copies, since the arrays of a CPU device are otherwise views of JAX's own memory.
    return Recording(
        env_name=env.name,
        action_space=env.action_space,
        seeds=tuple(int(seed) for seed in seeds),
        final_observations=np.asarray(next_obs)[last],
        lengths=lengths,
        terminated=np.asarray(terminated)[last],
        **{name: np.array(array[:, :, : lengths.max()]) for name, array in rows.items()},
    )


def episode_of(recording: Recording, seed: int, episode: int) -> RecordedEpisode:
    """Cuts one episode out of a recording.

    Args:
        recording: holds it.
        seed: one of ``recording.seeds``.
        episode: which of its episodes, counting from 0.

    Raises:
        ValueError: if it is not in the recording.
    """
    num_episodes = recording.lengths.shape[1]
    if seed not in recording.seeds:
        known = ", ".join(map(str, recording.seeds))
        raise ValueError(f"seed is {seed}, which was not recorded; give one of these: {known}.")
    if episode not in range(num_episodes):
        raise ValueError(
            f"episode is {episode}, which was not recorded; give a number from 0 to "
            f"{num_episodes - 1}."
        )
    at = (recording.seeds.index(seed), episode)
    length = int(recording.lengths[at])
    final = recording.final_observations[at]
    return RecordedEpisode(
        observations=np.concatenate([recording.observations[at][:length], final[None]]),
        actions=recording.actions[at][:length],
        outputs=recording.outputs[at][:length],
        values=recording.values[at][:length],
        rewards=recording.rewards[at][:length],
        terminated=bool(recording.terminated[at]),
    )


def is_cartpole(recording: Recording) -> bool:
    """Whether the recording is of CartPole, and so can be drawn."""
    cartpole = recording.env_name.startswith("CartPole")
    return cartpole and recording.final_observations.shape[2:] == (4,)


def ending_of(recording: Recording, episode: RecordedEpisode) -> str:
    """How an episode ended, in a few words."""
    if not episode.terminated:
        return "time limit"
    if not is_cartpole(recording):
        return "terminated"
    position, _, angle, _ = np.abs(episode.observations[-1])
    # Either limit can be passed first; at once, hardly.
    return "left the track" if position / POSITION_LIMIT > angle / ANGLE_LIMIT else "pole fell"


def _play(
    reset_key: Key,
    run_key: Key,
    state: AgentState,
    env: Environment,
    agent: Agent,
    num_episodes: int,
    greedy: bool,
) -> tuple[dict[str, jax.Array], Any, jax.Array]:
    """The rows of one seed's episodes ``[E, T, ...]``, and the successor of each row."""
    steps = play(reset_key, run_key, env, agent, state, num_episodes, greedy, lambda step: step)
    unrolled = agent.unroll(state, Rollout(steps, agent.memory(num_episodes)))
    rows = {
        "observations": steps.obs,
        "actions": steps.action,
        "outputs": unrolled.outputs,
        "values": unrolled.values,
        "rewards": steps.reward,
        "played": until_end(steps.terminated | steps.truncated),
    }
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), (rows, steps.next_obs, steps.terminated))


def _check_seeds(seeds: Sequence[int], params: Params) -> None:
    rows = sorted({np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in jax.tree.leaves(params)})
    if len(seeds) < 1 or rows != [len(seeds)]:
        raise ValueError(
            f"seeds is {tuple(seeds)} where params has {', '.join(map(str, rows))} rows; give at "
            "least one seed, and for each of them one row of every parameter."
        )
