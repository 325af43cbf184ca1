"""The programs that are timed beside each other, all behind the same function."""

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import optax
from bench_config import NetworkName, Peer, Size
from bench_workers import ShouldStop, start_worker

from a2c_jax.algorithms.actor_critic import actor_critic
from a2c_jax.environments import make_env
from a2c_jax.networks import article_network, mlp_actor_critic
from a2c_jax.parallel import train_seeds
from a2c_jax.types import Algorithm

OURS, PLAIN = "a2c_jax", "plain"
ENV = "CartPole-v1"

# Where the search for the number of updates begins: so few that the slowest program is soon done.
_FIRST_STEPS = {"stable-baselines3": 4_000, "article": 4_000}
_FIRST_STEPS_IN_JAX = 64_000
_ATTEMPTS = 4
_SHORT, _LONG = 0.5, 3.0  # times the seconds that were asked for: then another number is tried
_MOST = 100.0  # times as many updates in one attempt: a short run tells little about a long one


class Side(NamedTuple):
    """A program that has been compiled for so many updates.

    Attributes:
        first_seconds: of its first run, with all the compiling.
        versions: of its packages, if it runs in an environment of its own.
        run: trains once; returns ``seconds``, and the ``steps`` of all seeds.
    """

    num_updates: int
    first_seconds: float
    versions: dict[str, str]
    run: Callable[[], dict[str, Any]]


Open = Callable[[int], AbstractContextManager[Side]]
"""Compiles a program for a number of updates."""


def make_algorithm(size: Size, network: NetworkName) -> Algorithm:
    """A2C with the settings of the article, on rollouts."""
    env = make_env(ENV)
    make_network = {"article": article_network, "default": mlp_actor_critic}[network]
    return actor_critic(
        env,
        make_network(env),
        optax.adam(3e-4),
        num_envs=size.num_envs,
        num_steps=size.num_steps,
        entropy_coef=0.001,
    )


def our_side(size: Size, network: NetworkName) -> Open:
    """:func:`a2c_jax.train_seeds` on all devices."""
    algorithm = make_algorithm(size, network)

    def make(num_updates: int) -> Callable[[jax.Array], Any]:
        return lambda keys: train_seeds(algorithm, keys, num_updates)

    return lambda num_updates: contextlib.nullcontext(_side(make(num_updates), size, num_updates))


def plain_side(size: Size, network: NetworkName) -> Open:
    """A2C as one would write it without thinking about speed, vmapped over seeds, in this process.

    It shares our interpreter and packages, and differs in nothing but the program.
    """

    def make(num_updates: int) -> Callable[[jax.Array], Any]:
        # It imports gymnax's own make, which starts JAX's back end.
        from yardsticks.plain_a2c import make_train

        return jax.jit(jax.vmap(make_train(size.num_envs, size.num_steps, num_updates, network)))

    return lambda num_updates: contextlib.nullcontext(_side(make(num_updates), size, num_updates))


def _side(run: Callable[[jax.Array], Any], size: Size, num_updates: int) -> Side:
    keys = jax.random.split(jax.random.key(0), size.num_seeds)

    def timed() -> dict[str, Any]:
        start = time.perf_counter()
        jax.block_until_ready(run(keys))
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "steps": size.steps_per_update * num_updates}

    return Side(num_updates, timed()["seconds"], {}, timed)


def peer_side(peer: Peer, size: Size, network: NetworkName, should_stop: ShouldStop) -> Open:
    """A program in a process of its own."""

    @contextlib.contextmanager
    def open_(num_updates: int) -> Any:
        settings = {**size._asdict(), "num_updates": num_updates, "network": network}
        with start_worker(peer, settings, should_stop) as worker:
            ready = worker.ready
            yield Side(num_updates, ready["first_seconds"], ready["versions"], worker.run)

    return open_


def open_fitted(
    name: str, open_: Open, size: Size, seconds: float, stack: contextlib.ExitStack
) -> Side:
    """Compiles a program for as many updates as take about so many seconds; it is tried out.

    Args:
        name: of the program.
        open_: compiles it.
        size: what it trains.
        seconds: that a run is to take.
        stack: closes the program that is returned.
    """
    steps = _FIRST_STEPS.get(name, _FIRST_STEPS_IN_JAX)
    num_updates = max(2, steps // (size.num_envs * size.num_steps))
    if name != "stable-baselines3":  # the one that trains a single seed
        num_updates = max(2, num_updates // size.num_seeds)
    for attempt in range(_ATTEMPTS):
        with contextlib.ExitStack() as attempted:
            side = attempted.enter_context(open_(num_updates))
            taken = side.run()["seconds"]
            good = _SHORT * seconds <= taken <= _LONG * seconds
            next_number = max(2, round(num_updates * min(_MOST, seconds / taken)))
            if good or next_number == num_updates or attempt == _ATTEMPTS - 1:
                stack.enter_context(attempted.pop_all())
                return side
        num_updates = next_number
    raise AssertionError("the last attempt returns")
