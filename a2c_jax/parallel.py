"""Many seeds at once: batches of a fixed width, spread over the devices there are.

The one module of the core that looks at devices and compiles. One program is compiled for a
batch of seeds on every device, and runs once for each such group. It does not know how many
groups there are, so a seed's numbers do not depend on how many other seeds run beside it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from a2c_jax import checks
from a2c_jax.train import train
from a2c_jax.types import Algorithm, Key, TrainResult

_SEEDS = PartitionSpec("seeds")


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
    versions alone: not on the other seeds, nor on their number or order.

    Args:
        algorithm: what to train; not built from traced values.
        keys: one for each seed, ``[S]``.
        num_updates: of each seed.
        batch_size: seeds that one call of the program trains on a device: one after
            another on a CPU, vmapped elsewhere. By default 1 on a CPU, and all of a
            device's seeds elsewhere.
        devices: all local devices by default. A CPU is one device for each of its cores if
            ``jax.config.update("jax_num_cpu_devices", cores)`` is called before JAX starts.

    Returns:
        :class:`a2c_jax.TrainResult` with leading axis ``[S]``, in the order of the keys.

    Raises:
        ValueError: if ``keys`` is not one axis of different keys, or a number is below 1.
    """
    checks.positive_int("num_updates", num_updates)
    layout = seed_layout(keys, batch_size, devices)
    program = _train_program(algorithm, num_updates, layout._replace(num_seeds=0))
    return join_groups([program(group) for group in split_groups(keys, layout)], layout)


def seed_layout(
    keys: Key,
    batch_size: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> SeedLayout:
    """Decides how to lay out a seed for each key; arguments as in :func:`train_seeds`.

    Raises:
        ValueError: as :func:`train_seeds` does.
    """
    num_seeds = _check_keys(keys)
    devices = tuple(devices if devices is not None else jax.local_devices())
    if not devices:
        raise ValueError("devices is empty; give at least one device, or None for all of them.")
    if batch_size is None:
        batch_size = 1 if devices[0].platform == "cpu" else -(-num_seeds // len(devices))
    batch_size = checks.positive_int("batch_size", batch_size)
    batches = -(-num_seeds // batch_size)
    return SeedLayout(num_seeds, batch_size, devices[:batches])


def over_seeds(function: Callable[[Any], Any], layout: SeedLayout) -> Any:
    """Compiles a function of one seed into one of a group of seeds, ``[group_size, ...]``."""

    def batch(tree: Any) -> Any:
        # vmapped on a CPU, a seed's rounding would depend on its place in the batch, and the
        # activations of many seeds would fall out of the cache.
        return jax.lax.map(function, tree) if layout.on_cpu else jax.vmap(function)(tree)

    mesh = Mesh(np.asarray(layout.devices), ("seeds",))
    return jax.jit(
        jax.shard_map(batch, mesh=mesh, in_specs=_SEEDS, out_specs=_SEEDS, check_vma=False)
    )


def split_groups(keys: Key, layout: SeedLayout) -> list[Key]:
    """Cuts keys ``[S]`` into groups on the devices; the last is filled up with its last key."""
    size = layout.group_size
    rows = np.minimum(np.arange(-(-layout.num_seeds // size) * size), layout.num_seeds - 1)
    sharding = NamedSharding(Mesh(np.asarray(layout.devices), ("seeds",)), _SEEDS)
    return [jax.device_put(keys[group], sharding) for group in rows.reshape(-1, size)]


def join_groups(groups: Sequence[Any], layout: SeedLayout) -> Any:
    """Puts the results of all groups together, ``[S, ...]``, and drops the filling."""
    if len(groups) * layout.group_size == layout.num_seeds and len(groups) == 1:
        return groups[0]
    return jax.tree.map(lambda *leaves: _concatenate(leaves, layout), *groups)


def _concatenate(leaves: Sequence[jax.Array], layout: SeedLayout) -> jax.Array:
    if jax.dtypes.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
        data = _concatenate([jax.random.key_data(leaf) for leaf in leaves], layout)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaves[0]))
    # On the host: concatenating there compiles nothing.
    joined = np.concatenate([np.asarray(leaf) for leaf in leaves])[: layout.num_seeds]
    return jax.device_put(joined, layout.devices[0])


@functools.lru_cache(maxsize=16)
def _train_program(algorithm: Algorithm, num_updates: int, layout: SeedLayout) -> Any:
    return over_seeds(lambda key: train(algorithm, key, num_updates), layout)


def _check_keys(keys: Key) -> int:
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
