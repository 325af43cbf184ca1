"""Training: a scan of any algorithm's step. Nothing here compiles; the caller does, once."""

from typing import Any

import jax

from a2c_jax import checks
from a2c_jax.types import AgentState, Algorithm, Key, Params, TrainResult


def train(
    algorithm: Algorithm, key: Key, num_updates: int, *, params: Params | AgentState | None = None
) -> TrainResult:
    """Trains from the beginning: ``init``, then :func:`run`.

    Pure, so that ``jax.jit(jax.vmap(lambda key: train(algorithm, key, n)))`` is one program
    that trains a seed for each key.

    Args:
        algorithm: the algorithm to train.
        key: the seed, and the only source of randomness.
        num_updates: number of updates, each of ``algorithm.steps_per_update`` steps.
        params: parameters to start from, or the state of an agent; drawn from the key by default.

    Raises:
        ValueError: if ``num_updates`` is not a whole number of at least 1, ``key`` is not one
            key, or ``params`` are of another network.
    """
    checks.key("key", key)
    checks.positive_int("num_updates", num_updates)
    return run(algorithm, start(algorithm, key, params), num_updates)


def start(algorithm: Algorithm, key: Key, params: Params | AgentState | None = None) -> Any:
    """The first state of a seed, with its own parameters or given ones."""
    return algorithm.init(key) if params is None else algorithm.init(key, params)


def run(algorithm: Algorithm, state: Any, num_updates: int) -> TrainResult:
    """Continues from a state: a scan of the algorithm's step.

    XLA unrolls a scan of a single update, which may then round its last bit differently. With
    :func:`a2c_jax.run_seeds`, any split of the updates gives the same bits.

    Args:
        algorithm: the algorithm to train.
        state: from ``algorithm.init`` or an earlier result.
        num_updates: number of further updates.

    Returns:
        The last state, and metrics ``[num_updates]``.

    Raises:
        ValueError: if ``num_updates`` is not a whole number of at least 1.
    """
    num_updates = checks.positive_int("num_updates", num_updates)

    def body(state: Any, _: None) -> tuple[Any, Any]:
        return algorithm.step(state)

    return TrainResult(*jax.lax.scan(body, state, length=num_updates))
