"""Many seeds at once: batches of a fixed width, spread over the devices there are.

With :mod:`a2c_jax.sharding`, the only module of the core that looks at devices and compiles. One
program is compiled for a batch of seeds on every device, and runs once for each such group. It
does not know how many groups there are, nor on a CPU how many rows of a batch are seeds and how
many are padding, so a seed's numbers do not depend on how many other seeds are trained.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from a2c_jax import checks
from a2c_jax.train import train
from a2c_jax.types import Algorithm, Key, TrainResult

_SEEDS = PartitionSpec("seeds")
_IN_FLIGHT = 3  # calls: enough that the devices never wait for the next one
_CPU_BATCH = 8  # calling a program then takes little of the time of running it


class SeedLayout(NamedTuple):
    """How seeds are laid out: ``batch_size`` of them at a time on each of ``devices``."""

    num_seeds: int
    batch_size: int
    devices: tuple[jax.Device, ...]

    @property
    def on_cpu(self) -> bool:
        """Whether the devices are CPU cores."""
        return self.devices[0].platform == "cpu"

    @property
    def group_size(self) -> int:
        """Seeds that one call of the program trains, on all devices together."""
        return self.batch_size * len(self.devices)

    @property
    def rows(self) -> np.ndarray:
        """Which seed stands in each row, ``[groups, devices, batch_size]``; -1 for none."""
        starts = range(0, self.num_seeds, self.group_size)
        rows = np.full((len(starts), len(self.devices), self.batch_size), -1)
        for group, start in enumerate(starts):
            seeds = np.arange(start, min(start + self.group_size, self.num_seeds))
            for device, part in enumerate(np.array_split(seeds, len(self.devices))):
                rows[group, device, : len(part)] = part
        return rows


class Group(NamedTuple):
    """What one call of a program takes or gives: a tree ``[devices * batch_size, ...]`` of seeds.

    ``number`` is how many rows of each device's batch are seeds, int ``[devices]``.
    """

    number: jax.Array
    tree: Any


def train_seeds(
    algorithm: Algorithm,
    keys: Key,
    num_updates: int,
    *,
    batch_size: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> TrainResult:
    """Trains one seed for each key, in batches, on all local devices; compiles once.

    A seed's result depends, bit for bit, on its key, the batch size, the device and the
    versions alone: not on the other seeds, nor on their number or order. On a CPU another
    batch size gains nothing. In a program of several processes each trains the
    keys that it is given, on its own devices.

    Args:
        algorithm: what to train; not built from traced values.
        keys: one for each seed, ``[S]``.
        num_updates: of each seed.
        batch_size: seeds that one call of the program trains on a device: one after
            another on a CPU, vmapped elsewhere. By default 8 on a CPU, and all of a
            device's seeds elsewhere.
        devices: all local devices by default. A CPU is one device for each of its cores if
            ``jax.config.update("jax_num_cpu_devices", cores)`` is called before JAX starts.

    Returns:
        :class:`a2c_jax.TrainResult` with leading axis ``[S]``, in the order of the keys.

    Raises:
        ValueError: if ``keys`` is not one axis of different keys, or a number is below 1.
    """
    checks.positive_int("num_updates", num_updates)
    layout = seed_layout(check_keys(keys), batch_size, devices)
    program = _train_program(algorithm, num_updates, layout._replace(num_seeds=0))
    return join_groups(run_groups(program, split_groups(keys, layout)), layout)


def seed_layout(
    num_seeds: int, batch_size: int | None = None, devices: Sequence[jax.Device] | None = None
) -> SeedLayout:
    """Decides how to lay out seeds; arguments and errors as in :func:`train_seeds`."""
    devices = tuple(devices if devices is not None else jax.local_devices())[:num_seeds]
    if not devices:
        raise ValueError("devices is empty; give at least one device, or None for all of them.")
    if batch_size is None:
        on_cpu = devices[0].platform == "cpu"
        batch_size = _CPU_BATCH if on_cpu else -(-num_seeds // len(devices))
    return SeedLayout(num_seeds, checks.positive_int("batch_size", batch_size), devices)


def over_seeds(function: Callable[[Any], Any], layout: SeedLayout) -> Any:
    """Compiles a function of one seed's tree into one that takes a :class:`Group` to another."""

    def batch(group: Group) -> Group:
        # vmapped on a CPU, a seed's rounding would depend on its place in the batch, and the
        # activations of many seeds would fall out of the cache.
        every = _one_by_one if layout.on_cpu else _all_at_once
        return Group(group.number, every(function, group))

    mesh = Mesh(np.asarray(layout.devices), ("seeds",))
    return jax.jit(
        jax.shard_map(batch, mesh=mesh, in_specs=_SEEDS, out_specs=_SEEDS, check_vma=False)
    )


def _all_at_once(function: Callable[[Any], Any], group: Group) -> Any:
    return jax.vmap(function)(group.tree)


def _one_by_one(function: Callable[[Any], Any], group: Group) -> Any:
    function = jax.jit(function)  # traced once, though it is named twice

    # The number is an argument of the program: one that is known, 1 above all, would be
    # compiled to something that may round differently.
    def body(row: jax.Array, results: Any) -> Any:
        result = function(jax.tree.map(lambda leaf: leaf[row], group.tree))
        return jax.tree.map(lambda all_, one: all_.at[row].set(one), results, result)

    first = jax.tree.map(lambda leaf: leaf[0], group.tree)
    rows = jax.tree.leaves(group.tree)[0].shape[0]
    results = jax.tree.map(lambda leaf: _zeros(rows, leaf), jax.eval_shape(function, first))
    return jax.lax.fori_loop(0, group.number[0], body, results)


def _zeros(rows: int, like: jax.ShapeDtypeStruct) -> jax.Array:
    if jax.dtypes.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0, dtype=like.dtype), (rows, *like.shape))
    return jnp.zeros((rows, *like.shape), like.dtype)


def split_groups(tree: Any, layout: SeedLayout) -> list[Group]:
    """Cuts a tree ``[S, ...]`` into groups on the devices; rows without a seed are padding."""
    sharding = NamedSharding(Mesh(np.asarray(layout.devices), ("seeds",)), _SEEDS)
    return [jax.device_put(_group(tree, rows), sharding) for rows in layout.rows]


def run_groups(program: Callable[[Group], Group], groups: Sequence[Group]) -> list[Group]:
    """Calls a program with each group, of which only a few wait for their turn at a time.

    Otherwise JAX's CPU back end starts many of them at once, which then share cores and
    caches: 4096 seeds, 256 calls, took 1.8 times as long.
    """
    results: list[Group] = []
    for group in groups:
        jax.block_until_ready(results[-_IN_FLIGHT : 1 - _IN_FLIGHT])
        results.append(program(group))
    return results


def abstract_group(seed: Any, layout: SeedLayout) -> Group:
    """The shapes of a group, from those of one seed's tree, to compile a program ahead of it."""
    sharding = NamedSharding(Mesh(np.asarray(layout.devices), ("seeds",)), _SEEDS)

    def rows(number: int, shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((number, *shape), dtype, sharding=sharding)

    tree = jax.tree.map(lambda leaf: rows(layout.group_size, leaf.shape, leaf.dtype), seed)
    return Group(rows(len(layout.devices), (), np.int32), tree)  # type: ignore[arg-type]


def _group(tree: Any, rows: np.ndarray) -> Group:
    is_seed = rows >= 0
    seeds = np.where(is_seed, rows, rows[0, 0]).ravel()
    number: Any = is_seed.sum(axis=1, dtype=np.int32)
    return Group(number, jax.tree.map(lambda leaf: leaf[seeds], tree))


def join_groups(groups: Sequence[Group], layout: SeedLayout) -> Any:
    """Joins the results of all groups, ``[S, ...]``, without padding rows."""
    if len(groups) * layout.group_size == layout.num_seeds and len(groups) == 1:
        return groups[0].tree
    return jax.device_put(gather_groups(groups, layout), layout.devices[0])


def gather_groups(groups: Sequence[Group], layout: SeedLayout) -> Any:
    """As :func:`join_groups`, in NumPy arrays (and keys), which no device need hold."""
    seeds = layout.rows.ravel() >= 0
    return jax.tree.map(
        lambda *leaves: _concatenate(leaves, seeds), *(group.tree for group in groups)
    )


def _concatenate(leaves: Sequence[jax.Array], seeds: np.ndarray) -> Any:
    if jax.dtypes.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
        data = _concatenate([jax.random.key_data(leaf) for leaf in leaves], seeds)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaves[0]))
    # On the host: concatenating there compiles nothing.
    return np.concatenate([np.asarray(leaf) for leaf in leaves])[seeds]


@functools.lru_cache(maxsize=16)
def _train_program(algorithm: Algorithm, num_updates: int, layout: SeedLayout) -> Any:
    return over_seeds(lambda key: train(algorithm, key, num_updates), layout)


def check_keys(keys: Key) -> int:
    """Returns the number of keys, or raises ValueError unless they are one axis and differ."""
    typed = jax.dtypes.issubdtype(keys.dtype, jax.dtypes.prng_key)
    if keys.ndim != (1 if typed else 2) or keys.shape[0] < 1:
        raise ValueError(
            f"keys has shape {keys.shape}; give one key for each seed along one axis, "
            "such as jax.random.split(key, num_seeds)."
        )
    data = np.asarray(jax.random.key_data(keys) if typed else keys)
    different = np.unique(data, axis=0).shape[0]
    if different < data.shape[0]:
        raise ValueError(
            f"keys holds {data.shape[0]} keys of which only {different} differ; give every "
            "seed a key of its own, since equal keys train the same run twice."
        )
    return data.shape[0]
