"""Compiles training for an H100 or for TPU v5e without one, and counts kernels and bytes.

    python tests/benchmarks/accelerators.py                     # one H100
    python tests/benchmarks/accelerators.py --device h100x4     # seeds, or a single seed, over four
    python tests/benchmarks/accelerators.py --device tpu        # seeds over four TPU v5e
    python tests/benchmarks/accelerators.py --sizes 1024,8,16 --list    # every kernel

XLA compiles for a device that is only described, without a driver (autotuning off). The optimised
program of one update is read: loops count as often as they run, and of an array that a kernel only
slices, the slice counts. Operations are those of single numbers, without matrix products; what
several outputs of a kernel need counts for each. Times are **estimates from these counts**, not
measurements: 2.5 microseconds for a launch, 3.35 TB/s, 33.5 T operations/s. The lower speed adds
the three times, the upper has the longest.
"""

import argparse
import dataclasses
import itertools
import math
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

UPDATES = 100
LAUNCH_SECONDS, BYTES_A_SECOND, OPERATIONS_A_SECOND = 2.5e-6, 3.35e12, 33.5e12
BYTES = {
    "pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "f32": 4, "s32": 4, "u32": 4, "f64": 8,
    "s64": 8, "u64": 8,
}  # fmt: skip
KERNELS = {
    "fusion", "custom-call", "copy", "sort", "reduce", "dot", "scatter", "gather", "transpose",
    "dynamic-update-slice", "dynamic-slice", "concatenate", "broadcast", "iota", "slice", "pad",
    "select", "convert", "add", "multiply", "rng-bit-generator", "reduce-window",
}  # fmt: skip
OPERATIONS = {
    "add", "subtract", "multiply", "divide", "maximum", "minimum", "compare", "select", "negate",
    "abs", "and", "or", "xor", "not", "shift-left", "shift-right-logical", "convert", "power",
    "reduce", "tanh", "exponential", "log", "log-plus-one", "sqrt", "rsqrt", "cosine", "sine",
    "clamp", "floor", "sign", "exponential-minus-one", "logistic", "erf",
}  # fmt: skip
COLLECTIVES = ("all-reduce", "all-gather", "collective-permute", "all-to-all", "reduce-scatter")
NETWORKS = ("article", "default")


class Op(NamedTuple):
    """An instruction: its result's type, kind, operands, and the whole line."""

    shape: str
    kind: str
    operands: str
    line: str


class Kernel(NamedTuple):
    """A kernel: how often an update runs it, its bytes and operations each time, its origin."""

    times: int
    bytes: int
    operations: int
    kind: str
    origin: str


def topology(device: str) -> Any:
    from jax.experimental import topologies

    if device == "tpu":
        return topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2")
    number = int(device.partition("x")[2] or 1)
    return topologies.get_topology_desc(
        platform="cuda",
        topology_name="h100",
        target_config=(Path(__file__).parent / "h100.txt").read_text(),
        topology=f"1x1x{number}",
    )


def size(shape: str) -> int:
    """Bytes of a type such as ``(f32[8,4]{1,0}, s32[])``."""
    arrays = re.findall(r"(\w+)\[([\d,]*)\]", shape)
    total = 0
    for kind, dimensions in arrays:
        number = BYTES.get(kind, 4)
        for dimension in filter(None, dimensions.split(",")):
            number *= int(dimension)
        total += number
    return total


def computations(text: str) -> dict[str, dict[str, Op]]:
    """The computations of a program in XLA's text form, each with its instructions by name."""
    found: dict[str, dict[str, Op]] = {}
    current = ""
    for line in text.splitlines():
        if line and not line.startswith(" "):
            match = re.match(r"^(?:ENTRY )?%?([\w\.\-]+)", line)
            if match and line.rstrip().endswith("{"):
                current = match.group(1)
                found[current] = {}
        elif current and " = " in line:
            match = re.match(r"\s*(?:ROOT )?%?([\w\.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)", line)
            if match:
                found[current][match.group(1)] = Op(*match.groups()[1:], line)
    return found


def moved_bytes(ops: dict[str, Op], op: Op, inner: dict[str, Op]) -> int:
    """Bytes that a kernel reads and writes; ``inner`` holds the instructions of a fusion."""
    written, read = size(op.shape), 0
    for position, name in enumerate(re.findall(r"%([\w\.\-]+)", op.operands.split("), ")[0])):
        argument = size(ops[name].shape) if name in ops else 0
        inside = [
            key
            for key, value in inner.items()
            if value.kind == "parameter" and value.operands.startswith(f"{position})")
        ]
        uses = [
            value
            for value in inner.values()
            if inside and re.search("%" + re.escape(inside[0]) + r"\b", value.operands)
        ]
        if uses and all(use.kind in ("dynamic-slice", "slice", "gather") for use in uses):
            argument = min(argument, sum(size(use.shape) for use in uses))
        elif uses and all(use.kind == "dynamic-update-slice" for use in uses):
            argument = 0
            updates = [re.findall(r"%([\w\.\-]+)", use.operands)[1] for use in uses]
            parts = sum(size(inner[update].shape) for update in updates if update in inner)
            written = min(written, parts or written)
        read += argument
    return written + read


def elements(shape: str) -> int:
    """Numbers of a type's first array."""
    match = re.search(r"\w+\[([\d,]*)\]", shape)
    return math.prod(int(one) for one in match.group(1).split(",") if one) if match else 0


def operations(inner: dict[str, Op], roots: dict[str, float] | None = None) -> int:
    """Operations of a fusion, whose instructions each stand before their users.

    What an instruction needs is computed once for each of its numbers, and apart for each part of
    a concatenation. ``roots`` says how many numbers of an instruction are needed.
    """
    needed = dict(roots or {name: elements(op.shape) for name, op in [*inner.items()][-1:]})
    total = 0.0
    for name, op in reversed(inner.items()):
        if name not in needed:
            continue
        number = needed[name]
        operands = [
            x for x in re.findall(r"%([\w\.\-]+)", op.operands.split("), ")[0]) if x in inner
        ]
        sizes = {operand: elements(inner[operand].shape) for operand in operands}
        if op.kind == "concatenate":
            share = number / elements(op.shape)
            total += sum(operations(inner, {one: share * sizes[one]}) for one in operands)
            continue
        if op.kind == "reduce":
            number *= sizes.get(next(iter(operands), ""), 1) / max(1, elements(op.shape))
        total += number * (op.kind in OPERATIONS)
        if op.kind == "dynamic-update-slice":  # in place
            operands = operands[1:2]
            number = sizes[operands[0]] if operands else 0
        for operand in operands:
            wanted = sizes[operand] if op.kind == "tuple" else number
            needed[operand] = max(needed.get(operand, 0), wanted)
    return round(total)


def kernels_of(found: dict[str, dict[str, Op]], name: str, times: int = 1) -> list[Kernel]:
    """The kernels of one run of a computation, with those of its loops."""
    kernels = []
    for op in found[name].values():
        if op.kind == "while":
            body, trips = loop(op)
            kernels += kernels_of(found, body, times * trips)
        elif op.kind in KERNELS:
            called = re.search(r"calls=%?([\w\.\-]+)", op.line)
            inner = found.get(called.group(1), {}) if called else {}
            origin = re.search(r'op_name="([^"]*)"', op.line)
            target = re.search(r'custom_call_target="([^"]*)"', op.line)
            kind = target.group(1) if target else op.kind
            moved = moved_bytes(found[name], op, inner)
            origin_name = origin.group(1) if origin else ""
            work = operations(inner or {op.line: op})
            kernels.append(Kernel(times, moved, work, kind, origin_name))
    return kernels


def loop(op: Op) -> tuple[str, int]:
    body = re.search(r"body=%?([\w\.\-]+)", op.line)
    trips = re.search(r'known_trip_count.*?"n":"(\d+)"', op.line)
    assert body is not None
    return body.group(1), int(trips.group(1)) if trips else 1


def kernels_of_update(text: str) -> list[Kernel]:
    """The kernels of the loop over updates."""
    found = computations(text)
    loops = [loop(op) for ops in found.values() for op in ops.values() if op.kind == "while"]
    return kernels_of(found, next(body for body, trips in loops if trips == UPDATES))


def settings_of(numbers: Any, network: str, algorithm: str) -> Any:

    from a2c_jax import presets

    base = {"article": presets.article_rollouts, "default": presets.general}[network]
    return dataclasses.replace(
        presets.article_rollouts,
        network=base.network,
        q_network=base.q_network,
        hidden_sizes=base.hidden_sizes,
        num_envs=numbers.num_envs,
        num_steps=numbers.num_steps,
        method=algorithm,
    )


def make_programs(settings: Any, network: str) -> dict[str, tuple[Any, Any]]:
    """Ours and the plain A2C: a function of every seed's argument, and one seed's argument."""
    import jax
    from yardsticks.plain_a2c import make_train

    import a2c_jax as a2c
    from a2c_jax import presets

    ours = presets.build(settings, a2c.make_env("CartPole-v1"))
    state = jax.eval_shape(ours.init, jax.random.key(0))
    programs = {"a2c_jax": (lambda state: a2c.run(ours, state, UPDATES), state)}
    if settings.method == "a2c":
        train = make_train(settings.num_envs, settings.num_steps, UPDATES, network)
        programs["plain"] = (train, jax.eval_shape(jax.random.key, 0))
    return programs


def compile_over_seeds(function: Any, seed: Any, num_seeds: int, devices: Any) -> Any:
    """Compiles as :func:`a2c_jax.train_seeds` does, with all seeds of a device in one call."""
    from a2c_jax.parallel import SeedLayout, abstract_group, over_seeds

    layout = SeedLayout(num_seeds, num_seeds // len(devices), tuple(devices))
    return compile_for(devices, over_seeds(function, layout), abstract_group(seed, layout))


def compile_split(settings: Any, devices: Any) -> Any:
    """Compiles the second program of :func:`a2c_jax.train_split`."""
    import jax

    import a2c_jax as a2c
    from a2c_jax import presets
    from a2c_jax.sharding import mesh_of, split_programs

    env = a2c.make_env("CartPole-v1")
    plain = dataclasses.replace(settings, observation_scale=(), value_scale=1.0)
    network = a2c.split_network(presets.make_network(plain, env), env, devices)
    algorithm = presets.build(settings, env, network=network)
    _, proceed = split_programs(algorithm, UPDATES, mesh_of(devices))
    return compile_for(devices, proceed, jax.eval_shape(algorithm.init, jax.random.key(0)))


def compile_for(devices: Any, program: Any, argument: Any) -> Any:
    platform = "tpu" if devices[0].platform == "tpu" else "cuda"
    return program.trace(argument).lower(lowering_platforms=(platform,)).compile()


def describe(compiled: Any, numbers: Any, on_tpu: bool, listed: bool) -> str:
    text = compiled.as_text()
    found = {name: text.count(f" {name}(") + text.count(f" {name}-start(") for name in COLLECTIVES}
    talks = ", ".join(f"{number} {name}" for name, number in found.items() if number) or "0"
    temporary = compiled.memory_analysis().temp_size_in_bytes / 2**20
    if on_tpu:  # whose program is another text
        return f"- | - | - | - | {talks} | {temporary:,.0f}"
    kernels = kernels_of_update(text)
    number = sum(kernel.times for kernel in kernels)
    moved = sum(kernel.times * kernel.bytes for kernel in kernels)
    arithmetic = sum(kernel.times * kernel.operations for kernel in kernels)
    times = [
        number * LAUNCH_SECONDS, moved / BYTES_A_SECOND, arithmetic / OPERATIONS_A_SECOND,
    ]  # fmt: skip
    steps = numbers.num_seeds * numbers.num_envs * numbers.num_steps / 1e6
    counts = f"{number} | {moved / 1e6:,.0f} | {arithmetic / 1e9:,.1f}"
    speeds = f"{steps / sum(times):,.1f} to {steps / max(times):,.1f}"
    lines = f"{counts} | {speeds} | {talks} | {temporary:,.0f}"
    if listed:
        for (times, kind, origin), count in Counter(
            (kernel.times, kernel.kind, kernel.origin) for kernel in kernels
        ).items():
            alike = [k for k in kernels if (k.times, *k[3:]) == (times, kind, origin)]
            moved = sum(k.times * k.bytes for k in alike) / 1e6
            lines += f"\n  {times} x {count} {kind}, {moved:.1f} MB: {origin[-110:]}"
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="h100", help="h100, h100x4 (or another number), tpu")
    parser.add_argument(
        "--sizes",
        nargs="+",
        default=["1,8,16", "64,8,16", "1024,8,16", "8192,8,16"],
        help="seeds, environments, steps",
    )
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--algorithms", nargs="+", default=["a2c"], help="methods, by their names")
    parser.add_argument("--list", action="store_true", help="list every kernel")
    arguments = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"
    if arguments.device == "tpu":
        os.environ |= {
            "TPU_SKIP_MDS_QUERY": "1",
            "TPU_ACCELERATOR_TYPE": "v5litepod-4",
            "TPU_WORKER_HOSTNAMES": "localhost",
        }
    else:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"--xla_gpu_autotune_level=0 {flags}"
    from bench_sides import Size

    devices = topology(arguments.device).devices
    print(f"{len(devices)} {devices[0].device_kind}, described; estimates from counts")
    print("| seeds, environments, steps | network | program | kernels | MB | "
          "G operations | M steps/s | collectives | temporary MiB |")  # fmt: skip
    print("| --- " * 9 + "|")
    for text in arguments.sizes:
        numbers = Size(*map(int, text.split(",")))
        for network, algorithm in itertools.product(arguments.networks, arguments.algorithms):
            settings = settings_of(numbers, network, algorithm)
            programs = {}
            if numbers.num_seeds == 1 < len(devices):
                programs[f"split, {algorithm}"] = compile_split(settings, devices)
            elif numbers.num_seeds % len(devices) == 0:
                for name, made in make_programs(settings, network).items():
                    title = f"{name}, {algorithm}" if name == "a2c_jax" else name
                    programs[title] = compile_over_seeds(*made, numbers.num_seeds, devices)
            for title, compiled in programs.items():
                row = describe(compiled, numbers, arguments.device == "tpu", arguments.list)
                print(f"| {text} | {network} | {title} | {row} |", flush=True)


if __name__ == "__main__":
    main()
