"""The rounds of ``bench``: all sides at one size, taking turns.

A ratio is taken within a round, so that a machine that is busy for a while slows all sides alike.
"""

import contextlib
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from bench_config import Plan, Size
from bench_flops import LAYERS, flops_per_step, matmul_flops_per_second
from bench_sides import (
    OURS,
    PLAIN,
    Open,
    Side,
    open_fitted,
    our_side,
    peer_side,
    plain_side,
)
from bench_workers import PeerError, ShouldStop, Stopped

Record = dict[str, Any]
Say = Callable[[str], None]


def measure_rounds(plan: Plan, size: Size, say: Say, stop: ShouldStop) -> Record:
    """Compiles all sides at a size, lets them run in turn, and says what it comes to.

    A peer that fails at this size is left out, and its sentence written down.

    Args:
        plan: which sides, and how many rounds.
        size: what is trained.
        say: shows what is being done.
        stop: asked before every run.

    Raises:
        Stopped: if ``stop`` answers true.
    """
    failed: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        sides = _open_all(plan, size, failed, stack, say, stop)
        say(f"{size}: {plan.rounds} rounds of {', '.join(sides)}")
        matmul = matmul_flops_per_second(plan.rounds)
        samples = run_rounds(sides, plan.rounds, failed, stop)
    described = describe_sides(sides, samples)
    flop = flops_per_step(LAYERS[plan.network])
    flops = flop * described[OURS]["steps_per_second"]["median"]
    return {
        **size._asdict(),
        "sides": described,
        "failed": failed,
        "flop_per_step": flop,
        "flops_per_second": flops,
        "matmul_flops_per_second": spread(matmul),
        "fraction_of_matmul": flops / statistics.median(matmul),
    }


def _open_all(
    plan: Plan,
    size: Size,
    failed: dict[str, str],
    stack: contextlib.ExitStack,
    say: Say,
    stop: ShouldStop,
) -> dict[str, Side]:
    opened: dict[str, Open] = {
        OURS: our_side(size, plan.network),
        PLAIN: plain_side(size, plan.network),
        **{peer.name: peer_side(peer, size, plan.network, stop) for peer in plan.peers},
    }
    sides = {}
    for name, open_ in opened.items():
        _stop_if(stop)
        say(f"{size}: compiling {name}")
        try:
            sides[name] = open_fitted(name, open_, size, plan.seconds, stack)
        except PeerError as error:
            failed[name] = str(error)
    return sides


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
