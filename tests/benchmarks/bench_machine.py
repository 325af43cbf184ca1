"""What a measurement depends on: the machine, how busy it is, versions and flags."""

import os
import platform
from pathlib import Path
from typing import Any

import jax
import psutil
from bench_config import Plan

from a2c_jax.experiment.config.describe import describe_machine

_CPU_INFO = Path("/proc/cpuinfo")
_FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
_CONFIG = (
    "jax_num_cpu_devices",
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_enable_compilation_cache",
)


def describe_bench(plan: Plan, peers: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Everything beside the figures.

    Args:
        plan: what is measured.
        peers: versions of their packages.
    """
    ours = describe_machine(jax.local_devices())
    return {
        "network": plan.network,
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "machine": {
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "usable_cores": len(psutil.Process().cpu_affinity() or [])
            if hasattr(psutil.Process, "cpu_affinity")
            else os.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
            "platform": platform.platform(),
            "device": ours["device"],
        },
        "versions": {"a2c_jax": ours["versions"], **peers},
        "flags": {
            **{name: os.environ.get(name, "") for name in _FLAGS},
            **{name: jax.config.values.get(name) for name in _CONFIG},
        },
        "load_average_before": load_average(),
    }


def load_average() -> list[float]:
    """Over the last 1, 5 and 15 minutes; empty where the system does not tell."""
    return list(os.getloadavg()) if hasattr(os, "getloadavg") else []


def _cpu_model() -> str:
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
