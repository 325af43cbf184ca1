"""Checks the memory that a run and its compiled program need, before it starts."""

import math
from typing import Any, NamedTuple

import jax
import psutil

from a2c_jax.experiment.errors import BadInput
from a2c_jax.experiment.run.job import Job
from a2c_jax.parallel import SeedLayout
from a2c_jax.types import Metrics

_MARGIN = 1.15  # what an estimate omits: programs, buffers in flight, Python


class MemoryEstimate(NamedTuple):
    """Bytes that the seeds of a run take on the devices that train them, and on the host."""

    on_devices: int
    on_host: int


def estimate_memory(job: Job) -> MemoryEstimate:
    """Estimates a run's memory from the shapes of its state; compiles nothing.

    On the devices, a state exists twice where XLA cannot write a chunk's results over it. On the
    host it exists twice more while it is saved, and once more in a resumed run, which also keeps
    the metrics of all updates twice.
    """
    seed = jax.eval_shape(job.algorithm.init, jax.tree.map(lambda leaf: leaf[0], job.keys))
    state, num_seeds = tree_bytes(seed), len(job.seeds)
    metrics = num_seeds * job.num_updates * 4 * len(Metrics._fields)
    return MemoryEstimate(2 * job.layout.rows.size * state, 3 * num_seeds * state + 2 * metrics)


def check_memory(job: Job, num_settings: int = 1) -> None:
    """Refuses a run, of all seeds at all settings of a sweep, that does not fit into memory."""
    need, num_seeds = estimate_memory(job), len(job.seeds) // num_settings
    needs = [(need.on_host, free_on_host()), (need.on_devices, free_on_device(job.layout))]
    if job.layout.on_cpu:
        needs = [(sum(need), free_on_host())]
    each = f" at each of {num_settings} settings" if num_settings > 1 else ""
    for bytes_, free in needs:
        if free is None or bytes_ * _MARGIN <= free:
            continue
        remedy = "give smaller hidden_sizes, num_envs or total_steps"
        if fitting := int(num_seeds * free / (bytes_ * _MARGIN)):
            remedy = f"give at most {fitting} at a time, with --num-seeds and --seed"
        raise ValueError(
            f"num_seeds is {num_seeds}{each}: together they take about {bytes_ / 2**30:.3g} GiB, "
            f"and {free / 2**30:.3g} GiB are free; {remedy}."
        )


def tree_bytes(shapes: Any) -> int:
    """Bytes of the arrays of a tree; they may be given by their shapes."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def check_program(compiled: Any, layout: SeedLayout) -> None:
    """Refuses to run a program that does not fit into the free memory, with BadInput."""
    need = program_bytes(compiled) * len(layout.devices)
    free = free_on_host() if layout.on_cpu else free_on_device(layout)
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


def free_on_host() -> int:
    """Free bytes of the host."""
    return psutil.virtual_memory().available


def free_on_device(layout: SeedLayout) -> int | None:
    """Free bytes of all devices in total; None where JAX does not report them."""
    stats = [device.memory_stats() or {} for device in layout.devices]
    if not all("bytes_limit" in each for each in stats):
        return None
    return sum(each["bytes_limit"] - each.get("bytes_in_use", 0) for each in stats)
