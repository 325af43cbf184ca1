"""Trains one seed whose environments are split over devices.

Every device holds the parameters, and its share of all arrays with a row for each environment.
With a network of :func:`split_network`, devices exchange only sums, of gradients and of metrics.
A3C exchanges whole rollouts, because its workers are split differently.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from a2c_jax import checks
from a2c_jax.algorithms.learner import LearnerState
from a2c_jax.train import run
from a2c_jax.types import Algorithm, Environment, Key, Network, Params, TrainResult

_ENVS = "envs"


def split_network(
    network: Network, env: Environment, devices: Sequence[jax.Device] | None = None
) -> Network:
    """Makes each device compute a network only for the rows of its own environments.

    :func:`train_split` gives the same numbers without it. But if a network flattens ``[T, N]``
    into one batch axis, as those of this package do, XLA gathers whole rollouts on every device.

    Args:
        network: its functions take observations ``[..., N, *O]``.
        env: gives the shape of an observation, O.
        devices: as in :func:`train_split`; all local devices by default.

    Raises:
        ValueError: if it is not a :class:`a2c_jax.Network`.
    """
    if not isinstance(network, Network):
        raise ValueError(
            f"network is a {type(network).__name__}; give a Network, or use train_split without "
            "split_network."
        )
    mesh = mesh_of(devices)

    def split(function: Callable[[Params, Any], Any]) -> Any:
        def apply(params: Params, obs: Any) -> jax.Array:
            first, like = jax.tree.leaves(obs)[0], jax.tree.leaves(env.observation)[0]
            before = first.ndim - like.ndim - 1
            rows = PartitionSpec(*[None] * before, _ENVS)
            share = jax.shard_map(
                function, mesh=mesh, in_specs=(PartitionSpec(), rows), out_specs=rows
            )
            return share(params, obs)

        return apply

    both = None if network.both is None else split(network.both)
    return Network(network.init, split(network.policy), split(network.value), both)


def train_split(
    algorithm: Algorithm, key: Key, num_updates: int, *, devices: Sequence[jax.Device] | None = None
) -> TrainResult:
    """Trains one seed whose environments are split over devices; compiles once.

    The random numbers are exactly those of :func:`a2c_jax.train`. Sums over environments are
    added up in another order, so parameters may differ in their last bits and, after many
    updates, actions may differ too.

    Example:
        >>> import optax, a2c_jax as a2c
        >>> env = a2c.make_env("CartPole-v1")
        >>> network = a2c.split_network(a2c.mlp_actor_critic(env, (8,)), env)
        >>> algorithm = a2c.actor_critic(env, network, optax.sgd(0.1), num_envs=64, num_steps=4)
        >>> result = a2c.train_split(algorithm, jax.random.key(0), num_updates=2)
        >>> result.state.actors.obs.shape
        (64, 4)

    Args:
        algorithm: one whose environments continue from one update to the next, with a network of
            :func:`split_network`; not built from traced values.
        key: the seed.
        num_updates: number of updates.
        devices: all local devices by default; their number must divide ``num_envs``.

    Returns:
        As :func:`a2c_jax.train`. Arrays with a row for each environment are split over the
        devices; all others are replicated.

    Raises:
        ValueError: if ``num_updates`` is below 1, the algorithm has no environments that
            continue from one update to the next, or they cannot be split evenly.
    """
    num_updates = checks.positive_int("num_updates", num_updates)
    init, proceed = split_programs(algorithm, num_updates, mesh_of(devices))
    return proceed(init(key))


@functools.lru_cache(maxsize=16)
def split_programs(algorithm: Algorithm, num_updates: int, mesh: Mesh) -> tuple[Any, Any]:
    """The two programs of :func:`train_split`: from key to state, and from state to result."""
    state = jax.eval_shape(algorithm.init, jax.random.key(0))
    _check_state(state, mesh.size)
    rows = NamedSharding(mesh, PartitionSpec(_ENVS))
    same = NamedSharding(mesh, PartitionSpec())
    shardings = jax.tree.map(lambda _: same, state)._replace(
        actors=jax.tree.map(lambda _: rows, state.actors),
        episodes=jax.tree.map(lambda _: rows, state.episodes),
    )
    init = jax.jit(algorithm.init, out_shardings=shardings)
    proceed = jax.jit(
        lambda state: run(algorithm, state, num_updates),
        in_shardings=(shardings,),
        out_shardings=TrainResult(shardings, same),  # type: ignore[arg-type]
        donate_argnums=0,
    )
    return init, proceed


def _check_state(state: Any, num_devices: int) -> None:
    if not isinstance(state, LearnerState) or not jax.tree.leaves(state.actors):
        raise ValueError(
            f"algorithm has a state of {type(state).__name__} without environments that continue "
            "from one update to the next; give actor_critic or q_actor_critic, or use "
            "train_seeds."
        )
    num_envs = state.episodes.returns.shape[0]
    if num_envs % num_devices:
        raise ValueError(
            f"num_envs is {num_envs}, which {num_devices} devices cannot split evenly; give a "
            f"multiple of {num_devices}, or fewer devices."
        )


def mesh_of(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The mesh over which environments are split: all local devices by default."""
    devices = jax.local_devices() if devices is None else devices
    if not devices:
        raise ValueError("devices is empty; give at least one device, or None for all of them.")
    return Mesh(np.asarray(devices), (_ENVS,))
