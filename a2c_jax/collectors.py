"""Collectors: how an agent gathers the experience of an update."""

import functools

import jax

from a2c_jax import checks, record_checks
from a2c_jax.keys import Stream, stream
from a2c_jax.rollout import reset_envs, roll, until_end
from a2c_jax.types import Actors, Agent, AgentState, Collector, Environment, Key, Rollout


def rollouts(
    env: Environment, agent: Agent, num_envs: int, num_steps: int, num_resets: int | None = None
) -> Collector:
    """Collects T steps in each of N environments, which continue from one rollout to the next.

    Args:
        env: the environment.
        agent: the agent that acts.
        num_envs: N.
        num_steps: T.
        num_resets: R, the number of starting states drawn for a rollout; each new episode takes
            one at random. By default T N, one for every step, which suits environments with
            cheap resets.

    Raises:
        ValueError: if a number is not a whole number of at least 1, or ``env`` does not
            pass :func:`a2c_jax.check_env`.
    """
    num_envs = checks.positive_int("num_envs", num_envs)
    num_steps = checks.positive_int("num_steps", num_steps)
    if num_resets is not None:
        num_resets = checks.positive_int("num_resets", num_resets)
    record_checks.check_env(env)

    def init(key: Key, state: AgentState) -> Actors:
        del state
        env_state, obs = reset_envs(stream(key, Stream.ENVIRONMENTS), env, num_envs)
        return Actors(env_state, obs, agent.memory(num_envs))

    def collect(key: Key, state: AgentState, actors: Actors) -> tuple[Actors, Rollout]:
        after, transitions = roll(
            key,
            env,
            functools.partial(agent.act, state),
            agent.noise,
            actors,
            agent.memory(num_envs),
            num_steps,
            num_resets,
        )
        return after, Rollout(transitions, actors.memory)

    return Collector(init, collect, num_envs, num_steps)


def episodes(env: Environment, agent: Agent, num_envs: int = 1) -> Collector:
    """Collects one whole episode in each of N environments, from a reset to its end.

    A rollout has as many rows T as the time limit allows; ``Rollout.where`` marks those that
    belong to the episodes. Nothing continues from one rollout to the next.

    Raises:
        ValueError: as :func:`rollouts` does.
    """
    record_checks.check_env(env)
    num_steps = env.max_episode_steps
    num_envs = checks.positive_int("num_envs", num_envs)

    def collect(key: Key, state: AgentState, actors: tuple) -> tuple[tuple, Rollout]:
        reset_key, run_key = jax.random.split(key)
        memory = agent.memory(num_envs)
        start = Actors(*reset_envs(reset_key, env, num_envs), memory)
        act = functools.partial(agent.act, state)
        # The rows after an episode are masked but must be finite, so the environment resets.
        _, transitions = roll(
            run_key, env, act, agent.noise, start, memory, num_steps, num_resets=1
        )
        where = until_end(transitions.terminated | transitions.truncated)
        return actors, Rollout(transitions, memory, where)

    return Collector(lambda key, state: (), collect, num_envs, num_steps)
