"""How much memory a run takes, told before it is begun."""

import math
from typing import Any, NamedTuple

import jax

from a2c_jax.experiment.run.free_memory import BEYOND, free_on_device, free_on_host, gigabytes
from a2c_jax.experiment.run.job import Job
from a2c_jax.types import Metrics


class MemoryEstimate(NamedTuple):
    """Bytes that the seeds of a run take: where they are trained, and on the host."""

    on_devices: int
    on_host: int


def estimate_memory(job: Job) -> MemoryEstimate:
    """Estimates a run's memory from the shapes of its state; compiles nothing.

    A state is there twice while a chunk runs, and twice more, on the host, while it is saved; or
    once more in a run that was resumed. The metrics of all updates are kept on the host, and
    statistics of them take three times as much. What the compiled program needs beside is told
    by :func:`check_program`.
    """
    seed = jax.eval_shape(job.algorithm.init, jax.tree.map(lambda leaf: leaf[0], job.keys))
    state = _bytes(seed)
    rows = job.layout.rows.size
    metrics = len(job.seeds) * job.num_updates * 4 * len(Metrics._fields)
    return MemoryEstimate(2 * rows * state, 2 * len(job.seeds) * state + 4 * metrics)


def check_memory(job: Job, num_settings: int = 1) -> None:
    """Refuses a run whose seeds do not fit into memory together.

    Args:
        job: the run, of all seeds at all settings.
        num_settings: of a sweep.

    Raises:
        ValueError: how many seeds there are, what they take, and how many would fit.
    """
    need, num_seeds = estimate_memory(job), len(job.seeds) // num_settings
    host, device = free_on_host(), free_on_device(job.layout)
    if job.layout.on_cpu:
        needs = [(need.on_host + need.on_devices, host)]
    else:
        needs = [(need.on_host, host)]
        if device is not None:
            needs.append((need.on_devices, device))
    for bytes_, free in needs:
        if bytes_ * BEYOND <= free:
            continue
        fitting = int(num_seeds * free / (bytes_ * BEYOND))
        each = f" at each of {num_settings} settings" if num_settings > 1 else ""
        remedy = (
            f"give at most {fitting} at a time, with --num-seeds and --seed"
            if fitting
            else "give smaller hidden_sizes, num_envs or total_steps"
        )
        raise ValueError(
            f"num_seeds is {num_seeds}{each}: together they take about {gigabytes(bytes_)}, and "
            f"{gigabytes(free)} are free; {remedy}."
        )


def _bytes(shapes: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
