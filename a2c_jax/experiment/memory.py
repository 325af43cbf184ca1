"""How much memory a run takes, told before it is begun."""

import math
from typing import Any, NamedTuple

import jax

from a2c_jax.experiment.free_memory import (
    BEYOND,
    free_on_device,
    free_on_host,
    gigabytes,
    program_bytes,
)
from a2c_jax.experiment.jobs import Job
from a2c_jax.experiment.training import chunk_length, compile_chunk
from a2c_jax.parallel import SeedLayout, abstract_group
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


def check_joining(job: Job) -> None:
    """Refuses a run by several processes whose shards one host cannot hold together at the end.

    Raises:
        ValueError: what they take, and what is free.
    """
    need, free = estimate_memory(job).on_host, free_on_host()
    if need * BEYOND > free:
        raise ValueError(
            f"num_seeds is {len(job.seeds)}: joined they take about {gigabytes(need)} in process "
            f"0, and {gigabytes(free)} are free there; give at most "
            f"{max(1, int(len(job.seeds) * free / (need * BEYOND)))}."
        )


def fitted_layout(job: Job) -> SeedLayout:
    """Makes the batches so small that a call of the compiled program fits onto a device.

    The seeds are then trained in several groups, one after another. On a CPU, where the seeds of
    a batch are trained one by one, there is nothing to be gained.

    Args:
        job: whose layout has all of a device's seeds in one batch.
    """
    layout = job.layout
    free = None if layout.on_cpu else free_on_device(layout)
    if free is None:
        return layout
    first = jax.tree.map(lambda leaf: leaf[0], job.keys)
    seed = jax.eval_shape(job.algorithm.init, first)
    while layout.batch_size > 1:
        group = abstract_group(seed, layout)
        state = _bytes(seed)
        updates = chunk_length(job.num_updates, job.algorithm, layout, state)
        need = program_bytes(compile_chunk(job.algorithm, updates, layout, group))
        elsewhere = 2 * state * max(0, len(job.seeds) - layout.group_size)
        size = fitting_batch_size(
            need, (free - elsewhere) // len(layout.devices), layout.batch_size
        )
        if size == layout.batch_size:
            break
        layout = layout._replace(batch_size=size)
    return layout


def fitting_batch_size(program_bytes: int, free: int, batch_size: int) -> int:
    """The seeds that one call of a program can take, at least 1 and at most ``batch_size``.

    Args:
        program_bytes: what a call with ``batch_size`` of them takes on a device.
        free: what the device has.
        batch_size: seeds on a device.
    """
    if program_bytes * BEYOND <= free:
        return batch_size
    return max(1, int(batch_size * free / (BEYOND * program_bytes)))


def _bytes(shapes: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
