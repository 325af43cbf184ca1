"""What a training run is told, and the check that it can be done."""

import collections
import dataclasses
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np

from a2c_jax import checks, presets
from a2c_jax.environments import make_env
from a2c_jax.presets import Preset
from a2c_jax.types import Algorithm, Environment, Key


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Trains many seeds of A2C at once and writes a run folder.

    Attributes:
        preset: the settings to start from; they are the defaults of the flags below, as
            --preset NAME --help shows.
        settings: single settings of the preset, to be changed.
        env: name of a gymnax environment with discrete actions.
        max_episode_steps: time limit in steps; by default the environment's own.
        num_seeds: how many seeds, counting up from the first.
        seed: the first seed.
        seeds: exactly these seeds, instead of a first one and a number.
        batch_size: seeds that one call of the program trains on a device; by default 1 on a
            CPU, and all of a device's seeds elsewhere.
        out: the run folder; by default a new one under runs/.
        overwrite: replace the files of the run in that folder, and no others.
    """

    settings: Preset = presets.default
    preset: Literal["default", "stable_baselines3", "article"] = "default"
    env: str = "CartPole-v1"
    max_episode_steps: int | None = None
    num_seeds: int = 16
    seed: int = 0
    seeds: tuple[int, ...] | None = None
    batch_size: int | None = None
    out: Path | None = None
    overwrite: bool = False


class Job(NamedTuple):
    """A configuration that has been checked, with all it takes to train."""

    env: Environment
    algorithm: Algorithm
    seeds: tuple[int, ...]
    keys: Key
    num_updates: int
    notices: tuple[str, ...]

    @property
    def steps_per_seed(self) -> int:
        """Environment steps of each seed that are really run."""
        return self.num_updates * self.algorithm.steps_per_update


def resolve(config: TrainConfig) -> Job:
    """Checks a configuration and makes what it names; compiles and writes nothing.

    Raises:
        ValueError: one sentence that names the setting, its value and the remedy.
    """
    seeds = _seeds(config)
    if config.batch_size is not None:
        checks.positive_int("batch_size", config.batch_size)
    env_params = {}
    if config.max_episode_steps is not None:
        env_params["max_steps_in_episode"] = checks.positive_int(
            "max_episode_steps", config.max_episode_steps
        )
    num_updates = presets.num_updates(config.settings)
    env = make_env(config.env, **env_params)
    algorithm = presets.build(config.settings, env)
    return Job(
        env=env,
        algorithm=algorithm,
        seeds=seeds,
        keys=jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32)),
        num_updates=num_updates,
        notices=_notices(config.settings.total_steps, num_updates, algorithm.steps_per_update),
    )


def _seeds(config: TrainConfig) -> tuple[int, ...]:
    count = checks.positive_int("num_seeds", config.num_seeds)
    seeds = config.seeds
    if seeds is None:
        seeds = tuple(range(config.seed, config.seed + count))
    if not seeds:
        raise ValueError("seeds is empty; name at least one seed.")
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed is {seed}; give a whole number from 0 to 4294967295.")
    seed, times = collections.Counter(seeds).most_common(1)[0]
    if times > 1:
        raise ValueError(f"seeds holds {seed} more than once; name every seed once.")
    return seeds


def _notices(total_steps: int, num_updates: int, per_update: int) -> tuple[str, ...]:
    run = num_updates * per_update
    if run == total_steps:
        return ()
    return (
        f"total_steps={total_steps:,} is no multiple of the {per_update:,} steps of an update: "
        f"{run:,} steps ({num_updates:,} updates) are run.",
    )
