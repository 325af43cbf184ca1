"""The learner: one ``init`` and one ``step`` for every method.

An update collects a rollout, unrolls the agent over it, and updates the parameters with the
gradient of the loss. Then it updates the agent's running statistics, if any, with the rollout.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from a2c_jax import checks, record_checks
from a2c_jax.keys import Stream, stream
from a2c_jax.metrics import (
    FinishedEpisodes,
    OpenEpisodes,
    count_episodes,
    open_episodes,
    update_metrics,
)
from a2c_jax.normalization import with_new_episodes
from a2c_jax.types import (
    Agent,
    AgentState,
    Algorithm,
    Collector,
    Key,
    Loss,
    LossTerms,
    Metrics,
    Params,
    Rollout,
)


class LearnerState(NamedTuple):
    """Everything that continues from one update to the next.

    Attributes:
        agent: parameters, and moments if there are any.
        opt_state: state of the optimizer.
        actors: the environments, see :class:`a2c_jax.types.Actors`.
        episodes: the unfinished episodes.
        key: one key for the whole run; it never changes.
        update: number of updates done. The key of an update is ``fold_in(key, update)``, so an
            interrupted and resumed run gives the same numbers.
    """

    agent: AgentState
    opt_state: Any
    actors: Any
    episodes: OpenEpisodes
    key: Key
    update: jax.Array

    @property
    def params(self) -> Params:
        """The parameters."""
        return self.agent.params


class OptimizerInitFn(Protocol):
    """Returns the initial state of the optimizer."""

    def __call__(self, state: AgentState, /) -> Any: ...


class ActingFn(Protocol):
    """Returns the state to act with in the next rollout: the agent's, or the workers' copies."""

    def __call__(self, state: AgentState, opt_state: Any, /) -> AgentState: ...


class DescendFn(Protocol):
    """Trains on a rollout; returns the agent's and the optimizer's next state, and metrics."""

    def __call__(
        self,
        key: Key,
        state: AgentState,
        opt_state: Any,
        rollout: Rollout,
        finished: FinishedEpisodes,
        /,
    ) -> tuple[AgentState, Any, Metrics]: ...


class Descent(NamedTuple):
    """Updates parameters with the gradient of a rollout; the types of the fields document them."""

    init: OptimizerInitFn
    acting: ActingFn
    descend: DescendFn


class DescentFn(Protocol):
    """Makes a descent from an agent, its loss and an optimizer."""

    def __call__(
        self, agent: Agent, loss: Loss, optimizer: optax.GradientTransformationExtraArgs, /
    ) -> Descent: ...


def synchronous(
    agent: Agent, loss: Loss, optimizer: optax.GradientTransformationExtraArgs
) -> Descent:
    """One gradient of the whole rollout, one step of the optimizer."""

    def descend(
        key: Key,
        state: AgentState,
        opt_state: optax.OptState,
        rollout: Rollout,
        finished: FinishedEpisodes,
    ) -> tuple[AgentState, optax.OptState, Metrics]:
        del key
        value, grads, terms = gradient(agent, loss, state, rollout)
        params, opt_state = apply_gradient(optimizer, value, grads, opt_state, state.params)
        metrics = update_metrics(finished, terms, optax.tree.norm(grads), rollout.where)
        return state._replace(params=params), opt_state, metrics

    return Descent(
        init=lambda state: optimizer.init(state.params),
        acting=lambda state, opt_state: state,
        descend=descend,
    )


def learner(
    agent: Agent,
    collector: Collector,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    descent: DescentFn = synchronous,
) -> Algorithm:
    """Makes an algorithm from an agent, a collector, a loss and an optimizer.

    Args:
        agent: the agent to train.
        collector: gathers a rollout for each update.
        loss: ``loss(unrolled, rollout) -> (loss, terms)``; see :func:`a2c_jax.combined_loss`.
        optimizer: any optax transformation.
        descent: how gradients are applied; by default one for each update.
    """
    descent_init, acting, descend = descent(agent, loss, checks.optimizer(optimizer))

    def init(key: Key, params: Params | AgentState | None = None) -> LearnerState:
        state = _first_state(agent, stream(key, Stream.PARAMETERS), params)
        opt_state = descent_init(state)
        return LearnerState(
            agent=state,
            opt_state=opt_state,
            actors=collector.init(key, acting(state, opt_state)),
            episodes=open_episodes(collector.num_envs),
            key=stream(key, Stream.UPDATES),
            update=jnp.zeros((), jnp.int32),
        )

    def step(state: LearnerState) -> tuple[LearnerState, Metrics]:
        key = jax.random.fold_in(state.key, state.update)
        actors, rollout = collector.collect(key, acting(state.agent, state.opt_state), state.actors)
        rollout = rollout._replace(update=state.update)
        episodes, finished = count_episodes(state.episodes, rollout.transitions, rollout.where)
        agent_state, opt_state, metrics = descend(
            key, state.agent, state.opt_state, rollout, finished
        )
        state = LearnerState(
            agent=agent.observe(agent_state, rollout),
            opt_state=opt_state,
            actors=actors,
            episodes=episodes,
            key=state.key,
            update=state.update + 1,
        )
        return state, metrics

    return Algorithm(init, step, steps_per_update=collector.num_envs * collector.num_steps)


def _first_state(agent: Agent, key: Key, params: Params | AgentState | None) -> AgentState:
    if params is None:
        return agent.init(key)
    if isinstance(params, AgentState):
        fresh = jax.eval_shape(agent.init, key).moments
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), fresh)
        params = params._replace(moments=with_new_episodes(params.moments, zeros))
    return record_checks.agent_state(params, jax.eval_shape(agent.init, key))


def gradient(
    agent: Agent, loss: Loss, state: AgentState, rollout: Rollout
) -> tuple[jax.Array, Params, LossTerms]:
    """The loss, its gradient with respect to the agent's parameters, and its terms."""

    def of_params(params: Params) -> tuple[jax.Array, LossTerms]:
        return loss(agent.unroll(state._replace(params=params), rollout), rollout)

    (value, terms), grads = jax.value_and_grad(of_params, has_aux=True)(state.params)
    return value, grads, terms


def apply_gradient(
    optimizer: optax.GradientTransformationExtraArgs,
    value: jax.Array,
    grads: Params,
    opt_state: optax.OptState,
    params: Params,
) -> tuple[Params, optax.OptState]:
    """Takes one step of the optimizer; returns ``(params, opt_state)`` after it.

    The optimizer may use the loss, ``value``, as ``optax.contrib.reduce_on_plateau`` does.
    """
    updates, opt_state = optimizer.update(grads, opt_state, params, value=value)
    return optax.apply_updates(params, updates), opt_state
