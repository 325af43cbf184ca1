"""A3C as a compiled program: exact round-robin asynchrony, reproducible bit for bit.

With threads, every run would differ. Here each of W workers holds a copy of the parameters. In a
round, all workers collect a rollout and compute a gradient with their own copies, in parallel. The
W gradients are then applied to the global parameters one after another, and each worker copies the
global parameters right after its own gradient. So W - 1 other gradients are applied between a
worker's copy and its gradient, as in A3C (fewer in the first round, when all copies are equal).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from a2c_jax import checks
from a2c_jax.advantages import n_step
from a2c_jax.agents import AnyNetwork, checked_agent
from a2c_jax.algorithms.learner import (
    Descent,
    DescentFn,
    apply_gradient,
    gradient,
    learner,
    synchronous,
)
from a2c_jax.collectors import rollouts
from a2c_jax.keys import Stream, stream
from a2c_jax.losses import combined_loss
from a2c_jax.metrics import FinishedEpisodes, update_metrics
from a2c_jax.types import (
    Agent,
    AgentState,
    Algorithm,
    Environment,
    Estimator,
    Key,
    Loss,
    LossTerms,
    Memory,
    Metrics,
    Noise,
    Observation,
    Params,
    Rollout,
    Scalar,
)

Order = Callable[[Key, int], jax.Array]


def round_robin(key: Key, num_workers: int) -> jax.Array:
    """The same order of arrival in every round: every gradient is W - 1 updates stale."""
    del key
    return jnp.arange(num_workers)


def random_order(key: Key, num_workers: int) -> jax.Array:
    """A new random order in each round: W - 1 updates stale on average, 2 (W - 1) at most."""
    return jax.random.permutation(key, num_workers)


def a3c(
    env: Environment,
    network: AnyNetwork,
    optimizer: optax.GradientTransformation,
    *,
    num_workers: int,
    order: Order = round_robin,
    shared_statistics: bool = True,
    num_envs: int,
    num_steps: int,
    num_resets: int | None = None,
    discount: Scalar = 0.99,
    estimator: Estimator = n_step,
    value_coef: Scalar = 0.5,
    entropy_coef: Scalar | optax.Schedule = 0.0,
) -> Algorithm:
    """Asynchronous advantage actor-critic: W workers, whose gradients are stale when they arrive.

    A step of the algorithm is a round: W rollouts, W gradients and W steps of the optimizer. Its
    metrics are means over the workers (episodes and steps are summed over all environments). With
    one worker no gradient is stale, and the algorithm is :func:`a2c_jax.actor_critic`.

    The other arguments, and the errors, are those of :func:`a2c_jax.actor_critic`, for each
    worker; only ``num_resets`` is for all workers together. A schedule of ``entropy_coef`` is a
    function of the number of rounds.

    Args:
        env: the environment.
        network: policy and value functions, or an agent made of them.
        optimizer: any optax transformation; Mnih et al. use RMSprop.
        num_workers: W.
        order: the order in which a round's gradients arrive, ``order(key, W) -> [W]``:
            :func:`round_robin` or :func:`random_order`.
        shared_statistics: share one optimizer state among all workers. Otherwise each has its
            own, in which a schedule counts only that worker's steps.

    Source: the article, "A2C v.s. A3C"; Mnih et al. (2016), whose best variant shares the
    statistics of RMSprop.
    """
    num_workers = checks.positive_int("num_workers", num_workers)
    num_envs = checks.positive_int("num_envs", num_envs)
    agent = checked_agent(env, network, num_envs)
    loss = combined_loss(discount, estimator, value_coef=value_coef, entropy_coef=entropy_coef)
    # One worker has no batch axis, since XLA rounds a batch of one differently.
    descent: DescentFn = synchronous
    acting = agent
    if num_workers > 1:
        descent = functools.partial(
            asynchronous,
            num_workers=num_workers,
            order=order,
            shared_statistics=shared_statistics,
        )
        acting = workers(agent, num_workers)
    collector = rollouts(env, acting, num_workers * num_envs, num_steps, num_resets)
    return learner(agent, collector, loss, optimizer, descent)


class AsynchronousState(NamedTuple):
    """The optimizer's state between two rounds, and the parameters that each worker acts with.

    ``opt_state`` is shared, or ``[W, ...]`` if each worker has its own; ``copies`` are
    ``[W, ...]``.
    """

    opt_state: optax.OptState
    copies: Params


def workers(agent: Agent, num_workers: int) -> Agent:
    """Makes an agent act with copies ``[W, ...]`` of the parameters, each in its environments."""

    def act(
        state: AgentState, memory: Memory, obs: Observation, noise: Noise | None
    ) -> tuple[Memory, jax.Array]:
        own = by_worker((memory, obs, noise), num_workers, axis=0)
        each = jax.vmap(agent.act, in_axes=(AgentState(0, None), 0, 0, 0))
        return jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), each(state, *own))

    return agent._replace(act=act)


def asynchronous(
    agent: Agent,
    loss: Loss,
    optimizer: optax.GradientTransformationExtraArgs,
    *,
    num_workers: int,
    order: Order,
    shared_statistics: bool,
) -> Descent:
    """A descent that applies W gradients, computed with W copies, one after another."""

    def init(state: AgentState) -> AsynchronousState:
        opt_state = optimizer.init(state.params)
        return AsynchronousState(
            opt_state if shared_statistics else _copies(opt_state, num_workers),
            _copies(state.params, num_workers),
        )

    def descend(
        key: Key,
        state: AgentState,
        opt_state: AsynchronousState,
        rollout: Rollout,
        finished: FinishedEpisodes,
    ) -> tuple[AgentState, AsynchronousState, Metrics]:
        def at_copy(params: Params, rollout: Rollout) -> tuple[jax.Array, Params, LossTerms]:
            return gradient(agent, loss, state._replace(params=params), rollout)

        own = Rollout(
            by_worker(rollout.transitions, num_workers, axis=1),
            by_worker(rollout.memory, num_workers, axis=0),
            by_worker(rollout.where, num_workers, axis=1),
            _copies(rollout.update, num_workers),
        )
        values, grads, terms = jax.vmap(at_copy)(opt_state.copies, own)
        arrival = order(stream(key, Stream.ARRIVAL), num_workers)
        params, after = _apply_in_turn(
            optimizer, state.params, opt_state, values, grads, arrival, shared_statistics
        )
        metrics = jax.vmap(functools.partial(update_metrics, finished))(
            terms, jax.vmap(optax.tree.norm)(grads), own.where
        )
        mean = jax.tree.map(lambda x: jnp.mean(x, axis=0), metrics)
        return state._replace(params=params), after, mean

    return Descent(
        init=init,
        acting=lambda state, opt_state: state._replace(params=opt_state.copies),
        descend=descend,
    )


def _apply_in_turn(
    optimizer: optax.GradientTransformationExtraArgs,
    params: Params,
    state: AsynchronousState,
    values: jax.Array,
    grads: Params,
    order: jax.Array,
    shared_statistics: bool,
) -> tuple[Params, AsynchronousState]:
    """Applies the gradients ``[W, ...]``, of losses ``[W]``, in the given order."""

    def arrive(
        carry: tuple[Params, AsynchronousState], worker: jax.Array
    ) -> tuple[tuple[Params, AsynchronousState], None]:
        params, (opt_state, copies) = carry
        statistics = opt_state if shared_statistics else _row(opt_state, worker)
        value, gradient = _row((values, grads), worker)
        params, statistics = apply_gradient(optimizer, value, gradient, statistics, params)
        opt_state = statistics if shared_statistics else _put(opt_state, worker, statistics)
        return (params, AsynchronousState(opt_state, _put(copies, worker, params))), None

    return jax.lax.scan(arrive, (params, state), order)[0]


def by_worker(tree: Any, num_workers: int, axis: int) -> Any:
    """Splits an axis ``[W * N]`` into ``[W, N]``, and brings W to the front."""

    def split(x: jax.Array) -> jax.Array:
        shape = (*x.shape[:axis], num_workers, -1, *x.shape[axis + 1 :])
        return jnp.moveaxis(x.reshape(shape), axis, 0)

    return jax.tree.map(split, tree)


def _copies(tree: Any, number: int) -> Any:
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (number, *x.shape)), tree)


def _row(tree: Any, index: Any) -> Any:
    return jax.tree.map(lambda x: x[index], tree)


def _put(tree: Any, index: jax.Array, row: Any) -> Any:
    return jax.tree.map(lambda x, y: x.at[index].set(y), tree, row)
