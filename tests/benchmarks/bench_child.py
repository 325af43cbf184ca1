"""One measurement in a process of its own: ``bench_child.py TASK``.

TASK is JSON: a ``size``, a ``network``, ``num_updates``, and ``runs``, how often to train. It
prints JSON: seconds of tracing, compiling and every run, and the most memory that it had.
"""

import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jax
from bench_config import Size
from bench_sides import make_algorithm

from a2c_jax.parallel import join_groups, over_seeds, run_groups, seed_layout, split_groups
from a2c_jax.train import train

_STATUS = Path("/proc/self/status")


def stages(size: Size, network: Any, num_updates: int, runs: int) -> dict[str, Any]:
    """Trains as :func:`a2c_jax.train_seeds` does, with a clock between its stages."""
    imported = peak_memory()
    algorithm = make_algorithm(size, network)
    keys = jax.random.split(jax.random.key(0), size.num_seeds)
    layout = seed_layout(len(keys))
    groups = jax.block_until_ready(split_groups(keys, layout))
    program = over_seeds(lambda key: train(algorithm, key, num_updates), layout)
    start = time.perf_counter()
    traced = program.trace(groups[0])
    after_trace = time.perf_counter()
    compiled = traced.lower().compile()
    after_compile = time.perf_counter()

    def run() -> float:
        begun = time.perf_counter()
        jax.block_until_ready(join_groups(run_groups(compiled, groups), layout))
        return time.perf_counter() - begun

    return {
        "trace_seconds": after_trace - start,
        "compile_seconds": after_compile - after_trace,
        "run_seconds": [run() for _ in range(runs)],
        "imported_memory_bytes": imported,  # before there was anything to train
        "peak_memory_bytes": peak_memory(),
    }


def peak_memory() -> int:
    """The most bytes that this process has had in memory."""
    try:
        # Not getrusage, where there is another way: it counts what the parent had at the fork.
        lines = _STATUS.read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


def main() -> None:
    """Reads the task, measures, and prints what came out."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    task = json.loads(sys.argv[1])
    size = Size(*task.pop("size"))
    print(json.dumps(stages(size, **task)))


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
