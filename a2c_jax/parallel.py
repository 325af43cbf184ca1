"""Runs functions over many seeds at once, in batches of a fixed size on each device.

Of the core, only this module and :mod:`a2c_jax.sharding` use devices and compile. A group is one
batch of seeds on every device. One program is compiled for a group and called for every group. It
is independent of the number of groups and, on a CPU, of the number of seeds in a batch, whose other
rows are padding. So a seed's numbers do not depend on how many other seeds are trained.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from a2c_jax import checks
from a2c_jax.types import Key

_SEEDS = PartitionSpec("seeds")
_IN_FLIGHT = 3  # calls: enough that the devices never wait for the next one
_CPU_BATCH = 8  # so many that calling a program takes much less time than running it


class SeedLayout(NamedTuple):
    """The layout of seeds: ``batch_size`` of them at a time on each of ``devices``."""

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
        """The index of each row's seed, ``[groups, devices, batch_size]``; -1 for padding."""
        starts = range(0, self.num_seeds, self.group_size)
        rows = np.full((len(starts), len(self.devices), self.batch_size), -1)
        for group, start in enumerate(starts):
            seeds = np.arange(start, min(start + self.group_size, self.num_seeds))
            for device, part in enumerate(np.array_split(seeds, len(self.devices))):
                rows[group, device, : len(part)] = part
        return rows


class Group(NamedTuple):
    """Input or output of one call of a program: a tree ``[devices * batch_size, ...]`` of seeds.

    ``number`` is the number of seeds in each device's batch, int ``[devices]``.
    """

    number: jax.Array
    tree: Any


def seed_layout(
    num_seeds: int, batch_size: int | None = None, devices: Sequence[jax.Device] | None = None
) -> SeedLayout:
    """Chooses the layout of seeds; arguments and errors as in :func:`a2c_jax.train_seeds`."""
    devices = tuple(devices if devices is not None else jax.local_devices())[:num_seeds]
    if not devices:
        raise ValueError("devices is empty; give at least one device, or None for all of them.")
    if batch_size is None:
        on_cpu = devices[0].platform == "cpu"
        batch_size = _CPU_BATCH if on_cpu else -(-num_seeds // len(devices))
    return SeedLayout(num_seeds, checks.positive_int("batch_size", batch_size), devices)


def over_seeds(function: Callable[..., Any], layout: SeedLayout, donate: bool = False) -> Any:
    """Compiles a function of one seed's tree into one from :class:`Group` to :class:`Group`.

    Args:
        function: of one seed's tree, and of numbers that all seeds share.
        layout: of the seeds.
        donate: let results take the memory of the group, which can then not be used again.
    """

    def batch(group: Group, shared: tuple[jax.Array, ...]) -> Group:
        # With vmap on a CPU, a seed's rounding would depend on its place in the batch, and the
        # activations of many seeds would not fit into the cache.
        every = _one_by_one if layout.on_cpu else _all_at_once
        return Group(group.number, every(function, group, shared))

    mapped = jax.shard_map(
        batch,
        mesh=Mesh(np.asarray(layout.devices), ("seeds",)),
        in_specs=(_SEEDS, PartitionSpec()),
        out_specs=_SEEDS,
        check_vma=False,
    )

    def program(group: Group, *shared: jax.Array) -> Group:
        return mapped(group, shared)

    return jax.jit(program, donate_argnums=(0,) if donate else ())


def _all_at_once(function: Callable[..., Any], group: Group, shared: tuple[jax.Array, ...]) -> Any:
    return jax.vmap(lambda tree: function(tree, *shared))(group.tree)


def _one_by_one(function: Callable[..., Any], group: Group, shared: tuple[jax.Array, ...]) -> Any:
    function = jax.jit(function)  # traced once, although it is used twice
    rows = jax.tree.leaves(group.tree)[0].shape[0]
    # A copy for each row: with one number for all, jaxlib 0.11.2 ends the process while it compiles
    # an inner loop of that many steps of brax.
    trees = group.tree, *(jnp.broadcast_to(number, rows) for number in shared)

    # The number is an argument of the program: a constant, above all 1, may compile to a
    # program that rounds differently.
    def body(row: jax.Array, results: Any) -> Any:
        result = function(*jax.tree.map(lambda leaf: leaf[row], trees))
        return jax.tree.map(lambda all_, one: all_.at[row].set(one), results, result)

    first = jax.tree.map(lambda leaf: leaf[0], trees)
    results = jax.tree.map(lambda leaf: _zeros(rows, leaf), jax.eval_shape(function, *first))
    return jax.lax.fori_loop(0, group.number[0], body, results)


def _zeros(rows: int, like: jax.ShapeDtypeStruct) -> jax.Array:
    if jax.dtypes.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0, dtype=like.dtype), (rows, *like.shape))
    return jnp.zeros((rows, *like.shape), like.dtype)


def split_groups(tree: Any, layout: SeedLayout) -> list[Group]:
    """Splits a tree ``[S, ...]`` into groups on the devices; rows without a seed are padding."""
    sharding = NamedSharding(Mesh(np.asarray(layout.devices), ("seeds",)), _SEEDS)
    return [jax.device_put(_group(tree, rows), sharding) for rows in layout.rows]


def run_groups(program: Callable[..., Group], groups: Sequence[Group], *shared: Any) -> list[Group]:
    """Calls a program with each group, with only a few calls pending at a time.

    Otherwise JAX's CPU back end starts many calls at once, which then share cores and caches:
    4096 seeds in 256 calls took 1.8 times as long.
    """
    results: list[Group] = []
    for group in groups:
        jax.block_until_ready(results[-_IN_FLIGHT : 1 - _IN_FLIGHT])
        results.append(program(group, *shared))
    return results


def abstract_group(seed: Any, layout: SeedLayout) -> Group:
    """The shapes of a group, from those of one seed's tree, to compile a program in advance."""
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
    """As :func:`join_groups`, but into NumPy arrays (and keys) instead of arrays on a device."""
    seeds = layout.rows.ravel() >= 0
    return jax.tree.map(
        lambda *leaves: _concatenate(leaves, seeds), *(group.tree for group in groups)
    )


def _concatenate(leaves: Sequence[jax.Array], seeds: np.ndarray) -> Any:
    if jax.dtypes.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
        data = _concatenate([jax.random.key_data(leaf) for leaf in leaves], seeds)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaves[0]))
    # On the host, where concatenating compiles nothing.
    joined = np.concatenate([part for leaf in leaves for part in _parts(leaf)])
    return joined if seeds.all() else joined[seeds]


def _parts(leaf: Any) -> list[np.ndarray]:
    if not isinstance(leaf, jax.Array):
        return [leaf]
    # An array of several shards would keep the copy of it that NumPy reads; on a CPU, one shard is
    # read without a copy. Shards are blocks of rows, in order.
    return [np.asarray(shard.data) for shard in leaf.addressable_shards]


def check_keys(keys: Key) -> int:
    """Returns the number of keys, or raises ValueError unless they are distinct, on one axis."""
    if not isinstance(keys, jax.Array | np.ndarray):
        raise ValueError(f"keys is a {type(keys).__name__}; give jax.random.split(key, num_seeds).")
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
