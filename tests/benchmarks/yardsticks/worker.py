"""How a yardstick is spoken to: by lines of JSON; needs nothing but Python.

It is started as ``PYTHON SCRIPT.py SETTINGS``, where SETTINGS is JSON with ``num_seeds``,
``num_envs``, ``num_steps``, ``num_updates`` and ``network``. Once it has compiled and run once, it
prints ``{"ready": true, "first_seconds": ..., "versions": {...}, "steps": ...}``. For each line
that it then reads it runs once more and prints ``{"seconds": ..., "steps": ...}``. It ends when
there is nothing more to read.
"""

import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

Settings = dict[str, Any]
Run = Callable[[int], dict[str, Any]]
"""Trains with a seed; returns once all is done, with the ``steps`` taken by all seeds."""

HIDDEN_SIZES = {"article": (256,), "default": (64, 64), "conv": (128,)}
ACTIVATIONS = {"article": "relu", "default": "tanh", "conv": "relu"}
CONV = "conv"  # first a convolution of 16 filters of 3x3, on Breakout-MinAtar


def serve(prepare: Callable[[Settings], Run], packages: Sequence[str]) -> None:
    """Lets ``prepare`` make what is timed; answers until the standard input ends."""
    # What a library prints goes to the errors, not between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    run = prepare(json.loads(sys.argv[1]))
    first = timed(run, 0)
    first_seconds = first.pop("seconds")
    versions = {"python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in packages}
    ready = {"ready": True, "first_seconds": first_seconds, "versions": versions}
    answers.write(json.dumps(ready | first) + "\n")
    for number, _ in enumerate(sys.stdin):
        answers.write(json.dumps(timed(run, number + 1)) + "\n")


def timed(run: Run, seed: int) -> dict[str, Any]:
    start = time.perf_counter()
    result = run(seed)
    return {"seconds": time.perf_counter() - start, **result}


def total_steps(settings: Settings) -> int:
    """Environment steps of each seed."""
    return int(settings["num_envs"] * settings["num_steps"] * settings["num_updates"])


def env_of(settings: Settings) -> str:
    """The environment: CartPole, or for the convolution MinAtar's Breakout."""
    return "Breakout-MinAtar" if settings["network"] == CONV else "CartPole-v1"


def over_seeds(train: Callable[[Any], Any], settings: Settings) -> Run:
    """Compiles ``train(key)`` in JAX, vmapped over seeds."""
    import jax

    program = jax.jit(jax.vmap(train))

    def run(seed: int) -> dict[str, Any]:
        keys = jax.random.split(jax.random.PRNGKey(seed), settings["num_seeds"])
        jax.block_until_ready(program(keys))
        return {"steps": settings["num_seeds"] * total_steps(settings)}

    return run
