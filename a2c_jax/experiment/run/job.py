"""Builds a job from a configuration, validates it, and checks that it fits into memory."""

import collections
import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import psutil

from a2c_jax import presets
from a2c_jax.agents import as_agent
from a2c_jax.experiment.config import TrainConfig, describe_config, describe_machine, identity
from a2c_jax.experiment.envs import resolve_env
from a2c_jax.experiment.files import BadInput
from a2c_jax.parallel import SeedLayout, check_keys, seed_layout
from a2c_jax.settings import whole_updates
from a2c_jax.types import Agent, Algorithm, Environment, Key, Metrics

_MOST_SEEDS = 1_000_000
_SHOWN = 8  # seeds in a message
_MARGIN = 1.15  # what an estimate of memory omits: programs, buffers in flight, Python
# Always JAX's default generator, so that a run can be loaded where another one is configured.
_key = functools.partial(jax.random.key, impl="threefry2x32")


class Job(NamedTuple):
    """A validated configuration, with everything that training needs.

    Each update has ``per_update`` of the ``unit`` that counts progress, episodes for the article's
    loop. ``num_envs`` are those that a seed steps in parallel, 1 if it is not known.
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
    settings, custom = config.settings, config.custom
    seeds = _seeds(config)
    env = resolve_env(config.env, config.max_episode_steps)
    keys = jax.vmap(_key)(np.asarray(seeds, np.uint32))
    if custom is not None:
        algorithm, agent = custom.algorithm, as_agent(env, custom.network)
        _check_custom(algorithm, agent)
        num_updates = whole_updates(settings.total_steps, algorithm.steps_per_update)
    else:
        num_updates = presets.num_updates(settings)
        algorithm, agent = presets.build(settings, env), presets.make_agent(settings, env)
    in_episodes = settings.method == "article"
    per_update = 1 if in_episodes else algorithm.steps_per_update
    num_envs = 1 if custom or in_episodes else per_update // settings.num_steps
    notices: tuple[str, ...] = ()
    if not in_episodes and settings.total_steps % per_update:
        notices = (
            f"total_steps={settings.total_steps:,} is not a multiple of the {per_update:,} steps "
            f"of an update: {num_updates * per_update:,} steps ({num_updates:,} updates) are run.",
        )
    layout = seed_layout(check_keys(keys), config.batch_size)
    return Job(
        env, agent, algorithm, seeds, keys, layout, num_updates, notices,
        "episodes" if in_episodes else "steps", per_update, num_envs,
    )  # fmt: skip


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


def _seeds(config: TrainConfig) -> tuple[int, ...]:
    if config.num_seeds > _MOST_SEEDS:
        raise ValueError(
            f"num_seeds is {config.num_seeds}; give at most {_MOST_SEEDS:,}, and join runs of more "
            "with a2c-jax join."
        )
    seeds = config.seeds
    if seeds is None:
        seeds = tuple(range(config.seed, config.seed + config.num_seeds))
    if not seeds:
        raise ValueError("seeds is empty; name at least one seed.")
    for number, times in collections.Counter(seeds).items():
        if not 0 <= number < 2**32:
            raise ValueError(f"seed is {number}; give a whole number from 0 to 4294967295.")
        if times > 1:
            raise ValueError(f"seeds holds {number} more than once; name every seed once.")
    return seeds


def row_of(argument: str, seed: int, seeds: Sequence[int]) -> int:
    """The row of a seed among those of a run."""
    if seed not in seeds:
        some = ", ".join(map(str, seeds[:_SHOWN])) + ", …" * (len(seeds) > _SHOWN)
        raise ValueError(f"{argument} is {seed!r}, which the run did not train; it has {some}.")
    return seeds.index(seed)


def _check_custom(algorithm: Algorithm, agent: Agent) -> None:
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
    ours, theirs = (
        (str(jax.tree.structure(tree)), [(x.shape, x.dtype) for x in jax.tree.leaves(tree)])
        for tree in (jax.eval_shape(agent.init, jax.random.key(0)), state.agent)
    )
    if ours != theirs:
        raise ValueError(
            "network has other parameters than those that algorithm trains; give the network or "
            "the agent that the algorithm was made of."
        )


def check_memory(job: Job, num_settings: int = 1) -> None:
    """Refuses a run, of all seeds at all settings of a sweep, that does not fit into memory."""
    free_bytes = psutil.virtual_memory().available, free_on_device(job.layout)
    num_seeds = len(job.seeds) // num_settings
    each = f" at each of {num_settings} settings" if num_settings > 1 else ""
    for need, free in zip(estimate_memory(job), free_bytes, strict=True):
        if free is not None and need * _MARGIN > free:
            remedy = "give smaller hidden_sizes, num_envs or total_steps"
            if fitting := int(num_seeds * free / (need * _MARGIN)):
                remedy = f"give at most {fitting} at a time, with --num-seeds and --seed"
            raise ValueError(
                f"num_seeds is {num_seeds}{each}: together they take about {need / 2**30:.3g} GiB, "
                f"and {free / 2**30:.3g} GiB are free; {remedy}."
            )


def estimate_memory(job: Job) -> tuple[int, int]:
    """Bytes that a run takes on the host and on devices with a memory of their own.

    On the devices, a state exists twice where XLA cannot write a chunk's results over it. On the
    host it exists twice more while it is saved, and once more in a resumed run, which also keeps
    the metrics of all updates twice.
    """
    seed = jax.eval_shape(job.algorithm.init, jax.tree.map(lambda leaf: leaf[0], job.keys))
    state, num_seeds = tree_bytes(seed), len(job.seeds)
    metrics = num_seeds * job.num_updates * 4 * len(Metrics._fields)
    on_host, on_devices = 3 * num_seeds * state + 2 * metrics, 2 * job.layout.rows.size * state
    return (on_host + on_devices, 0) if job.layout.on_cpu else (on_host, on_devices)


def tree_bytes(shapes: Any) -> int:
    """Bytes of the arrays of a tree; they may be given by their shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def check_program(compiled: Any, layout: SeedLayout) -> None:
    """Refuses to run a program that does not fit into the free memory, with BadInput."""
    need, free = program_bytes(compiled) * len(layout.devices), free_on_device(layout)
    if free is not None and need * _MARGIN > free:
        raise BadInput(
            f"The compiled program takes {need / 2**30:.3g} GiB, and {free / 2**30:.3g} GiB are "
            "free; give a smaller num_envs, num_steps or hidden_sizes, or a smaller batch_size."
        )


def program_bytes(compiled: Any) -> int:
    """Bytes that one call of a compiled program needs on a device; 0 if XLA does not report it."""
    if (sizes := compiled.memory_analysis()) is None:
        return 0
    in_and_out = sizes.argument_size_in_bytes + sizes.output_size_in_bytes
    return in_and_out + sizes.temp_size_in_bytes - sizes.alias_size_in_bytes


def free_on_device(layout: SeedLayout) -> int | None:
    """Free bytes of all devices in total; None where JAX does not report them."""
    if layout.on_cpu:
        return psutil.virtual_memory().available
    stats = [device.memory_stats() or {} for device in layout.devices]
    if not all("bytes_limit" in each for each in stats):
        return None
    return sum(each["bytes_limit"] - each.get("bytes_in_use", 0) for each in stats)
