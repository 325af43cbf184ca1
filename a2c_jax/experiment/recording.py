"""Episodes of trained policies, recorded step by step to be looked at."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from a2c_jax import checks
from a2c_jax.distributions import categorical
from a2c_jax.environments import num_actions
from a2c_jax.rollout import reset_envs
from a2c_jax.types import Environment, EnvState, Key, Network, Params, QNetwork, Transition

# CartPole's measures as gymnax and Gymnasium have them; the pole's `length` there is half of it.
STEP_SECONDS = 0.02
POSITION_LIMIT = 2.4  # metres, of the cart's middle
ANGLE_LIMIT = float(np.radians(12.0))
POLE_LENGTH = 1.0  # metres


class Recording(NamedTuple):
    """What E episodes of each of S seeds came to, in NumPy arrays.

    Every episode has as many rows T as the longest; those behind its end are of no account.

    Attributes:
        env_name: of the environment.
        seeds: which seeds, S of them.
        observations: what the policy saw at each step, ``[S, E, T, *O]``.
        final_observations: what it would have seen after the last one, ``[S, E, *O]``.
        actions: what it did, int ``[S, E, T]``.
        probabilities: of each action, ``[S, E, T, A]``.
        values: what the critic expected, V(s), ``[S, E, T]``; E[Q(s, a)] of a critic of actions.
        rewards: ``[S, E, T]``.
        lengths: rows that belong to the episode, int ``[S, E]``, in steps.
        terminated: whether the task ended, bool ``[S, E]``; else the time limit was reached.
    """

    env_name: str
    seeds: tuple[int, ...]
    observations: np.ndarray
    final_observations: np.ndarray
    actions: np.ndarray
    probabilities: np.ndarray
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
    probabilities: np.ndarray
    values: np.ndarray
    rewards: np.ndarray
    terminated: bool


def record(
    env: Environment,
    network: Network | QNetwork,
    params: Params,
    seeds: Sequence[int],
    key: Key,
    num_episodes: int,
    greedy: bool = True,
) -> Recording:
    """Plays ``num_episodes`` episodes of each seed, to their end or time limit.

    All seeds meet the same beginnings, and what one of them does there does not depend on which
    others are recorded.

    Args:
        env: the environment.
        network: whose policy to play.
        params: parameters of each seed, with a leading axis ``[S]``.
        seeds: their numbers, in the same order.
        key: one key for all beginnings and all noise.
        num_episodes: E.
        greedy: the most probable action if true, else one sampled from the policy.

    Raises:
        ValueError: if ``seeds`` does not go with ``params``, the actions are continuous, or
            ``num_episodes`` is not a whole number of at least 1.
    """
    num_episodes = checks.positive_int("num_episodes", num_episodes)
    _check_seeds(seeds, params)
    reset_key, run_key = jax.random.split(key)
    run_keys = jnp.stack([jax.random.fold_in(run_key, seed % 2**32) for seed in seeds])
    reset_keys = jnp.broadcast_to(reset_key, run_keys.shape)

    def play(seed: tuple[Key, Key, Params]) -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
        return _play(*seed, env, network, num_episodes, greedy)

    # One seed after another, so that its rounding does not depend on the others.
    program = jax.jit(lambda seeds: jax.lax.map(play, seeds))
    rows, next_obs, terminated = program((reset_keys, run_keys, params))
    lengths = np.array(rows.pop("played")).sum(axis=-1)
    last = (*np.indices(lengths.shape), lengths - 1)
    # Copies, since the arrays of a CPU device are otherwise views of JAX's own memory.
    return Recording(
        env_name=env.name,
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
        probabilities=recording.probabilities[at][:length],
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
    params: Params,
    env: Environment,
    network: Network | QNetwork,
    num_episodes: int,
    greedy: bool,
) -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
    """The rows of one seed's episodes ``[E, T, ...]``, and what follows each row."""
    shape = (num_episodes, num_actions(env))

    # As `evaluate` does; a rollout would also draw the episodes that come after.
    def body(carry: tuple[EnvState, jax.Array], key: Key) -> tuple[Any, Any]:
        env_state, obs = carry
        action_key, step_key = jax.random.split(key)
        logits = network.policy(params, obs)
        if greedy:
            action = categorical.mode(logits)
        else:
            action = categorical.sample(logits, categorical.noise(action_key, shape))
        step_keys = jax.random.split(step_key, num_episodes)
        timestep = jax.vmap(env.step)(step_keys, env_state, action)
        step = Transition(
            obs, action, timestep.reward, timestep.terminated, timestep.truncated, timestep.obs
        )
        return (timestep.env_state, timestep.obs), (step, logits)

    start = reset_envs(reset_key, env, num_episodes)
    _, steps = jax.lax.scan(body, start, jax.random.split(run_key, env.max_episode_steps))
    step, logits = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), steps)
    ended = step.terminated | step.truncated
    ended_before = jnp.cumsum(ended, axis=1) - ended
    rows = {
        "observations": step.obs,
        "actions": step.action,
        "probabilities": jax.nn.softmax(logits),
        "values": _state_values(network, params, step.obs, logits),
        "rewards": step.reward,
        "played": ended_before == 0,
    }
    return rows, step.next_obs, step.terminated


def _state_values(
    network: Network | QNetwork, params: Params, obs: jax.Array, logits: jax.Array
) -> jax.Array:
    if isinstance(network, Network):
        return network.value(params, obs)
    return jnp.sum(jax.nn.softmax(logits) * network.action_values(params, obs), axis=-1)


def _check_seeds(seeds: Sequence[int], params: Params) -> None:
    rows = sorted({np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in jax.tree.leaves(params)})
    if len(seeds) < 1 or rows != [len(seeds)]:
        raise ValueError(
            f"seeds is {tuple(seeds)} where params has {', '.join(map(str, rows))} rows; give at "
            "least one seed, and for each of them one row of every parameter."
        )
