"""What can only be measured in a fresh process: imports, compiling, memory, starting, solving."""

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from bench_config import NetworkName, Peer, Size
from bench_workers import ShouldStop, run_process, start_worker

import a2c_jax

_CHILD = Path(__file__).with_name("bench_child.py")
MODULES = ("a2c_jax", "a2c_jax.experiment.cli.main")
SMALL_RUN = ("--num-seeds", "4", "--total-steps", "2000")
NO_CACHE = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
_CACHE_FLAGS = ("JAX_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE", "JAX_ENABLE_COMPILATION_CACHE")

_IMPORT = """\
import time
start = time.perf_counter()
import {module}
print(time.perf_counter() - start)
"""


def own_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, without a cache of programs, for another process of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_CACHE_FLAGS)}
    root = str(Path(a2c_jax.__file__).parent.parent)  # it may not be installed
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    devices = {}
    if jax.default_backend() == "cpu" and "device_count" not in kept.get("XLA_FLAGS", ""):
        devices = {"JAX_NUM_CPU_DEVICES": str(jax.local_device_count())}
    return {**kept, **devices, "PYTHONPATH": path, **changes}


def import_seconds(module: str, times: int, stop: ShouldStop) -> list[float]:
    """Seconds that importing a module takes, each time in a fresh process."""
    command = [sys.executable, "-c", _IMPORT.format(module=module)]
    environment = own_environment({})
    return [float(run_process(command, environment, stop)) for _ in range(times)]


def compile_stages(
    size: Size, network: NetworkName, num_updates: int, stop: ShouldStop
) -> dict[str, Any]:
    """Compiling with and without a warm persistent cache, the first run, and the memory.

    Three fresh processes: one without a cache, one that fills it, one that finds it full.
    """
    cold = _train_in_child(size, network, num_updates, 1, NO_CACHE, stop)
    with tempfile.TemporaryDirectory() as folder:
        cache = {
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        _train_in_child(size, network, num_updates, 0, cache, stop)
        warm = _train_in_child(size, network, num_updates, 0, cache, stop)
    first = cold.pop("run_seconds")[0]
    return {
        **cold,
        "warm_compile_seconds": warm["compile_seconds"],
        "first_run_seconds": first,
    }


def seed_cost(
    size: Size, network: NetworkName, num_updates: int, runs: int, stop: ShouldStop
) -> dict[str, Any]:
    """Seconds that a seed of so many updates costs beside the others, and the memory of all."""
    child = _train_in_child(size, network, num_updates, 1 + runs, NO_CACHE, stop)
    return {
        "seconds_per_seed": [each / size.num_seeds for each in child["run_seconds"][1:]],
        "imported_memory_bytes": child["imported_memory_bytes"],
        "peak_memory_bytes": child["peak_memory_bytes"],
    }


def _train_in_child(
    size: Size,
    network: NetworkName,
    num_updates: int,
    runs: int,
    changes: Mapping[str, str],
    stop: ShouldStop,
) -> dict[str, Any]:
    task = {"size": size, "network": network, "num_updates": num_updates, "runs": runs}
    command = [sys.executable, str(_CHILD), json.dumps(task)]
    answer: dict[str, Any] = json.loads(run_process(command, own_environment(changes), stop))
    return answer


def startup_seconds(times: int, stop: ShouldStop) -> dict[str, Any]:
    """Seconds from launching a small ``a2c-jax train`` to its first results, and to its end.

    Cold is with an empty persistent cache of compiled programs, warm is the same once more.
    """
    answer: dict[str, Any] = {"command": ["a2c-jax", "train", *SMALL_RUN], "cold": [], "warm": []}
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            changes = {"JAX_COMPILATION_CACHE_DIR": str(Path(folder) / "cache")}
            for state in ("cold", "warm"):
                seconds = _launch_training(SMALL_RUN, Path(folder) / state, changes, stop)
                answer[state].append(seconds)
    return answer


def solve_seconds(flags: Sequence[str], stop: ShouldStop) -> dict[str, Any]:
    """Seconds of a whole ``a2c-jax train`` in a fresh process, and how many seeds it solved."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        seconds = _launch_training(flags, out, NO_CACHE, stop)
        summary = json.loads((out / "summary.json").read_text())
    names = (
        "num_seeds", "fraction_solved", "median_steps_to_solve", "steps_per_seed",
        "compile_seconds", "train_seconds",
    )  # fmt: skip
    return {
        "command": ["a2c-jax", "train", *flags],
        "wall_seconds": seconds["end_seconds"],
        **{name: summary.get(name) for name in names},
    }


def peer_solve_seconds(peer: Peer, steps: int, stop: ShouldStop) -> dict[str, Any]:
    """The same of one seed of Stable-Baselines3, with the settings of our preset general."""
    start = time.perf_counter()
    with start_worker(peer, {"solve": steps, "network": "default"}, stop) as worker:
        wall = time.perf_counter() - start
        return {
            "num_seeds": 1,
            "wall_seconds": wall,
            "train_seconds": worker.ready["first_seconds"],
            "steps_per_seed": worker.ready["steps"],
            "steps_to_solve": worker.ready["steps_to_solve"],
        }


def _launch_training(
    flags: Sequence[str], out: Path, changes: Mapping[str, str], stop: ShouldStop
) -> dict[str, float]:
    command = [sys.executable, "-m", "a2c_jax", "train", *flags, "--out", str(out)]
    first: list[float] = []
    start = time.perf_counter()

    def look() -> object:
        with contextlib.suppress(OSError):
            if not first and (out / "log.jsonl").stat().st_size:
                first.append(time.perf_counter() - start)
        return stop()

    run_process(command, own_environment(changes), look)
    end = time.perf_counter() - start
    return {"first_chunk_seconds": first[0] if first else end, "end_seconds": end}
