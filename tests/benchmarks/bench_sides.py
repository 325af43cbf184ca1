"""The programs that are timed beside each other, taking turns.

A ratio is taken within a round, so that a machine that is busy for a while slows all sides alike.
"""

import contextlib
import functools
import json
import math
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax

from a2c_jax.algorithms.actor_critic import actor_critic
from a2c_jax.environments import make_env
from a2c_jax.networks import article_network, mlp_actor_critic
from a2c_jax.seeds import train_seeds
from a2c_jax.torsos import conv_actor_critic
from a2c_jax.types import Algorithm

Record = dict[str, Any]

OURS, PLAIN = "a2c_jax", "plain"
YARDSTICKS = Path(__file__).parent / "yardsticks"
PEERS = {  # the docstring of each script tells how to make its environment
    "rejax": "rejax_ppo.py",
    "purejaxrl": "purejaxrl_ppo.py",
    "evorl": "evorl_a2c.py",
    "stable-baselines3": "stable_baselines3_a2c.py",
    "article": "article_torch.py",
}

# Where the search for the number of updates begins: so few that the slowest program is soon done.
FIRST_STEPS = {"stable-baselines3": 4_000, "article": 4_000}
FIRST_STEPS_IN_JAX = 64_000
ATTEMPTS = 4
SHORT, LONG = 0.5, 3.0  # times the seconds that were asked for: then another number is tried
MOST = 100.0  # times as many updates in one attempt: a short run tells little about a long one


class ProcessError(RuntimeError):
    """A process cannot be started, or has failed; told in a sentence."""


class Size(NamedTuple):
    """How much is trained at a time."""

    num_seeds: int
    num_envs: int
    num_steps: int

    def __str__(self) -> str:
        return ",".join(map(str, self))


class Peer(NamedTuple):
    name: str
    python: str
    script: Path


class Side(NamedTuple):
    """A program that has been compiled for so many updates."""

    num_updates: int
    first_seconds: float  # of its first run, with all the compiling
    versions: dict[str, str]  # of its packages, if it runs in an environment of its own
    run: Callable[[], Record]  # trains once; returns seconds, and the steps of all seeds


Open = Callable[[int], AbstractContextManager[Side]]  # compiles for a number of updates


def make_algorithm(size: Size, network: str) -> Algorithm:
    """A2C with the settings of the article, on rollouts; MinAtar's Breakout for ``conv``."""
    env = make_env("Breakout-MinAtar" if network == "conv" else "CartPole-v1")
    make_network = {
        "article": article_network, "default": mlp_actor_critic, "conv": conv_actor_critic,
    }[network]  # fmt: skip
    sizes = {"num_envs": size.num_envs, "num_steps": size.num_steps}
    return actor_critic(env, make_network(env), optax.adam(3e-4), entropy_coef=0.001, **sizes)


def all_sides(size: Size, network: str, peers: Sequence[Peer]) -> dict[str, Open]:
    """Ours, a plain A2C in the same process and packages, and peers in processes of their own."""

    def ours(num_updates: int) -> Callable[[jax.Array], Any]:
        algorithm = make_algorithm(size, network)
        return lambda keys: train_seeds(algorithm, keys, num_updates)

    def plain(num_updates: int) -> Callable[[jax.Array], Any]:
        # It imports gymnax's own make, which starts JAX's back end.
        from yardsticks.plain_a2c import make_train

        return jax.jit(jax.vmap(make_train(size.num_envs, size.num_steps, num_updates, network)))

    both = {OURS: ours} if network == "conv" else {OURS: ours, PLAIN: plain}
    here = {name: functools.partial(own_side, make, size) for name, make in both.items()}
    return here | {peer.name: functools.partial(peer_side, peer, size, network) for peer in peers}


@contextlib.contextmanager
def own_side(make: Callable[[int], Any], size: Size, num_updates: int) -> Iterator[Side]:
    """A program in this process."""
    keys = jax.random.split(jax.random.key(0), size.num_seeds)
    run = make(num_updates)

    def timed() -> Record:
        start = time.perf_counter()
        jax.block_until_ready(run(keys))
        return {"seconds": time.perf_counter() - start, "steps": num_updates * math.prod(size)}

    yield Side(num_updates, timed()["seconds"], {}, timed)


@contextlib.contextmanager
def peer_side(peer: Peer, size: Size, network: str, num_updates: int) -> Iterator[Side]:
    """A program in a process of its own."""
    settings = {**size._asdict(), "num_updates": num_updates, "network": network}
    with start_peer(peer, settings) as (ready, run):
        yield Side(num_updates, ready["first_seconds"], ready["versions"], run)


@contextlib.contextmanager
def start_peer(peer: Peer, settings: Record) -> Iterator[tuple[Record, Callable[[], Record]]]:
    """Starts a peer, waits until it has compiled and run once, and ends it afterwards.

    Yields what it says of itself, and what lets it run once more; see ``yardsticks/worker.py``.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                (peer.python, peer.script, json.dumps(settings)), env=peer_environment(),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                start_new_session=True,  # Ctrl-C is not for it: it is ended below
            )  # fmt: skip
        except OSError as error:
            raise ProcessError(f"Peer {peer.name} cannot be started: {error}.") from error

        def answer() -> Record:
            if line := process.stdout.readline():
                return json.loads(line)
            raise ProcessError(
                f"Peer {peer.name} has died with exit code {process.wait()}; the docstring of "
                f"{peer.script.name} tells how to make its environment: {end_of(errors)}"
            )

        def run() -> Record:
            with contextlib.suppress(BrokenPipeError):  # it has died: its answer tells why
                os.write(process.stdin.fileno(), b"\n")
            return answer()

        with process:
            try:
                yield answer(), run
            finally:
                process.kill()


def peer_environment() -> dict[str, str]:
    """The environment without our flags: a peer runs with the defaults of its own."""
    kept = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or not name.startswith(("JAX_", "XLA_FLAGS", "LIBTPU_INIT_ARGS"))
    }


def end_of(errors: Any) -> str:
    """What a process said last."""
    errors.seek(0)
    return errors.read().decode(errors="replace").strip()[-600:]


def open_fitted(
    name: str, open_: Open, size: Size, seconds: float, stack: contextlib.ExitStack
) -> Side:
    """Compiles a program for as many updates as take about so many seconds; it is tried out."""
    steps = FIRST_STEPS.get(name, FIRST_STEPS_IN_JAX)
    trains_one_seed = name == "stable-baselines3"
    num_updates = max(2, steps // math.prod(size[1:] if trains_one_seed else size))
    for attempt in range(ATTEMPTS):
        with contextlib.ExitStack() as attempted:
            side = attempted.enter_context(open_(num_updates))
            taken = side.run()["seconds"]
            good = SHORT * seconds <= taken <= LONG * seconds
            next_number = max(2, round(num_updates * min(MOST, seconds / taken)))
            if good or next_number == num_updates or attempt == ATTEMPTS - 1:
                stack.enter_context(attempted.pop_all())
                return side
        num_updates = next_number
    raise AssertionError("the last attempt returns")


def measure_sides(
    opened: dict[str, Open], size: Size, rounds: int, seconds: float
) -> tuple[dict[str, Record], dict[str, str]]:
    """Compiles all sides and lets them run in turn; returns what it comes to, and what failed."""
    failed: dict[str, str] = {}
    sides: dict[str, Side] = {}
    with contextlib.ExitStack() as stack:
        for name, open_ in opened.items():
            print(f"{size}: compiling {name}", flush=True)
            try:
                sides[name] = open_fitted(name, open_, size, seconds, stack)
            except ProcessError as error:
                failed[name] = str(error)
        print(f"{size}: {rounds} rounds of {', '.join(sides)}", flush=True)
        samples: dict[str, list[Record]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name in [each for each in sides if each not in failed]:
                try:
                    samples[name].append(sides[name].run())
                except ProcessError as error:
                    failed[name] = str(error)
    described = {}  # ours first
    for name in [each for each in sides if each not in failed]:
        seconds_of, steps_of = ([run[key] for run in samples[name]] for key in ("seconds", "steps"))
        rates = [steps / seconds for steps, seconds in zip(steps_of, seconds_of, strict=True)]
        ours = described[OURS]["steps_per_second"]["all"] if described else rates
        described[name] = {
            "num_updates": sides[name].num_updates, "first_seconds": sides[name].first_seconds,
            "seconds": seconds_of, "steps": steps_of, "steps_per_second": spread(rates),
            "ours_is_faster": spread([a / b for a, b in zip(ours, rates, strict=True)]),
        }  # fmt: skip
    return described, failed


def spread(values: Sequence[float]) -> Record:
    """Median, least and most of some figures, and all of them."""
    middle = statistics.median(values)
    return {"median": middle, "min": min(values), "max": max(values), "all": list(values)}
