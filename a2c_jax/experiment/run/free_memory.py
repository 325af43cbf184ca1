"""The memory that there is, and what a compiled program takes of it."""

from typing import Any

import psutil

from a2c_jax.experiment.errors import BadInput
from a2c_jax.parallel import SeedLayout

BEYOND = 1.15  # what an estimate leaves out: programs, buffers under way, Python


def check_program(compiled: Any, layout: SeedLayout) -> None:
    """Refuses to run a program that the free memory does not hold.

    Raises:
        BadInput: what it takes, and what makes it smaller.
    """
    need = program_bytes(compiled) * len(layout.devices)
    free = free_on_host() if layout.on_cpu else free_on_device(layout)
    if free is not None and need * BEYOND > free:
        raise BadInput(
            f"The compiled program takes {gigabytes(need)}, and {gigabytes(free)} are free; give "
            "a smaller num_envs, num_steps or hidden_sizes, or a smaller batch_size."
        )


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


def free_on_host() -> int:
    """Bytes that the host has left."""
    return psutil.virtual_memory().available


def free_on_device(layout: SeedLayout) -> int | None:
    """Bytes that all devices have left together; None where JAX does not tell."""
    free = 0
    for device in layout.devices:
        stats = device.memory_stats() or {}
        if "bytes_limit" not in stats:
            return None
        free += stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return free


def gigabytes(bytes_: float) -> str:
    """A number of bytes in words."""
    return f"{bytes_ / 2**30:.3g} GiB"
