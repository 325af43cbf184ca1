"""Builds a job from a configuration and validates it."""

import collections
import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from a2c_jax import presets
from a2c_jax.agents import as_agent
from a2c_jax.experiment.config import (
    Custom,
    TrainConfig,
    describe_config,
    describe_machine,
    identity,
)
from a2c_jax.experiment.envs import resolve_env
from a2c_jax.parallel import SeedLayout, check_keys, seed_layout
from a2c_jax.settings import whole_updates
from a2c_jax.types import Agent, Algorithm, Environment, Key, Metrics

_MOST_SEEDS = 1_000_000
_SHOWN = 8  # seeds in a message
# Always JAX's default generator, so that a run can be loaded where another one is configured.
_key = functools.partial(jax.random.key, impl="threefry2x32")


class Job(NamedTuple):
    """A validated configuration, with everything that training needs.

    Progress is counted in a ``unit``, of which each update has ``per_update``: environment steps,
    or episodes for the article's loop, whose updates differ in their number of steps. ``num_envs``
    are those that a seed steps in parallel, 1 if it is not known.
    """

    env: Environment
    agent: Agent
    algorithm: Algorithm
    seeds: tuple[int, ...]
    keys: Key
    layout: SeedLayout
    num_updates: int
    notices: tuple[str, ...]
    unit: Literal["steps", "episodes"]
    per_update: int
    num_envs: int

    @property
    def units_per_seed(self) -> int:
        """Environment steps, or episodes, that each seed actually runs."""
        return self.num_updates * self.per_update


def make_job(config: TrainConfig) -> Job:
    """Builds a job from a configuration and validates it; compiles and writes nothing."""
    settings = config.settings
    seeds = resolve_seeds(config.num_seeds, config.seed, config.seeds)
    env = resolve_env(config.env, config.max_episode_steps)
    keys = jax.vmap(_key)(np.asarray(seeds, np.uint32))
    num_envs = 1
    if config.custom is not None:
        _check_custom(config.custom, env)
        algorithm, agent = config.custom.algorithm, as_agent(env, config.custom.network)
        num_updates = whole_updates(settings.total_steps, algorithm.steps_per_update)
    else:
        num_updates = presets.num_updates(settings)
        algorithm = presets.build(settings, env)
        agent = presets.make_agent(settings, env)
    in_episodes = settings.method == "article"
    per_update = 1 if in_episodes else algorithm.steps_per_update
    if config.custom is None and not in_episodes:
        num_envs = per_update // settings.num_steps
    notices: tuple[str, ...] = ()
    if not in_episodes and settings.total_steps % per_update:
        notices = (
            f"total_steps={settings.total_steps:,} is not a multiple of the {per_update:,} steps "
            f"of an update: {num_updates * per_update:,} steps ({num_updates:,} updates) are run.",
        )
    return Job(
        env=env,
        agent=agent,
        algorithm=algorithm,
        seeds=seeds,
        keys=keys,
        layout=seed_layout(check_keys(keys), config.batch_size),
        num_updates=num_updates,
        notices=notices,
        unit="episodes" if in_episodes else "steps",
        per_update=per_update,
        num_envs=num_envs,
    )


def describe_job(config: TrainConfig, job: Job) -> dict[str, Any]:
    """The content of ``config.json``: a configuration and, under ``about``, derived values."""
    about = {
        "seeds": list(job.seeds),
        "max_episode_steps": job.env.max_episode_steps,
        "num_updates": job.num_updates,
        "lengths": [job.num_updates],
        f"{job.unit}_per_seed": job.units_per_seed,
        "seeds_in_a_call": job.layout.batch_size,
        **describe_machine(job.layout.devices),
    }
    return {**describe_config(config), "about": about}


def job_identity(config: TrainConfig, job: Job) -> dict[str, Any]:
    """The values by name in which a checkpoint must agree with the run that resumes from it."""
    fixed = {k: v for k, v in identity(config).items() if k not in ("num_seeds", "seed")}
    return {**fixed, "seeds": list(job.seeds), "max_episode_steps": job.env.max_episode_steps}


def resolve_seeds(num_seeds: int, seed: int, seeds: tuple[int, ...] | None) -> tuple[int, ...]:
    """The seeds of a configuration."""
    if num_seeds > _MOST_SEEDS:
        raise ValueError(
            f"num_seeds is {num_seeds}; give at most {_MOST_SEEDS:,}, and join runs of more with "
            "a2c-jax join."
        )
    if seeds is None:
        seeds = tuple(range(seed, seed + num_seeds))
    if not seeds:
        raise ValueError("seeds is empty; name at least one seed.")
    for number in seeds:
        if not 0 <= number < 2**32:
            raise ValueError(f"seed is {number}; give a whole number from 0 to 4294967295.")
    number, times = collections.Counter(seeds).most_common(1)[0]
    if times > 1:
        raise ValueError(f"seeds holds {number} more than once; name every seed once.")
    return seeds


def row_of(argument: str, seed: int, seeds: Sequence[int]) -> int:
    """The row of a seed among those of a run."""
    if seed not in seeds:
        some = ", ".join(map(str, seeds[:_SHOWN])) + ", …" * (len(seeds) > _SHOWN)
        raise ValueError(f"{argument} is {seed!r}, which the run did not train; it has {some}.")
    return list(seeds).index(seed)


def _check_custom(custom: Custom, env: Environment) -> None:
    algorithm = custom.algorithm
    state, metrics = jax.eval_shape(lambda: algorithm.step(algorithm.init(jax.random.key(0))))
    if not isinstance(metrics, Metrics):
        raise ValueError(
            f"algorithm has metrics of {type(metrics).__name__}; return a2c_jax.Metrics."
        )
    for name in ("agent", "params"):
        if not hasattr(state, name):
            raise ValueError(
                f"algorithm has a state of {type(state).__name__} without {name}; make it with "
                "a2c_jax.learner, or give its state that field, as a2c_jax.LearnerState has it."
            )
    agent = jax.eval_shape(as_agent(env, custom.network).init, jax.random.key(0))
    ours, theirs = (
        (str(jax.tree.structure(tree)), [(x.shape, x.dtype) for x in jax.tree.leaves(tree)])
        for tree in (agent, state.agent)
    )
    if ours != theirs:
        raise ValueError(
            "network has other parameters than those that algorithm trains; give the network or "
            "the agent that the algorithm was made of."
        )
