"""Trains and continues many seeds on all devices, in one program or in chunks."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from a2c_jax import checks
from a2c_jax.parallel import (
    Group,
    SeedLayout,
    check_keys,
    gather_groups,
    join_groups,
    over_seeds,
    run_groups,
    seed_layout,
    split_groups,
)
from a2c_jax.train import start, train
from a2c_jax.types import AgentState, Algorithm, Key, Metrics, Params, TrainResult

OnChunk = Callable[[int, Metrics], object]
"""``on_chunk(done, metrics)`` with the updates done, and the chunk's NumPy metrics ``[S, K]``."""


def train_seeds(
    algorithm: Algorithm,
    keys: Key,
    num_updates: int,
    *,
    params: Params | AgentState | None = None,
    on_chunk: OnChunk | None = None,
    chunk_updates: int | None = None,
    batch_size: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> TrainResult:
    """Trains one seed for each key, in batches, on all local devices; compiles one program.

    A seed's result depends, bit for bit, only on its key, the batch size, the device and the
    versions of the packages; not on the other seeds, their number or order, nor on chunks. On a
    CPU, no other batch size is faster. In a program of several processes, each process trains its
    own keys on its own devices.

    On a GPU, ``XLA_FLAGS=--xla_gpu_enable_while_loop_double_buffering=true`` saves six kernels of
    an update, copies of what the loop carries, and compiles for longer. No other flag that was
    tried reduces the kernels or bytes of a program for an H100. XLA already launches kernels in
    groups, by command buffers; whether ``--xla_gpu_enable_command_buffer=+WHILE``, for whole
    loops, is faster, only a measurement on the GPU can say.

    Args:
        algorithm: the algorithm to train; not built from traced values.
        keys: one for each seed, ``[S]``.
        num_updates: of each seed.
        params: as in :func:`a2c_jax.train`; the same for all seeds.
        on_chunk: ``on_chunk(done, metrics)`` is called after every chunk, with the number of
            updates done and the chunk's metrics, NumPy arrays ``[S, chunk]``, for instance to
            show progress. Chunks need a program for the first states and one for all chunks.
        chunk_updates: updates of a chunk; by default a twentieth of all.
        batch_size: seeds that one call of the program trains on a device: one after
            another on a CPU, vmapped elsewhere. By default 8 on a CPU, and all of a
            device's seeds elsewhere.
        devices: all local devices by default. To make each CPU core a device, call
            ``jax.config.update("jax_num_cpu_devices", cores)`` before JAX starts.

    Returns:
        :class:`a2c_jax.TrainResult` with leading axis ``[S]``, in the order of the keys.

    Raises:
        ValueError: if ``keys`` is not one axis of distinct keys, a number is too small, or
            ``params`` are of another network.
    """
    checks.positive_int("num_updates", num_updates)
    layout = seed_layout(check_keys(keys), batch_size, devices)
    same = jax.tree.map(lambda leaf: _for_each_seed(leaf, layout.num_seeds), params)
    starts = split_groups((keys, same), layout)
    shared = layout._replace(num_seeds=0)
    # A scan of a single update may round differently from a chunk.
    if on_chunk is None and chunk_updates is None and num_updates > 1:
        program = _train_program(algorithm, num_updates, shared)
        return join_groups(run_groups(program, starts), layout)
    chunk = _chunk_length(num_updates, chunk_updates)
    states = run_groups(_start_program(algorithm, shared), starts)
    return _run_chunks(algorithm, states, num_updates, chunk, layout, on_chunk)


def run_seeds(
    algorithm: Algorithm,
    states: Any,
    num_updates: int,
    *,
    on_chunk: OnChunk | None = None,
    chunk_updates: int | None = None,
    batch_size: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> TrainResult:
    """Continues many seeds, as :func:`a2c_jax.run` continues one.

    Two calls with k updates equal one with 2k, bit for bit, and so does any other split.

    Example:
        >>> import optax, a2c_jax as a2c
        >>> env = a2c.make_env("CartPole-v1")
        >>> network = a2c.mlp_actor_critic(env, (8,))
        >>> algorithm = a2c.actor_critic(env, network, optax.sgd(0.1), num_envs=4, num_steps=4)
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> result = a2c.train_seeds(algorithm, keys, num_updates=2)
        >>> result = a2c.run_seeds(algorithm, result.state, num_updates=2)
        >>> result.state.update.tolist()
        [4, 4]

    Args:
        algorithm: the algorithm that trained them.
        states: their states, ``[S, ...]``, such as ``train_seeds(...).state``.
        num_updates: number of further updates of each seed.
        on_chunk: as in :func:`train_seeds`, and so are the following.
        chunk_updates: updates of a chunk.
        batch_size: seeds that one call of the program trains on a device.
        devices: all local devices by default.

    Returns:
        The last states and the metrics of these updates, with leading axis ``[S]``.

    Raises:
        ValueError: if a number is too small, or ``states`` lack an axis of seeds.
    """
    checks.positive_int("num_updates", num_updates)
    lengths_of_axes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(states)}
    if len(lengths_of_axes) != 1 or () in lengths_of_axes:
        raise ValueError(
            f"states has the leading axes {sorted(lengths_of_axes)}; give [S, ...] in every array, "
            "such as train_seeds(...).state."
        )
    layout = seed_layout(lengths_of_axes.pop()[0], batch_size, devices)
    alone = on_chunk is None and chunk_updates is None
    chunk = num_updates if alone else _chunk_length(num_updates, chunk_updates)
    states = split_groups(states, layout)
    return _run_chunks(algorithm, states, num_updates, chunk, layout, on_chunk)


def _chunk_length(num_updates: int, chunk_updates: int | None) -> int:
    if chunk_updates is None:
        return -(-num_updates // 20)
    return min(num_updates, checks.positive_int("chunk_updates", chunk_updates))


def _run_chunks(
    algorithm: Algorithm,
    groups: Sequence[Group],
    num_updates: int,
    chunk: int,
    layout: SeedLayout,
    on_chunk: OnChunk | None,
) -> TrainResult:
    # Lengths up to the next power of two share a program.
    program = chunk_program(algorithm, 1 << (chunk - 1).bit_length(), layout._replace(num_seeds=0))
    parts: list[Metrics] = []
    for done in range(0, num_updates, chunk):
        end = min(done + chunk, num_updates)
        groups, metrics = run_chunk(program, groups, end - done, layout)
        parts.append(metrics)
        if on_chunk is not None:
            on_chunk(end, metrics)
    metrics = jax.tree.map(lambda *chunks: np.concatenate(chunks, axis=1), *parts)
    state = join_groups(groups, layout)
    return TrainResult(state, jax.device_put(metrics, jax.tree.leaves(state)[0].sharding))


@functools.lru_cache(maxsize=16)
def chunk_program(
    algorithm: Algorithm, most_updates: int, layout: SeedLayout, donate: bool = False
) -> Any:
    """The program that continues a group of seeds by any number of updates, for :func:`run_chunk`.

    The number is an argument, so that a seed's numbers do not depend on where chunks end: a
    loop of a constant length, above all of 1, may compile to a program that rounds differently.

    Args:
        algorithm: the algorithm to train.
        most_updates: the largest number of updates.
        layout: of the seeds.
        donate: let the new states take the memory of the old ones.
    """

    def chunk(state: Any, num_updates: jax.Array) -> TrainResult:
        def update(i: jax.Array, carry: tuple[Any, Metrics]) -> tuple[Any, Metrics]:
            state, new = algorithm.step(carry[0])
            put = jax.lax.dynamic_update_index_in_dim
            return state, jax.tree.map(lambda all_, one: put(all_, one, i, 0), carry[1], new)

        like = jax.eval_shape(algorithm.step, state)[1]
        room = jax.tree.map(lambda x: jnp.zeros((most_updates, *x.shape), x.dtype), like)
        return TrainResult(*jax.lax.fori_loop(0, num_updates, update, (state, room)))

    return over_seeds(chunk, layout, donate)


def run_chunk(
    program: Any, groups: Sequence[Group], num_updates: int, layout: SeedLayout
) -> tuple[list[Group], Metrics]:
    """Continues all groups of seeds by some updates with the program of :func:`chunk_program`.

    Returns:
        The groups of states, and the metrics of these updates, NumPy arrays ``[S, num_updates]``.
    """
    results = run_groups(program, groups, np.int32(num_updates))
    metrics = gather_groups([Group(one.number, one.tree.metrics) for one in results], layout)
    states = [Group(one.number, one.tree.state) for one in results]
    return states, jax.tree.map(lambda field: field[:, :num_updates], metrics)


def _for_each_seed(leaf: Any, num_seeds: int) -> np.ndarray:
    return np.broadcast_to(np.asarray(leaf), (num_seeds, *np.shape(leaf)))


@functools.lru_cache(maxsize=16)
def _train_program(algorithm: Algorithm, num_updates: int, layout: SeedLayout) -> Any:
    return over_seeds(lambda seed: train(algorithm, seed[0], num_updates, params=seed[1]), layout)


@functools.lru_cache(maxsize=16)
def _start_program(algorithm: Algorithm, layout: SeedLayout) -> Any:
    return over_seeds(lambda seed: start(algorithm, *seed), layout)
