"""The memory that there is, and what a compiled program takes of it."""

from pathlib import Path
from typing import Any

import psutil

from a2c_jax.parallel import SeedLayout

BEYOND = 1.15  # what an estimate leaves out: programs, buffers under way, Python

_CGROUP = Path("/sys/fs/cgroup")


class TooLargeError(ValueError):
    """A run that memory does not hold; told once the program is compiled, before it runs."""


def check_program(compiled: Any, layout: SeedLayout) -> None:
    """Refuses to run a program that the free memory does not hold.

    Raises:
        TooLargeError: what it takes, and what makes it smaller.
    """
    need = program_bytes(compiled) * len(layout.devices)
    free = free_on_host() if layout.on_cpu else free_on_device(layout)
    if free is not None and need * BEYOND > free:
        raise TooLargeError(
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
    """Bytes that the host has left, or the container that this process runs in."""
    free = psutil.virtual_memory().available
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no such limit here
        return free
    return min(free, max(0, limit - used + _reclaimable()))


def _reclaimable() -> int:
    """Bytes of files that the container has read, and that give way to anything else."""
    try:
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    figures = dict(line.split() for line in lines)
    return int(figures.get("inactive_file", 0)) + int(figures.get("active_file", 0))


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
