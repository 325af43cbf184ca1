"""Agents, made from a network and an action distribution.

To add a memory, a normalisation of observations or an action mask, write a function here that makes
or wraps an :class:`a2c_jax.Agent`.
"""

from typing import Protocol

import jax
import jax.numpy as jnp

from a2c_jax import record_checks
from a2c_jax._devices import shortcut
from a2c_jax.distributions import Distribution, distribution_for
from a2c_jax.types import (
    Agent,
    AgentState,
    Environment,
    Memory,
    Network,
    Noise,
    Observation,
    Params,
    Rollout,
    Transition,
    Unrolled,
)


def as_agent(env: Environment, network: Network | Agent) -> Agent:
    """Makes a feed-forward agent from a network; returns an agent unchanged.

    Raises:
        ValueError: if no distribution supports the action space.
    """
    if isinstance(network, Agent):
        return network
    return feed_forward(network, distribution_for(env.action_space))


def checked_agent(env: Environment, network: Network | Agent, num_envs: int) -> Agent:
    """As :func:`as_agent`, but first checks a network against the environment.

    Raises:
        ValueError: if the network's outputs or values have the wrong shape.
    """
    if not isinstance(network, Agent):
        num_outputs = distribution_for(env.action_space).num_outputs
        record_checks.network(env, network, num_envs, num_outputs)
    return as_agent(env, network)


def as_state(network: Network | Agent, params: Params | AgentState) -> AgentState:
    """The state of :func:`as_agent`, from a network's parameters or from the agent's state."""
    return params if isinstance(network, Agent) else AgentState(params)


class Critic(Protocol):
    """Returns the values of a rollout's rows and of their true successors, each ``[T, N]``."""

    def __call__(
        self, network: Network, params: Params, rollout: Rollout, /
    ) -> tuple[jax.Array, jax.Array]: ...


def state_values(network: Network, params: Params, rollout: Rollout) -> tuple[jax.Array, jax.Array]:
    """Values of states; no gradient flows through the successors' values."""
    values = network.value(params, rollout.transitions.obs)
    fixed = jax.lax.stop_gradient((params, values))
    return values, _next_values(*fixed, network, rollout.transitions)


def feed_forward(
    network: Network, distribution: Distribution, critic: Critic = state_values
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
        outputs = network.policy(state.params, obs)
        distribution.check(outputs)
        if noise is None:
            return memory, distribution.mode(outputs)
        return memory, distribution.sample(outputs, noise)

    def unroll(state: AgentState, rollout: Rollout) -> Unrolled:
        outputs = network.policy(state.params, rollout.transitions.obs)
        distribution.check(outputs)
        log_probs = distribution.log_prob(outputs, rollout.transitions.action)
        values = critic(network, state.params, rollout)
        return Unrolled(outputs, log_probs, distribution.entropy(outputs), *values)

    return Agent(
        init=lambda key: AgentState(network.init(key)),
        memory=lambda num_envs: (),
        noise=distribution.noise,
        act=act,
        unroll=unroll,
        observe=lambda state, rollout: state,
    )


def _next_values(
    params: Params, values: jax.Array, network: Network, transitions: Transition
) -> jax.Array:
    # Unless a time limit cut an episode off, which is rare, a step's successor is the next row,
    # whose value is known; after a termination the value is not used. Saves 7 % of the time on a
    # CPU.
    last = jax.tree.map(lambda x: x[-1:], transitions.next_obs)
    cut_off = transitions.truncated[:-1] & ~transitions.terminated[:-1]
    return shortcut(
        lambda: jnp.concatenate([values[1:], network.value(params, last)]),
        lambda: network.value(params, transitions.next_obs),
        unless=jnp.any(cut_off),
    )
