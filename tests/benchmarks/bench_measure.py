"""``bench``: this program, a plain one and its peers measured on one machine.

What is written down is plain data, with every single figure; :mod:`bench_report` makes tables of
it.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator

import bench_processes
import jax
from bench_config import Plan, Size
from bench_machine import describe_bench, load_average
from bench_rounds import Record, Say, measure_rounds, spread
from bench_sides import OURS, peer_side
from bench_workers import PeerError, ProcessError, ShouldStop, Stopped

from a2c_jax import presets

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
    with compiling_afresh():
        record: Record = {**describe_bench(plan, versions), "finished": False, "sizes": []}
        with contextlib.suppress(Stopped):
            _measure_all(plan, record, say, stop)
            record["finished"] = True
    record["load_average_after"] = load_average()
    return record


def _measure_all(plan: Plan, record: Record, say: Say, stop: ShouldStop) -> None:
    say("Importing")
    record["import_seconds"] = {
        module: spread(bench_processes.import_seconds(module, _IMPORTS, stop))
        for module in bench_processes.MODULES
    }
    for size in plan.sizes:
        record["sizes"].append(measure_size(plan, size, say, stop))
    if plan.scaling_seeds:
        record["scaling"] = []
        for number in plan.scaling_seeds:
            record["scaling"].append(_measure_seeds(plan, number, say, stop))
    if plan.startup:
        say(f"Starting a2c-jax train {_STARTS} times, with an empty and with a full cache")
        record["startup"] = tried(lambda: bench_processes.startup_seconds(_STARTS, stop))
    if plan.solve:
        record["solve"] = {}
        _measure_solving(plan, record["solve"], say, stop)


@contextlib.contextmanager
def compiling_afresh() -> Iterator[None]:
    """No program is taken from a persistent cache: a first run is one that compiles."""
    before = jax.config.values["jax_enable_compilation_cache"]
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)


def tried(measurement: Callable[[], Record]) -> Record:
    """A measurement, or why it failed: one that memory did not hold must not take the others."""
    try:
        return measurement()
    except (PeerError, ProcessError) as error:
        return {"failed": str(error)}


def measure_size(plan: Plan, size: Size, say: Say, stop: ShouldStop) -> Record:
    """The rounds of all sides at a size; what compiling ours takes, and training's memory."""
    record = measure_rounds(plan, size, say, stop)
    say(f"{size}: fresh processes")
    updates = record["sides"][OURS]["num_updates"]
    record["process"] = tried(
        lambda: bench_processes.compile_stages(size, plan.network, updates, stop)
    )
    return record


def _measure_seeds(plan: Plan, number: int, say: Say, stop: ShouldStop) -> Record:
    size = plan.sizes[0]._replace(num_seeds=number)
    say(f"{size}: the cost of a seed")
    return {
        "num_seeds": number,
        "num_updates": _SCALING_UPDATES,
        **tried(
            lambda: bench_processes.seed_cost(
                size, plan.network, _SCALING_UPDATES, _SCALING_RUNS, stop
            )
        ),
    }


def _measure_solving(plan: Plan, answer: Record, say: Say, stop: ShouldStop) -> None:
    say(f"Solving CartPole-v1 with {_SOLVING_SEEDS} seeds")
    flags = ("--num-seeds", str(_SOLVING_SEEDS))
    answer[OURS] = tried(lambda: bench_processes.solve_seconds(flags, stop))
    steps = presets.general.total_steps
    for peer in plan.peers:
        if peer.name == "stable-baselines3":
            say(f"Solving it with one seed of {peer.name}")
            answer[peer.name] = tried(
                functools.partial(bench_processes.peer_solve_seconds, peer, steps, stop)
            )
