"""``bench``: this program, a plain one and its peers measured on one machine, taking turns.

What is written down is plain data, with every single figure; :mod:`bench_report` makes tables of
it. Rounds are interleaved, and a ratio is taken within a round, so that a machine that is busy
for a while slows all sides alike.
"""

import contextlib
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from a2c_jax import presets
from a2c_jax.experiment import bench_processes
from a2c_jax.experiment.bench_config import Peer, Plan, Size
from a2c_jax.experiment.bench_flops import LAYERS, flops_per_step, matmul_flops_per_second
from a2c_jax.experiment.bench_machine import describe_bench, load_average
from a2c_jax.experiment.bench_sides import (
    OURS,
    PLAIN,
    Open,
    Side,
    open_fitted,
    our_side,
    peer_side,
    plain_side,
)
from a2c_jax.experiment.bench_workers import PeerError, ShouldStop, Stopped

Record = dict[str, Any]
Say = Callable[[str], None]

_TINY = Size(1, 2, 4)
_IMPORTS, _STARTS = 3, 3  # how often
_SCALING_UPDATES, _SCALING_RUNS = 100, 2
_SOLVING_SEEDS = 16


def check_peers(plan: Plan) -> dict[str, dict[str, str]]:
    """Lets every peer do a little before anything long is begun; returns their versions.

    Raises:
        PeerError: a sentence, if one cannot be started or dies.
    """
    versions = {}
    for peer in plan.peers:
        with peer_side(peer, _TINY, plan.network, lambda: False)(2) as side:
            versions[peer.name] = side.versions
    return versions


def measure(plan: Plan, versions: Record, say: Say, stop: ShouldStop) -> Record:
    """Measures all that a plan asks for; what has been measured when it is stopped is kept.

    Args:
        plan: from :func:`make_plan`.
        versions: of the peers' packages.
        say: shows what is being done.
        stop: asked often; measuring ends when it answers true.
    """
    record: Record = {**describe_bench(plan, versions), "finished": False, "sizes": []}
    with contextlib.suppress(Stopped):
        say("Importing")
        record["import_seconds"] = {
            module: spread(bench_processes.import_seconds(module, _IMPORTS, stop))
            for module in bench_processes.MODULES
        }
        for size in plan.sizes:
            record["sizes"].append(measure_size(plan, size, say, stop))
        if plan.scaling_seeds:
            record["scaling"] = measure_scaling(plan, say, stop)
        if plan.startup:
            say(f"Starting a2c-jax train, {_STARTS} times without and with a cache")
            record["startup"] = bench_processes.startup_seconds(_STARTS, stop)
        if plan.solve:
            record["solve"] = measure_solving(plan, say, stop)
        record["finished"] = True
    record["load_average_after"] = load_average()
    return record


def measure_size(plan: Plan, size: Size, say: Say, stop: ShouldStop) -> Record:
    """Compiling, memory, and the rounds of all sides at a size.

    A peer that fails at this size is left out, and its sentence written down.
    """
    opened: dict[str, Open] = {
        OURS: our_side(size, plan.network),
        PLAIN: plain_side(size, plan.network),
        **{peer.name: peer_side(peer, size, plan.network, stop) for peer in plan.peers},
    }
    with contextlib.ExitStack() as stack:
        sides: dict[str, Side] = {}
        failed: dict[str, str] = {}
        for name, open_ in opened.items():
            say(f"{size}: compiling {name}")
            _stop_if(stop)
            try:
                sides[name] = open_fitted(name, open_, size, plan.seconds, stack)
            except PeerError as error:
                failed[name] = str(error)
                say(str(error))
        say(f"{size}: {plan.rounds} rounds")
        matmul = matmul_flops_per_second(plan.rounds)
        samples = run_rounds(sides, plan.rounds, failed, stop)
    say(f"{size}: fresh processes")
    flop = flops_per_step(LAYERS[plan.network])
    described = describe_sides(sides, samples)
    rate = described[OURS]["steps_per_second"]["median"]
    return {
        **size._asdict(),
        "sides": described,
        "failed": failed,
        "flop_per_step": flop,
        "flops_per_second": flop * rate,
        "matmul_flops_per_second": spread(matmul),
        "fraction_of_matmul": flop * rate / statistics.median(matmul),
        "process": bench_processes.compile_stages(
            size, plan.network, sides[OURS].num_updates, stop
        ),
    }


def run_rounds(
    sides: dict[str, Side], rounds: int, failed: dict[str, str], stop: ShouldStop
) -> dict[str, list[Record]]:
    """Lets all sides run in turn, so often; one that fails is left out from then on.

    Args:
        sides: by name, compiled.
        rounds: how often each runs.
        failed: what failed and why; is added to.
        stop: asked before every run.
    """
    samples: dict[str, list[Record]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            _stop_if(stop)
            if name in failed:
                continue
            try:
                samples[name].append(side.run())
            except PeerError as error:
                failed[name] = str(error)
    return {name: taken for name, taken in samples.items() if name not in failed}


def describe_sides(sides: dict[str, Side], samples: dict[str, list[Record]]) -> Record:
    """What each side's rounds come to; ``ours_is_faster`` is taken round by round."""
    rates = {
        name: [each["steps"] / each["seconds"] for each in taken] for name, taken in samples.items()
    }
    described = {}
    for name, taken in samples.items():
        ratios = [ours / theirs for ours, theirs in zip(rates[OURS], rates[name], strict=True)]
        described[name] = {
            "num_updates": sides[name].num_updates,
            "first_seconds": sides[name].first_seconds,
            "seconds": [each["seconds"] for each in taken],
            "steps": [each["steps"] for each in taken],
            "steps_per_second": spread(rates[name]),
            "ours_is_faster": None if name == OURS else spread(ratios),
        }
    return described


def measure_scaling(plan: Plan, say: Say, stop: ShouldStop) -> list[Record]:
    """What a seed costs, and what memory all take, at different numbers of seeds."""
    records = []
    for number in plan.scaling_seeds:
        size = plan.sizes[0]._replace(num_seeds=number)
        say(f"{size}: the cost of a seed")
        records.append(
            bench_processes.seed_cost(size, plan.network, _SCALING_UPDATES, _SCALING_RUNS, stop)
        )
    return records


def measure_solving(plan: Plan, say: Say, stop: ShouldStop) -> Record:
    """The preset default trained as it is, and one seed of Stable-Baselines3 doing the same."""
    say(f"Solving CartPole-v1 with {_SOLVING_SEEDS} seeds")
    flags = ("--num-seeds", str(_SOLVING_SEEDS))
    answer = {OURS: bench_processes.solve_seconds(flags, stop)}
    for peer in _solvers(plan.peers):
        say(f"Solving it with one seed of {peer.name}")
        steps = presets.default.total_steps
        answer[peer.name] = bench_processes.peer_solve_seconds(peer, steps, stop)
    return answer


def _solvers(peers: Sequence[Peer]) -> list[Peer]:
    return [peer for peer in peers if peer.name == "stable-baselines3"]


def spread(values: Sequence[float]) -> Record:
    """Median, least and most of some figures, and all of them."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "all": list(values),
    }


def _stop_if(stop: ShouldStop) -> None:
    if stop():
        raise Stopped
