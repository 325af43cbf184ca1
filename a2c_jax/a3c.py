"""A3C as a compiled program: exact round-robin asynchrony, repeatable to the bit.

Real threads would make every run different. Here W workers each hold a snapshot of the
parameters. In a round all of them roll out and take a gradient at their own snapshots, at the
same time; then the W gradients go into the global parameters one after another, and a worker's
snapshot becomes what the global parameters were just after its own gradient went in. So W - 1
other gradients have gone in between a worker's snapshot and its gradient, as in A3C (fewer in
the first round, when all snapshots are the beginning).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from a2c_jax import checks
from a2c_jax.actor_critic import LossSettings, actor_critic, check_arguments, descend
from a2c_jax.advantages import n_step
from a2c_jax.losses import LossTerms, actor_critic_loss
from a2c_jax.metrics import OpenEpisodes, count_episodes, open_episodes, update_metrics
from a2c_jax.networks import require_state_values
from a2c_jax.rollout import reset_envs, rollout
from a2c_jax.types import (
    Algorithm,
    Environment,
    EnvState,
    Estimator,
    Key,
    Metrics,
    Network,
    Params,
    Scalar,
    Transition,
)

_ORDER_STREAM = 2**32 - 1  # no round has this number, so its keys are used for nothing else


class A3CState(NamedTuple):
    """All that continues from one round to the next.

    Attributes:
        params: the global parameters.
        opt_state: of the optimizer; with statistics of their own, one for each worker,
            ``[W, ...]``.
        snapshots: the parameters that each worker acts with, ``[W, ...]``.
        env_state: where the environments stand, worker by worker, ``[W * N, ...]``.
        obs: what is observed there, ``[W * N, ...]``.
        episodes: the episodes under way.
        key: one key for the whole run; never changes.
        update: number of rounds done.
    """

    params: Params
    opt_state: optax.OptState
    snapshots: Params
    env_state: EnvState
    obs: jax.Array
    episodes: OpenEpisodes
    key: Key
    update: jax.Array


def a3c(
    env: Environment,
    network: Network,
    optimizer: optax.GradientTransformation,
    *,
    num_workers: int,
    num_envs: int,
    num_steps: int,
    discount: Scalar = 0.99,
    estimator: Estimator = n_step,
    value_coef: Scalar = 0.5,
    entropy_coef: Scalar = 0.0,
    normalize_advantages: bool = False,
    random_order: bool = False,
    shared_statistics: bool = True,
) -> Algorithm:
    """Asynchronous advantage actor-critic: W workers, whose gradients are stale when they arrive.

    A step of the algorithm is a round: W rollouts, W gradients and W steps of the optimizer.
    Its metrics are means over the workers (episodes are summed over all environments).
    With one worker nothing comes between a snapshot and its gradient, and the result is
    :func:`a2c_jax.actor_critic` itself.

    Args:
        env: the environment.
        network: policy and value functions.
        optimizer: any optax transformation; Mnih et al. use RMSprop.
        num_workers: W.
        num_envs: environments of each worker, N.
        num_steps: steps of a worker's rollout, T.
        discount: in [0, 1]; a number or a traced scalar, as are the coefficients.
        estimator: see :mod:`a2c_jax.advantages`.
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy.
        normalize_advantages: whether to normalise advantages over a worker's rollout.
        random_order: draw the order in which the gradients arrive anew each round; else the
            workers take turns. From the second round on a gradient is then W - 1 updates
            stale on average, and at most 2 (W - 1).
        shared_statistics: one state of the optimizer for all workers; else each has its own,
            which also counts its own steps in a schedule.

    Raises:
        ValueError: if the network has no state values, or an argument lies outside its range.

    Source: the article, "A2C v.s. A3C"; Mnih et al. (2016), whose best variant shares the
    statistics of RMSprop.
    """
    num_workers = checks.positive_int("num_workers", num_workers)
    if num_workers == 1:  # the same numbers, but XLA rounds a batch of one differently from none
        return actor_critic(
            env,
            network,
            optimizer,
            num_envs=num_envs,
            num_steps=num_steps,
            discount=discount,
            estimator=estimator,
            value_coef=value_coef,
            entropy_coef=entropy_coef,
            normalize_advantages=normalize_advantages,
        )
    require_state_values(network)
    settings = LossSettings(discount, value_coef, entropy_coef, normalize_advantages)
    check_arguments(env, num_envs, num_steps, settings)
    loss = functools.partial(
        actor_critic_loss, network=network, estimator=estimator, **settings._asdict()
    )
    workers = Workers(num_workers, num_envs, num_steps, random_order, shared_statistics)
    return asynchronous(env, network, optimizer, loss, workers)


class Workers(NamedTuple):
    """How many workers there are, and how they take turns; see :func:`a3c`."""

    num_workers: int
    num_envs: int
    num_steps: int
    random_order: bool
    shared_statistics: bool


def asynchronous(
    env: Environment,
    network: Network,
    optimizer: optax.GradientTransformation,
    loss: Callable[..., tuple[jax.Array, LossTerms]],
    workers: Workers,
) -> Algorithm:
    """The rounds of :func:`a3c` for any number of workers, one included.

    Args:
        env: the environment.
        network: whose policy acts.
        optimizer: any optax transformation.
        loss: ``loss(params, transitions=...) -> (loss, terms)`` of one worker's rollout.
        workers: how many, and how they take turns.
    """
    num_workers, num_envs, num_steps, random_order, shared_statistics = workers

    def init(key: Key) -> A3CState:
        params_key, env_key, run_key = jax.random.split(key, 3)
        params = network.init(params_key)
        env_state, obs = reset_envs(env_key, env, num_workers * num_envs)
        opt_state = optimizer.init(params)
        return A3CState(
            params=params,
            opt_state=opt_state if shared_statistics else _copies(opt_state, num_workers),
            snapshots=_copies(params, num_workers),
            env_state=env_state,
            obs=obs,
            episodes=open_episodes(num_workers * num_envs),
            key=run_key,
            update=jnp.zeros((), jnp.int32),
        )

    def policies(snapshots: Params, obs: jax.Array) -> jax.Array:
        own = obs.reshape((num_workers, num_envs, *obs.shape[1:]))
        return jax.vmap(network.policy)(snapshots, own).reshape((obs.shape[0], -1))

    def gradient(snapshot: Params, transitions: Transition) -> tuple[Params, LossTerms]:
        return jax.grad(loss, has_aux=True)(snapshot, transitions=transitions)

    def order(state: A3CState) -> jax.Array:
        if not random_order:
            return jnp.arange(num_workers)
        stream = jax.random.fold_in(state.key, _ORDER_STREAM)
        return jax.random.permutation(jax.random.fold_in(stream, state.update), num_workers)

    def step(state: A3CState) -> tuple[A3CState, Metrics]:
        key = jax.random.fold_in(state.key, state.update)
        policy = functools.partial(policies, state.snapshots)
        env_state, obs, transitions = rollout(
            key, policy, env, state.env_state, state.obs, num_steps
        )
        grads, terms = jax.vmap(gradient)(state.snapshots, _by_worker(transitions, num_workers))
        params, opt_state, snapshots = _apply_in_turn(
            optimizer, state, grads, order(state), shared_statistics
        )
        episodes, finished = count_episodes(state.episodes, transitions)
        metrics = jax.vmap(functools.partial(update_metrics, finished))(
            terms, jax.vmap(optax.tree.norm)(grads)
        )
        state = A3CState(
            params=params,
            opt_state=opt_state,
            snapshots=snapshots,
            env_state=env_state,
            obs=obs,
            episodes=episodes,
            key=state.key,
            update=state.update + 1,
        )
        return state, jax.tree.map(lambda x: jnp.mean(x, axis=0), metrics)

    return Algorithm(init, step, steps_per_update=num_workers * num_envs * num_steps)


def _apply_in_turn(
    optimizer: optax.GradientTransformation,
    state: A3CState,
    grads: Params,
    order: jax.Array,
    shared_statistics: bool,
) -> tuple[Params, optax.OptState, Params]:
    """Applies the gradients ``[W, ...]``: ``(params, opt_state, snapshots)`` after the round."""

    def arrive(
        carry: tuple[Params, optax.OptState, Params], worker: jax.Array
    ) -> tuple[tuple[Params, optax.OptState, Params], None]:
        params, opt_state, snapshots = carry
        statistics = opt_state if shared_statistics else _row(opt_state, worker)
        params, statistics = descend(optimizer, _row(grads, worker), statistics, params)
        opt_state = statistics if shared_statistics else _put(opt_state, worker, statistics)
        return (params, opt_state, _put(snapshots, worker, params)), None

    return jax.lax.scan(arrive, (state.params, state.opt_state, state.snapshots), order)[0]


def _by_worker(transitions: Transition, num_workers: int) -> Transition:
    """``[T, W * N, ...]`` to ``[W, T, N, ...]``."""

    def split(x: jax.Array) -> jax.Array:
        return jnp.moveaxis(x.reshape((x.shape[0], num_workers, -1, *x.shape[2:])), 1, 0)

    return jax.tree.map(split, transitions)


def _copies(tree: Any, number: int) -> Any:
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (number, *x.shape)), tree)


def _row(tree: Any, index: Any) -> Any:
    return jax.tree.map(lambda x: x[index], tree)


def _put(tree: Any, index: jax.Array, row: Any) -> Any:
    return jax.tree.map(lambda x, y: x.at[index].set(y), tree, row)
