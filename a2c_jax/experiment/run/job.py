"""Builds a job from a configuration and validates it."""

import collections
import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from a2c_jax import checks, presets
from a2c_jax.experiment.config.config import TrainConfig, default_config, saved_fields
from a2c_jax.experiment.config.describe import describe_machine, describe_settings
from a2c_jax.experiment.config.envs import env_name, resolve_env
from a2c_jax.experiment.config.reading import FORMAT
from a2c_jax.parallel import SeedLayout, check_keys, seed_layout
from a2c_jax.presets import ArticlePreset, OwnAlgorithm, Preset
from a2c_jax.types import Agent, Algorithm, Environment, Key, Metrics

_MOST_SEEDS = 1_000_000
_SHOWN = 8  # seeds in a message
# Always JAX's default generator, so that a run can be loaded where another one is configured.
_key = functools.partial(jax.random.key, impl="threefry2x32")


class Job(NamedTuple):
    """A validated configuration, with everything that training needs.

    Attributes:
        unit: the unit of progress: environment steps, or episodes for the article's loop, whose
            updates differ in their number of steps.
        notices: messages to the user.
        per_update: number of these units in each update of a seed.
        num_envs: environments that a seed steps in parallel; 1 if it is not known.
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
    """Builds a job from a configuration and validates it; compiles and writes nothing.

    Raises:
        ValueError: one sentence that names the setting, its value and the remedy.
    """
    _check_settings(config)
    seeds = resolve_seeds(config.num_seeds, config.seed, config.seeds)
    env = resolve_env(config.env, config.max_episode_steps)
    keys = jax.vmap(_key)(np.asarray(seeds, np.uint32))
    settings = config.settings
    if isinstance(settings, OwnAlgorithm):
        _check_own(settings, env)
    num_updates = presets.num_updates(settings)
    algorithm = presets.build(settings, env)
    if isinstance(settings, ArticlePreset):
        per_update, num_envs = 1, 1
        notices: tuple[str, ...] = ()
    else:
        per_update = algorithm.steps_per_update
        num_envs = per_update // settings.num_steps if isinstance(settings, Preset) else 1
        notices = _notices(settings.total_steps, num_updates, per_update)
    return Job(
        env=env,
        agent=presets.make_agent(settings, env),
        algorithm=algorithm,
        seeds=seeds,
        keys=keys,
        layout=seed_layout(check_keys(keys), config.batch_size),
        num_updates=num_updates,
        notices=notices,
        unit="episodes" if isinstance(settings, ArticlePreset) else "steps",
        per_update=per_update,
        num_envs=num_envs,
    )


def describe_config(config: TrainConfig, job: Job) -> dict[str, Any]:
    """The content of ``config.json``: a configuration and, under ``about``, derived values."""
    return {
        "format": FORMAT,
        **{name: getattr(config, name) for name in saved_fields(type(config))},
        "env": env_name(config.env),
        "settings": describe_settings(config.settings),
        "about": {
            "seeds": list(job.seeds),
            "max_episode_steps": job.env.max_episode_steps,
            "num_updates": job.num_updates,
            "lengths": [job.num_updates],
            f"{job.unit}_per_seed": job.units_per_seed,
            "seeds_in_a_call": job.layout.batch_size,
            **describe_machine(job.layout.devices),
        },
    }


def resolve_seeds(num_seeds: int, seed: int, seeds: tuple[int, ...] | None) -> tuple[int, ...]:
    """The seeds of a configuration.

    Raises:
        ValueError: if there are none, or one is out of range or named twice.
    """
    count = checks.positive_int("num_seeds", num_seeds)
    if count > _MOST_SEEDS:
        raise ValueError(
            f"num_seeds is {num_seeds}; give at most {_MOST_SEEDS:,}, and join runs of more with "
            "a2c-jax join."
        )
    if seeds is None:
        seeds = tuple(range(seed, seed + count))
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
    """The row of a seed among those of a run.

    Raises:
        ValueError: if the run has not trained it.
    """
    if seed not in seeds:
        some = ", ".join(map(str, seeds[:_SHOWN])) + ", …" * (len(seeds) > _SHOWN)
        raise ValueError(f"{argument} is {seed!r}, which the run did not train; it has {some}.")
    return list(seeds).index(seed)


def _check_settings(config: TrainConfig) -> None:
    settings = config.settings
    if isinstance(settings, OwnAlgorithm):
        return
    names = config.preset, config.algorithm, config.architecture
    expected = default_config(*names).settings
    if type(settings) is not type(expected):
        raise ValueError(
            f"preset is {config.preset!r}, but settings is a {type(settings).__name__}; make the "
            "configuration with default_config(preset, algorithm)."
        )
    for name, part in (("algorithm", "method"), ("architecture", "architecture")):
        ours, theirs = (type(getattr(one, part, None)) for one in (settings, expected))
        if ours is not theirs:
            raise ValueError(
                f"{name} is {getattr(config, name)!r}, but the settings are of another {part}; "
                "make the configuration with default_config(preset, algorithm, architecture)."
            )


def _check_own(settings: OwnAlgorithm, env: Environment) -> None:
    algorithm = settings.algorithm
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
    agent = jax.eval_shape(presets.make_agent(settings, env).init, jax.random.key(0))
    ours, theirs = (
        (str(jax.tree.structure(tree)), [(x.shape, x.dtype) for x in jax.tree.leaves(tree)])
        for tree in (agent, state.agent)
    )
    if ours != theirs:
        raise ValueError(
            "network has other parameters than those that algorithm trains; give the network or "
            "the agent that the algorithm was made of."
        )


def _notices(total_steps: int, num_updates: int, per_update: int) -> tuple[str, ...]:
    run = num_updates * per_update
    if run == total_steps:
        return ()
    return (
        f"total_steps={total_steps:,} is not a multiple of the {per_update:,} steps of an update: "
        f"{run:,} steps ({num_updates:,} updates) are run.",
    )
