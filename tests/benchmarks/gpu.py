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
import subprocess
import sys

ROUNDS, SECONDS = 5, 1.0  # of one run, about
SECONDS_OF_A_CHILD = 1800  # then it hangs
BUFFERS, SMALL = "--xla_gpu_enable_command_buffer=+WHILE", "--xla_gpu_graph_min_graph_size=1"
UNROLLED = "--xla_gpu_command_buffer_unroll_loops=true"
HIGHEST = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
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


def check(size, network):
    """The largest difference of a parameter from the CPU's, after two updates."""
    import jax
    import numpy as np
    from bench_sides import make_algorithm

    import a2c_jax as a2c

    keys = jax.random.split(jax.random.key(0), size.num_seeds)
    there, here = (
        a2c.train_seeds(make_algorithm(size, network), keys, 2, devices=devices).state.params
        for devices in (jax.devices()[:1], jax.devices("cpu")[:1])
    )
    differences = jax.tree.map(
        lambda x, y: np.abs(np.asarray(x) - np.asarray(y)).max(), there, here
    )
    worst = float(max(jax.tree.leaves(differences)))
    return {"difference": worst, "device": jax.devices()[0].device_kind}


def measure(size, network):
    """Compile seconds, steps a second (median, slowest, fastest), peak bytes on the device."""
    import contextlib

    import jax
    from bench_sides import OURS, all_sides, open_fitted, spread

    with contextlib.ExitStack() as stack:
        open_ = all_sides(size, network, ())[OURS]
        side = open_fitted(OURS, open_, size, SECONDS, stack)
        runs = [side.run() for _ in range(ROUNDS)]
    rates = spread([run["steps"] / run["seconds"] / 1e6 for run in runs])
    memory = jax.devices()[0].memory_stats() or {}
    return {
        **rates,
        "compile_seconds": side.first_seconds - min(run["seconds"] for run in runs),
        "peak": memory.get("peak_bytes_in_use"),
    }


def child(environment, *arguments):
    """What a process with these variables says on its last line; if it dies, what it died of."""
    command = (sys.executable, __file__, "--child", *map(str, arguments))
    how = {"env": os.environ | environment, "timeout": SECONDS_OF_A_CHILD}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, **how)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {SECONDS_OF_A_CHILD} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        wrong = [line for line in lines if "Error" in line or "error:" in line] or lines
        return {"failed": wrong[-1].replace("|", "/")[:200]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def cells(row):
    if "failed" in row:
        return f"- | failed: {row['failed']} | -"
    memory = f"{row['peak'] / 2**30:.2f}" if row["peak"] else "-"
    rates = f"{row['median']:.2f} [{row['min']:.2f}, {row['max']:.2f}]"
    return f"{row['compile_seconds']:.1f} | {rates} | {memory}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 64, 1024, 8192])
    parser.add_argument("--networks", nargs="+", default=["article", "default"])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        from bench_sides import Size

        what, network, num_seeds = arguments.child
        result = {"check": check, "measure": measure}[what](Size(int(num_seeds), 8, 16), network)
        print(json.dumps(result))
        return
    for network in arguments.networks:
        result = child(HIGHEST, "check", network, 4)
        apart = "{device}; differs from the CPU by {difference:.1e}"
        print(f"{network}: {'failed: {failed}' if 'failed' in result else apart}".format(**result))
        print("| seeds | setting | compile s | million steps a second [range] | peak GiB |")
        print("| --- | --- | --- | --- | --- |")
        for num_seeds in arguments.seeds:
            for setting in arguments.settings:
                row = child(SETTINGS[setting], "measure", network, num_seeds)
                print(f"| {num_seeds} | {setting} | {cells(row)} |", flush=True)


if __name__ == "__main__":
    main()
