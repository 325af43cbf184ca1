"""Agents, made from a network and an action distribution.

To add another kind of agent, write a function that makes or wraps an :class:`a2c_jax.Agent`, as
those here and in :mod:`a2c_jax.normalization` do.
"""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from a2c_jax import record_checks
from a2c_jax._devices import scan, shortcut
from a2c_jax.distributions import Distribution, distribution_for
from a2c_jax.rollout import select
from a2c_jax.types import (
    Agent,
    AgentState,
    Environment,
    Memory,
    Network,
    Noise,
    Observation,
    Params,
    RecurrentNetwork,
    Rollout,
    Transition,
    Unrolled,
)

AnyNetwork = Network | RecurrentNetwork | Agent


def as_agent(env: Environment, network: AnyNetwork) -> Agent:
    """Makes a feed-forward or a recurrent agent from a network; returns an agent unchanged.

    Raises:
        ValueError: if no distribution supports the action space.
    """
    if isinstance(network, Agent):
        return network
    distribution = distribution_for(env.action_space)
    if isinstance(network, RecurrentNetwork):
        return recurrent(network, distribution)
    return feed_forward(network, distribution)


def checked_agent(env: Environment, network: AnyNetwork, num_envs: int) -> Agent:
    """As :func:`as_agent`, but first checks a network against the environment.

    Raises:
        ValueError: if the network's outputs or values have the wrong shape.
    """
    if not isinstance(network, Agent):
        num_outputs = distribution_for(env.action_space).num_outputs
        record_checks.network(env, network, num_envs, num_outputs)
    return as_agent(env, network)


def as_state(network: AnyNetwork, params: Params | AgentState) -> AgentState:
    """The state of :func:`as_agent`, from a network's parameters or from the agent's state."""
    return params if isinstance(network, Agent) else AgentState(params)


class Critic(Protocol):
    """Returns the values of a rollout's rows and of their true successors, each ``[T, N]``."""

    def __call__(
        self, network: Network, params: Params, rollout: Rollout, /
    ) -> tuple[jax.Array, jax.Array]: ...


def feed_forward(
    network: Network, distribution: Distribution, critic: Critic | None = None
) -> Agent:
    """An agent without memory: each action depends only on the current observation.

    Args:
        network: policy and value functions.
        distribution: turns the policy's outputs into actions.
        critic: computes the values with the network; those of states by default.
    """

    def act(
        state: AgentState, memory: Memory, obs: Observation, noise: Noise | None
    ) -> tuple[Memory, jax.Array]:
        return memory, _actions(distribution, network.policy(state.params, obs), noise)

    def unroll(state: AgentState, rollout: Rollout) -> Unrolled:
        rows, params = rollout.transitions, state.params
        if critic is None:
            outputs, values = network.outputs_and_values(params, rows.obs)
            fixed, known = jax.lax.stop_gradient((params, values))
            next_values = _of_successors(lambda obs: network.value(fixed, obs), known, rows)
        else:
            outputs = network.policy(params, rows.obs)
            values, next_values = critic(network, params, rollout)
        return _unrolled(distribution, rows, outputs, values, next_values)

    return Agent(
        init=lambda key: AgentState(network.init(key)),
        memory=lambda num_envs: (),
        noise=distribution.noise,
        act=act,
        unroll=unroll,
        observe=lambda state, rollout: state,
    )


def recurrent(network: RecurrentNetwork, distribution: Distribution) -> Agent:
    """An agent with a memory of the episode so far.

    The memory is reset where an episode begins. A rollout stores it before the first row; an update
    computes it again from there on with the current parameters, so that gradients flow through the
    T rows of a rollout (truncated backpropagation through time) and not further.

    Args:
        network: such as that of :func:`a2c_jax.gru_actor_critic`.
        distribution: turns the policy's outputs into actions.

    Source: Hausknecht & Stone (2015); Mnih et al. (2016), "A3C LSTM".
    """

    def act(
        state: AgentState, memory: Memory, obs: Observation, noise: Noise | None
    ) -> tuple[Memory, jax.Array]:
        params = state.params
        memory = network.remember(params, memory, network.encode(params, obs))
        return memory, _actions(distribution, network.policy(params, memory, obs), noise)

    def unroll(state: AgentState, rollout: Rollout) -> Unrolled:
        rows, params = rollout.transitions, state.params
        memories = _memories(network, params, rollout)
        outputs = network.policy(params, memories, rows.obs)
        values = network.value(params, memories, rows.obs)
        fixed = jax.lax.stop_gradient((params, values, memories))
        return _unrolled(distribution, rows, outputs, values, _next_recalled(network, *fixed, rows))

    return Agent(
        init=lambda key: AgentState(network.init(key)),
        memory=network.memory,
        noise=distribution.noise,
        act=act,
        unroll=unroll,
        observe=lambda state, rollout: state,
    )


def _memories(network: RecurrentNetwork, params: Params, rollout: Rollout) -> Memory:
    """The memories ``[T, N, ...]`` after each observation of a rollout."""
    rows = rollout.transitions
    ended = rows.terminated | rows.truncated
    fresh = network.memory(ended.shape[1])

    def body(memory: Memory, row: tuple[Any, jax.Array]) -> tuple[Memory, Memory]:
        inputs, ended = row
        after = network.remember(params, memory, inputs)
        return select(ended, fresh, after), after

    return scan(body, rollout.memory, (network.encode(params, rows.obs), ended))[1]


def _actions(distribution: Distribution, outputs: jax.Array, noise: Noise | None) -> jax.Array:
    distribution.check(outputs)
    return distribution.mode(outputs) if noise is None else distribution.sample(outputs, noise)


def _unrolled(
    distribution: Distribution,
    rows: Transition,
    outputs: jax.Array,
    values: jax.Array,
    next_values: jax.Array,
) -> Unrolled:
    distribution.check(outputs)
    log_probs = distribution.log_prob(outputs, rows.action)
    return Unrolled(outputs, log_probs, distribution.entropy(outputs), values, next_values)


def _next_recalled(
    network: RecurrentNetwork, params: Params, values: jax.Array, memories: Memory, rows: Transition
) -> jax.Array:
    """Values of the true successors, which each row's memory also sees."""

    def value(obs: Observation, memories: Memory) -> jax.Array:
        after = network.remember(params, memories, network.encode(params, obs))
        return network.value(params, after, obs)

    return _of_successors(value, values, rows, memories)


def _of_successors(
    value: Callable[..., jax.Array], values: jax.Array, rows: Transition, *others: Any
) -> jax.Array:
    """The values of the true successors, from those of the rows."""
    # Unless a time limit cut an episode off, which is rare, a step's successor is the next row,
    # whose value is known; after a termination the value is not used. Saves 7 % of the time on a
    # CPU.
    last = jax.tree.map(lambda x: x[-1:], (rows.next_obs, *others))
    cut_off = rows.truncated[:-1] & ~rows.terminated[:-1]
    return shortcut(
        lambda: jnp.concatenate([values[1:], value(*last)]),
        lambda: value(rows.next_obs, *others),
        unless=jnp.any(cut_off),
    )
