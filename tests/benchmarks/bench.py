"""Measures speed, memory and compiling of this program and of others, which take turns."""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import bench_processes
import bench_sides
import jax
import jax.numpy as jnp
import psutil
from bench_sides import OURS, PEERS, Peer, ProcessError, Record, Size, spread

from a2c_jax import checks, presets
from a2c_jax.experiment.cli.startup import prepare_jax
from a2c_jax.experiment.config import describe_machine
from a2c_jax.experiment.files import BadInput, open_folder

MODULES = ("a2c_jax", "a2c_jax.experiment.cli.main")
TIMES = 3  # of imports and of starts
SCALING_UPDATES_RUNS = 100, 2
SCALING_SEEDS = (1, 4, 16, 64, 256, 1024, 4096)
SOLVING_SEEDS = 16
CACHE = "jax_enable_compilation_cache"
# Sizes of the observation and the hidden layers, in both halves of the network.
LAYERS = {"article": (4, 256), "default": (4, 64, 64)}
ACTIONS, VALUES = 2, 1
WIDTH, PRODUCTS = 1024, 4  # so many in one call, so that calling costs nothing beside it
FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
CONFIG = (
    "jax_num_cpu_devices", "jax_enable_x64", "jax_default_matmul_precision",
    "jax_default_prng_impl", "jax_threefry_partitionable", "jax_enable_compilation_cache",
)  # fmt: skip


def positive(text: str) -> int:
    return checks.positive_int("it", int(text))


def size(text: str) -> Size:
    return Size(*map(positive, text.split(",")))


def peer(text: str) -> Peer:
    name, _, python = text.partition("=")
    if name not in PEERS or not python:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=PYTHON, a name of {list(PEERS)}")
    return Peer(name, python, bench_sides.YARDSTICKS / PEERS[name])


def parse(flags: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    # fmt: off
    sizes = [size(text) for text in ("64,8,16", "1,8,16", "1,64,16", "1,2048,16")]
    add("--sizes", type=size, nargs="+", metavar="S,N,T", default=sizes,
        help="seeds, environments of a seed, steps of a rollout")
    add("--network", choices=LAYERS, default="article",
        help="one hidden layer of 256 ReLU units (article), or two of 64 tanh units (default)")
    add("--rounds", type=positive, default=7, help="how often each program runs")
    add("--seconds", type=float, default=2.0, help="that one of these runs takes, about")
    add("--peer", type=peer, nargs="+", metavar="NAME=PYTHON", default=[],
        help=f"{', '.join(PEERS)}, and an interpreter that has it")
    add("--scaling", type=positive, nargs="*", metavar="S", default=None,
        help="measure the cost of a seed and the memory too, at the first size's N and T")
    add("--startup", action="store_true", help="measure the time to the first results too")
    add("--solve", action="store_true", help="measure the time to solve CartPole-v1 too")
    add("--out", type=Path, help="the folder for bench.json; by default a new one under runs/")
    # fmt: on
    arguments = parser.parse_args(flags)
    if arguments.network != "article" and any(name == "article" for name, *_ in arguments.peer):
        parser.error("the article's loop has no other network; leave that peer out")
    return arguments


def tried(measurement: Callable[..., Record], *arguments: object) -> Record:
    """A measurement, or why it failed: one that memory did not hold must not take the others."""
    try:
        return measurement(*arguments)
    except ProcessError as error:
        return {"failed": str(error)}


def measure(arguments: argparse.Namespace, versions: Mapping[str, Record]) -> Record:
    """Measures all that is asked for; what has been measured before Ctrl-C is kept."""
    given = {name: getattr(arguments, name) for name in ("network", "rounds", "seconds")}
    cached = jax.config.values[CACHE]
    jax.config.update(CACHE, False)  # a first run is one that compiles
    record: Record = {"finished": False, **given, **describe(), "sizes": []}
    record["versions"] |= versions
    try:
        measure_all(arguments, record)
        record["finished"] = True
    except KeyboardInterrupt:
        print("interrupted")
    finally:
        jax.config.update(CACHE, cached)
    return {**record, "load_average_after": os.getloadavg()}


def measure_all(arguments: argparse.Namespace, record: Record) -> None:
    print("importing", flush=True)
    record["import_seconds"] = {
        module: spread(bench_processes.import_seconds(module, TIMES)) for module in MODULES
    }
    for each in arguments.sizes:
        record["sizes"].append(measure_size(arguments, each))
    if arguments.scaling is not None:
        record["scaling"] = []
        for number in arguments.scaling or SCALING_SEEDS:
            print(f"the cost of one of {number} seeds", flush=True)
            some = arguments.sizes[0]._replace(num_seeds=number)
            cost = tried(bench_processes.seed_cost, some, arguments.network, *SCALING_UPDATES_RUNS)
            record["scaling"].append({"num_seeds": number, **cost})
    if arguments.startup:
        print(f"starting a2c-jax train {2 * TIMES} times", flush=True)
        record["startup"] = tried(bench_processes.startup_seconds, TIMES)
    if arguments.solve:
        print("solving CartPole-v1", flush=True)
        flags = ("--num-seeds", str(SOLVING_SEEDS))
        record["solve"] = {OURS: tried(bench_processes.solve_seconds, flags)}
        for other in arguments.peer:
            if other.name == "stable-baselines3":
                record["solve"][other.name] = tried(
                    bench_processes.peer_solve_seconds, other, presets.general.total_steps
                )


def describe() -> Record:
    """The machine, how busy it is, versions and flags."""
    ours = describe_machine(jax.local_devices())
    affinity = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count()))  # not on macOS
    return {
        "machine": {
            "cpu": cpu_model(), "cores": os.cpu_count(), "usable_cores": len(affinity(0)),
            "memory_bytes": psutil.virtual_memory().total, "platform": platform.platform(),
            "device": ours["device"],
        },
        "versions": {"a2c_jax": ours["versions"]},
        "flags": {
            **{name: os.environ.get(name, "") for name in FLAGS},
            **{name: jax.config.values.get(name) for name in CONFIG},
        },
        "load_average_before": os.getloadavg(),
    }  # fmt: skip


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def flops_per_step(layers: Sequence[int]) -> int:
    """Floating point operations of the matrix products for one environment step, in training.

    With P and V the numbers of weights of the policy and of the value, and P' and V' those
    without the first layers, 2 for each weight (a product and a sum) and::

        rollout              P         the policy acts
        update, forward      P + V     of the observations
                             V         of the next observations, for the targets
        update, backward     P + V     gradients of the weights
                             P' + V'   gradients of the inputs of all layers but the first

    What a program computes in another way, or leaves out, does not change what is counted; biases,
    activations, the environment and the optimizer are not counted.
    """

    def weights(layers: Sequence[int]) -> int:
        return sum(a * b for end in (ACTIONS, VALUES) for a, b in pairwise((*layers, end)))

    return 2 * (3 * weights(layers) + weights(layers[1:]))


def matmul_flops_per_second(rounds: int) -> list[float]:
    """The rate of products of float32 matrices of 1024 x 1024, on all devices at once."""

    @jax.jit
    def products(x: jax.Array, y: jax.Array) -> jax.Array:
        for _ in range(PRODUCTS):
            x = x @ y
        return x

    matrix = jnp.eye(WIDTH, dtype=jnp.float32)
    operands = [jax.device_put(matrix, device) for device in jax.local_devices()]

    def seconds() -> float:
        start = time.perf_counter()
        jax.block_until_ready([products(operand, operand) for operand in operands])
        return time.perf_counter() - start

    seconds()  # compiles
    flops = 2 * WIDTH**3 * PRODUCTS * len(operands)
    return [flops / seconds() for _ in range(rounds)]


def measure_size(arguments: argparse.Namespace, size: Size) -> Record:
    """Rounds of all sides; the arithmetic, compiling and memory of ours."""
    network = arguments.network
    opened = bench_sides.all_sides(size, network, arguments.peer)
    sides, failed = bench_sides.measure_sides(opened, size, arguments.rounds, arguments.seconds)
    matmul = spread(matmul_flops_per_second(arguments.rounds))
    flop = flops_per_step(LAYERS[network])
    flops = flop * sides[OURS]["steps_per_second"]["median"]
    print(f"{size}: fresh processes", flush=True)
    updates = sides[OURS]["num_updates"]
    return {
        **size._asdict(), "sides": sides, "failed": failed, "flop_per_step": flop,
        "flops_per_second": flops, "matmul_flops_per_second": matmul,
        "fraction_of_matmul": flops / matmul["median"],
        "process": tried(bench_processes.compile_stages, size, network, updates),
    }  # fmt: skip


def print_bench(record: Record) -> None:
    """Prints tables in Markdown of what was measured, and what failed."""
    sizes = [(str(Size(*(each[name] for name in Size._fields))), each) for each in record["sizes"]]
    failed = [text for _, each in sizes for text in each["failed"].values()]

    def good(row: Record) -> bool:
        failed.extend([row["failed"]] if "failed" in row else [])
        return "failed" not in row

    speeds = [
        (name, side, *map(figures.get, ("steps_per_second", "ours_is_faster", "first_seconds")))
        for name, each in sizes
        for side, figures in each["sides"].items()
    ]
    print_table(("S,N,T", "program", "steps a second", "ours faster by", "first run, s"), speeds)
    others = [(f"import {name}: s", s) for name, s in record.get("import_seconds", {}).items()]
    for name, each in sizes:
        figures = ("flops_per_second", "fraction_of_matmul")
        others += [(f"{name}: {figure}", each[figure]) for figure in figures]
        if good(each["process"]):
            others += [(f"{name}: {figure}", value) for figure, value in each["process"].items()]
    for row in filter(good, record.get("scaling", [])):
        name = f"{row['num_seeds']} seeds: "
        others += [(f"{name}seconds a seed", spread(row["seconds_per_seed"]))]
        others += [(f"{name}bytes", row["peak_memory_bytes"])]
    for startup in filter(good, [record["startup"]] if "startup" in record else []):
        for state in ("cold", "warm"):
            for moment in ("first_chunk_seconds", "end_seconds"):
                figure = spread([row[moment] for row in startup[state]])
                others += [(f"start, {state} cache: {moment}", figure)]
    for name, row in record.get("solve", {}).items():
        if good(row):
            figures = ("num_seeds", "end_seconds", "fraction_solved", "median_steps_to_solve")
            others += [(f"solving, {name}: {figure}", row[figure]) for figure in figures]
    print_table(("measured", "median [least, most]"), others)
    print("".join(f"Left out: {sentence}\n" for sentence in failed), end="")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    for row in (headers, ["---"] * len(headers), *rows) if rows else ():
        print(*map(cell, row), sep=" | ")
    print(flush=True)


def cell(value: object) -> str:
    """A median with its range, a number, or a name."""
    if isinstance(value, Mapping):
        return f"{cell(value['median'])} [{cell(value['min'])}, {cell(value['max'])}]"
    if isinstance(value, int | float):
        for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if value >= unit:
                return f"{value / unit:.3g} {letter}"
        return f"{value:.3g}"
    return str(value)


def main(flags: Sequence[str]) -> int:
    """Measures; returns 130 after Ctrl-C."""
    arguments = parse(flags)
    prepare_jax()
    with open_folder(arguments.out, True, "bench") as folder:
        versions = {}
        for each in arguments.peer:  # does a little before anything long is begun
            with bench_sides.peer_side(each, Size(1, 2, 4), arguments.network, 2) as side:
                versions[each.name] = side.versions
        record = measure(arguments, versions)
        (folder / "bench.json").write_text(json.dumps(record, indent=1))
    print_bench(record)
    print(f"Files: {folder / 'bench.json'}")
    return 0 if record["finished"] else 130


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (BadInput, ProcessError) as error:
        sys.exit(str(error))
