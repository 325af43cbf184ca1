"""Checks training on a GPU against the CPU, then times it under one change at a time.

    python tests/benchmarks/gpu.py                               # everything, one table
    python tests/benchmarks/gpu.py --seeds 64 --settings none    # a piece of it

Every row is a process of its own, since XLA reads its flags once. Steps a second are the median of
five runs, compilation apart. It runs anywhere that JAX does; figures are worth keeping from a GPU.
A setting that does not compile or run says so in its row, and the others follow.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

NUM_ENVS, NUM_STEPS = 8, 16
ROUNDS = 5
SECONDS = 1.0  # of one run, about
BUFFERS = "--xla_gpu_enable_command_buffer=+WHILE"
SMALL = "--xla_gpu_graph_min_graph_size=1"
UNROLLED = "--xla_gpu_command_buffer_unroll_loops=true"
HIGHEST = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
SECONDS_OF_A_CHILD = 1800  # then it hangs
SETTINGS = {
    "none": {},
    "loops in command buffers": {"XLA_FLAGS": BUFFERS},
    "small command buffers": {"XLA_FLAGS": SMALL},
    "both": {"XLA_FLAGS": f"{BUFFERS} {SMALL}"},
    "both, loops unrolled": {"XLA_FLAGS": f"{BUFFERS} {SMALL} {UNROLLED}"},
    "unsafe_rbg keys": {"JAX_DEFAULT_PRNG_IMPL": "unsafe_rbg"},
    "tf32": {"JAX_DEFAULT_MATMUL_PRECISION": "tensorfloat32"},
    "highest precision": HIGHEST,
}


def make(network_name, num_seeds):
    """The algorithm of the bench command."""
    from bench_sides import Size, make_algorithm

    return make_algorithm(Size(num_seeds, NUM_ENVS, NUM_STEPS), network_name)


def check(network_name):
    """The largest difference of a parameter from the CPU's, after two updates."""
    import jax
    import numpy as np

    import a2c_jax as a2c

    keys = jax.random.split(jax.random.key(0), 4)
    there, here = (
        a2c.train_seeds(make(network_name, 4), keys, 2, devices=devices).state.params
        for devices in (jax.devices()[:1], jax.devices("cpu")[:1])
    )
    pairs = zip(jax.tree.leaves(there), jax.tree.leaves(here), strict=True)
    worst = max(float(np.abs(np.asarray(x) - np.asarray(y)).max()) for x, y in pairs)
    return {"difference": worst, "device": str(jax.devices()[0].device_kind)}


def measure(network_name, num_seeds):
    """Compile seconds, steps a second (median, slowest, fastest), peak bytes on the device."""
    import jax

    import a2c_jax as a2c

    algorithm = make(network_name, num_seeds)
    keys = jax.random.split(jax.random.key(0), num_seeds)

    def run(num_updates):
        start = time.perf_counter()
        jax.block_until_ready(a2c.train_seeds(algorithm, keys, num_updates))
        return time.perf_counter() - start

    num_updates = 20
    for _ in range(4):
        first = run(num_updates)
        again = run(num_updates)
        if again > SECONDS / 2:
            break
        num_updates = int(num_updates * min(50, 1.2 * SECONDS / again))
    taken = [run(num_updates) for _ in range(ROUNDS)]
    steps = num_seeds * num_updates * algorithm.steps_per_update
    memory = jax.devices()[0].memory_stats() or {}
    return {
        "compile_seconds": first - again,
        "median": steps / statistics.median(taken),
        "slowest": steps / max(taken),
        "fastest": steps / min(taken),
        "peak_bytes": memory.get("peak_bytes_in_use"),
    }


def child(arguments, environment):
    """What a process with these variables says on its last line; if it dies, what it died of."""
    command = [sys.executable, __file__, "--child", *map(str, arguments)]
    try:
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, check=False,
            timeout=SECONDS_OF_A_CHILD,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {SECONDS_OF_A_CHILD} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        wrong = [line for line in lines if "Error" in line or "error:" in line] or lines
        return {"failed": wrong[-1].replace("|", "/")[:200]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def print_row(num_seeds, setting, row):
    """One row of the table, whether it was measured or failed."""
    if "failed" in row:
        print(f"| {num_seeds} | {setting} | - | failed: {row['failed']} | - |", flush=True)
        return
    memory = f"{row['peak_bytes'] / 2**30:.2f}" if row["peak_bytes"] else "-"
    print(
        f"| {num_seeds} | {setting} | {row['compile_seconds']:.1f} | "
        f"{row['median'] / 1e6:.2f} [{row['slowest'] / 1e6:.2f}, "
        f"{row['fastest'] / 1e6:.2f}] | {memory} |",
        flush=True,
    )


def main():
    """Runs what the flags name, a process for each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 64, 1024, 8192])
    parser.add_argument("--networks", nargs="+", default=["article", "default"])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        network, *num_seeds = arguments.child
        result = measure(network, int(num_seeds[0])) if num_seeds else check(network)
        print(json.dumps(result))
        return
    for network in arguments.networks:
        result = child([network], HIGHEST)
        if "failed" in result:
            print(f"{network}: failed: {result['failed']}")
        else:
            apart = f"differs from the CPU by {result['difference']:.1e}"
            print(f"{network}: {result['device']}; {apart}")
        print("| seeds | setting | compile s | million steps a second [range] | peak GiB |")
        print("| --- | --- | --- | --- | --- |")
        for num_seeds in arguments.seeds:
            for setting in arguments.settings:
                row = child([network, num_seeds], SETTINGS[setting])
                print_row(num_seeds, setting, row)


if __name__ == "__main__":
    main()
