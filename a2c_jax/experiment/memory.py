"""How much memory a run takes, told before it is begun."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import psutil

from a2c_jax.experiment.jobs import Job
from a2c_jax.experiment.training import chunk_length, compile_chunk
from a2c_jax.parallel import SeedLayout, abstract_group
from a2c_jax.types import Metrics

_CGROUP = Path("/sys/fs/cgroup")
_BEYOND = 1.15  # what the estimate leaves out: programs, buffers under way, Python


class MemoryEstimate(NamedTuple):
    """Bytes that the seeds of a run take: where they are trained, and on the host."""

    on_devices: int
    on_host: int


def estimate_memory(job: Job) -> MemoryEstimate:
    """Estimates a run's memory from the shapes of its state; compiles nothing.

    A state is there twice while a chunk runs, and a third time, on the host, while it is saved.
    The metrics of all updates are kept on the host, and once more while they are written.
    """
    seed = jax.eval_shape(job.algorithm.init, jax.tree.map(lambda leaf: leaf[0], job.keys))
    state = _bytes(seed)
    rows = job.layout.rows.size
    metrics = len(job.seeds) * job.num_updates * 4 * len(Metrics._fields)
    return MemoryEstimate(2 * rows * state, len(job.seeds) * state + 2 * metrics)


def check_memory(job: Job) -> None:
    """Refuses a run whose seeds do not fit into memory together.

    Raises:
        ValueError: how many seeds there are, what they take, and how many would fit.
    """
    need, num_seeds = estimate_memory(job), len(job.seeds)
    host, device = free_on_host(), free_on_device(job.layout)
    if job.layout.on_cpu:
        needs = [(need.on_host + need.on_devices, host)]
    else:
        needs = [(need.on_host, host), (need.on_devices, device)]
    for bytes_, free in needs:
        if free is not None and bytes_ * _BEYOND > free:
            fitting = int(num_seeds * free / (bytes_ * _BEYOND))
            raise ValueError(
                f"num_seeds is {num_seeds}: together they take about {_gigabytes(bytes_)}, and "
                f"{_gigabytes(free)} are free; give at most {fitting} at a time, with --num-seeds "
                "and --seed."
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
    if program_bytes * _BEYOND <= free:
        return batch_size
    return max(1, int(batch_size * free / (_BEYOND * program_bytes)))


def program_bytes(compiled: Any) -> int:
    """What a call of a compiled program takes on a device, from XLA's analysis; 0 if unknown."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return 0
    return (
        analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        + analysis.temp_size_in_bytes
        - analysis.alias_size_in_bytes
    )


def free_on_host() -> int | None:
    """Bytes that the host has left, or the container that this process runs in."""
    free = psutil.virtual_memory().available
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no such limit here
        return free
    return min(free, max(0, limit - used))


def free_on_device(layout: SeedLayout) -> int | None:
    """Bytes that all devices have left together; None where JAX does not tell."""
    free = 0
    for device in layout.devices:
        stats = device.memory_stats() or {}
        if "bytes_limit" not in stats:
            return None
        free += stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return free


def _bytes(shapes: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def _gigabytes(bytes_: float) -> str:
    return f"{bytes_ / 2**30:.3g} GiB"
