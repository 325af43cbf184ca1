"""What can only be measured in a fresh process: imports, compiling, memory, starting, solving.

As a script it trains once, as its argument says, and prints what that took.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
from bench_sides import Peer, ProcessError, Record, Size, end_of, make_algorithm, start_peer

import a2c_jax
from a2c_jax.parallel import join_groups, over_seeds, run_groups, seed_layout, split_groups
from a2c_jax.train import train

SMALL_RUN = ("--num-seeds", "4", "--total-steps", "2000")
NO_CACHE = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
CACHE_FLAGS = ("JAX_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE", "JAX_ENABLE_COMPILATION_CACHE")
IMPORT = "import time; s = time.perf_counter(); import {}; print(time.perf_counter() - s)"


def own_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, without a cache of programs, for another process of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(CACHE_FLAGS)}
    root = str(Path(a2c_jax.__file__).parent.parent)  # it may not be installed
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    if jax.default_backend() == "cpu" and "device_count" not in kept.get("XLA_FLAGS", ""):
        kept["JAX_NUM_CPU_DEVICES"] = str(jax.local_device_count())
    return {**kept, "PYTHONPATH": path, **changes}


def run_process(
    arguments: Sequence[str], changes: Mapping[str, str], look: Callable[[], None] = lambda: None
) -> str:
    """Runs Python to its end, looking at what it does, and returns what it has printed."""
    command, environment = (sys.executable, *arguments), own_environment(changes)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        # Ctrl-C is not for it: it is ended below.
        with subprocess.Popen(
            command, env=environment, stdout=output, stderr=errors, start_new_session=True
        ) as process:
            try:
                while process.poll() is None:
                    look()
                    time.sleep(0.02)
            finally:
                process.kill()
        if process.returncode:
            ended = f"{' '.join(arguments)} has ended with exit code {process.returncode}"
            raise ProcessError(f"{ended}: {end_of(errors)}")
        output.seek(0)
        return output.read().decode()


def import_seconds(module: str, times: int) -> list[float]:
    """Seconds that importing a module takes, each time in a fresh process."""
    return [float(run_process(("-c", IMPORT.format(module)), {})) for _ in range(times)]


def compile_stages(size: Size, network: str, num_updates: int) -> Record:
    """Compiling with and without a warm persistent cache, the first run, and the memory.

    Three fresh processes: one without a cache, one that fills it, one that finds it full.
    """
    cold = train_in_child(size, network, num_updates, 1, NO_CACHE)
    with tempfile.TemporaryDirectory() as folder:
        cache = {
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        train_in_child(size, network, num_updates, 0, cache)
        warm = train_in_child(size, network, num_updates, 0, cache)
    (first,) = cold.pop("run_seconds")
    cold["warm_compile_seconds"] = warm["compile_seconds"]
    return {**cold, "first_run_seconds": first}


def seed_cost(size: Size, network: str, num_updates: int, runs: int) -> Record:
    """Seconds that a seed of so many updates costs beside the others, and the memory of all."""
    child = train_in_child(size, network, num_updates, 1 + runs, NO_CACHE)
    seconds = [each / size.num_seeds for each in child.pop("run_seconds")[1:]]
    return {**child, "num_updates": num_updates, "seconds_per_seed": seconds}


def train_in_child(
    size: Size, network: str, num_updates: int, runs: int, changes: Mapping[str, str]
) -> Record:
    task = json.dumps((size, network, num_updates, runs))
    return json.loads(run_process((__file__, task), changes))


def stages(size: Size, network: str, num_updates: int, runs: int) -> Record:
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
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


def startup_seconds(times: int) -> Record:
    """Seconds from launching a small ``a2c-jax train`` to its first results, and to its end.

    Cold is with an empty persistent cache of compiled programs, warm is the same once more.
    """
    answer: Record = {"command": ["a2c-jax", "train", *SMALL_RUN], "cold": [], "warm": []}
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            changes = {"JAX_COMPILATION_CACHE_DIR": str(Path(folder) / "cache")}
            for state in ("cold", "warm"):
                answer[state].append(launch_training(SMALL_RUN, Path(folder) / state, changes))
    return answer


def launch_training(
    flags: Sequence[str], out: Path, changes: Mapping[str, str]
) -> dict[str, float]:
    """Seconds until a whole ``a2c-jax train`` has results, and until its end."""
    first: list[float] = []
    start = time.perf_counter()

    def look() -> None:
        with contextlib.suppress(OSError):
            if not first and (out / "log.jsonl").stat().st_size:
                first.append(time.perf_counter() - start)

    run_process(("-m", "a2c_jax", "train", *flags, "--out", str(out)), changes, look)
    end = time.perf_counter() - start
    return {"first_chunk_seconds": first[0] if first else end, "end_seconds": end}


def solve_seconds(flags: Sequence[str]) -> Record:
    """Seconds of a whole ``a2c-jax train`` in a fresh process, and how many seeds it solved."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = launch_training(flags, Path(folder) / "run", NO_CACHE)
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text())
    return {**summary, **seconds}


def peer_solve_seconds(peer: Peer, steps: int) -> Record:
    """The same of one seed of Stable-Baselines3, with the settings of our preset general."""
    start = time.perf_counter()
    with start_peer(peer, {"solve": steps, "network": "default"}) as (ready, _):
        end = time.perf_counter() - start
    return {
        "num_seeds": 1,
        "end_seconds": end,
        "train_seconds": ready["first_seconds"],
        "steps_per_seed": ready["steps"],
        "median_steps_to_solve": ready["steps_to_solve"],
        "fraction_solved": float(ready["steps_to_solve"] is not None),
    }


if __name__ == "__main__":
    size, *others = json.loads(sys.argv[1])
    print(json.dumps(stages(Size(*size), *others)))
