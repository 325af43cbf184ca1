"""Q actor-critic: the article's Algorithm 1, with a critic that values actions."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from a2c_jax import record_checks
from a2c_jax.advantages import sarsa
from a2c_jax.agents import AnyNetwork, feed_forward
from a2c_jax.algorithms.learner import learner
from a2c_jax.collectors import rollouts
from a2c_jax.distributions import categorical
from a2c_jax.keys import Stream, stream
from a2c_jax.losses import combined_loss
from a2c_jax.rollout import RolloutNoise, draw_noise, draw_starts, scan_steps, select, start_of
from a2c_jax.types import (
    Actors,
    Agent,
    AgentState,
    Algorithm,
    Collector,
    Environment,
    Estimator,
    Key,
    Network,
    Params,
    Rollout,
    Scalar,
    Transition,
)


def q_actor_critic(
    env: Environment,
    network: AnyNetwork,
    optimizer: optax.GradientTransformation,
    *,
    num_envs: int,
    num_steps: int,
    discount: Scalar = 0.99,
    estimator: Estimator = sarsa,
    expected: bool = False,
    value_coef: Scalar = 0.5,
    entropy_coef: Scalar | optax.Schedule = 0.0,
    num_resets: int | None = None,
) -> Algorithm:
    """Q actor-critic: the policy gradient is weighted by Q(s, a), which TD(0) learns.

    The loss is :func:`a2c_jax.combined_loss`, as for every method, with the values of actions:
    ``vₜ = Q(sₜ, aₜ)`` and ``v'ₜ = Q(s'ₜ, a'ₜ)``. The bootstrap is the value of the action that is
    actually taken next, which is drawn before the update. With one environment, one step, SGD and
    ``value_coef=0.5`` this is the article's online algorithm; its α_θ and α_w are the rates of
    ``"policy"`` and ``"value"`` in ``optax.partition``.

    The other arguments, and the errors, are those of :func:`a2c_jax.actor_critic`.

    Args:
        env: an environment with discrete actions.
        network: policy and action values, such as :func:`a2c_jax.mlp_q_actor_critic`, or an agent
            of :func:`action_values`, without a memory.
        optimizer: any optax transformation.
        expected: bootstrap from the expectation over the policy, ``Σ_a π(a|s'ₜ) Q(s'ₜ, a)``,
            instead of one action. It has the same mean and less variance (expected SARSA).

    Source: the article, "Algorithm 1 Q Actor Critic"; van Seijen et al. (2009) for expected.
    """
    agent = checked_action_values(env, network, num_envs, expected=expected)
    collector = sarsa_rollouts(env, agent, num_envs, num_steps, num_resets)
    loss = combined_loss(discount, estimator, value_coef=value_coef, entropy_coef=entropy_coef)
    return learner(agent, collector, loss, optimizer)


def checked_action_values(
    env: Environment, network: AnyNetwork, num_envs: int, *, expected: bool
) -> Agent:
    """As :func:`action_values`, but checks the network first; returns an agent unchanged.

    Raises:
        ValueError: if actions are not discrete, the network's outputs have the wrong shape, or it
            has a memory.
    """
    record_checks.no_memory(network, "q_actor_critic")
    if isinstance(network, Agent):
        return network
    num_actions = record_checks.discrete(env)
    record_checks.network(env, network, num_envs, num_actions, values=(num_actions,))
    plain: Any = network
    return action_values(plain, num_actions, expected=expected)


def action_values(network: Network, num_actions: int, *, expected: bool = False) -> Agent:
    """An agent whose values are Q(s, a) of the actions taken.

    It unrolls rollouts of :func:`sarsa_rollouts`, whose ``memory`` holds the next actions. With
    ``expected`` the next values are expectations over the policy.
    """

    def critic(network: Network, params: Params, rollout: Rollout) -> tuple[jax.Array, jax.Array]:
        transitions = rollout.transitions
        next_action_values = network.value(params, transitions.next_obs)
        if expected:
            next_probs = jax.nn.softmax(network.policy(params, transitions.next_obs))
            next_values = jnp.sum(next_probs * next_action_values, axis=-1)
        else:
            next_values = of_action(next_action_values, rollout.memory)
        return of_action(network.value(params, transitions.obs), transitions.action), next_values

    return feed_forward(network, categorical(num_actions), critic)


def sarsa_rollouts(
    env: Environment, agent: Agent, num_envs: int, num_steps: int, num_resets: int | None = None
) -> Collector:
    """Collects rollouts in which every step also draws the next action.

    Each step takes the action that the previous step drew, ``a <- a'``. The last action drawn is
    taken in the next rollout; it is the ``memory`` of the actors, ``[N]``. The ``memory`` of the
    rollout is a' of every true successor, ``[T, N]``: where an episode continues, the action of
    the next row; where one was truncated, an action that is never taken.

    Arguments and errors are those of :func:`a2c_jax.rollouts`.

    Source: the article, "Algorithm 1 Q Actor Critic".
    """
    plain = rollouts(env, agent, num_envs, num_steps, num_resets)

    def init(key: Key, state: AgentState) -> Actors:
        actors = plain.init(key, state)
        first_key = stream(stream(key, Stream.UPDATES), Stream.FIRST_ACTION)
        noise = agent.noise(first_key, (num_envs,))
        return actors._replace(memory=agent.act(state, (), actors.obs, noise)[1])

    def collect(key: Key, state: AgentState, actors: Actors) -> tuple[Actors, Rollout]:
        noise_key, first_key = jax.random.split(key)
        starts, pool = draw_starts(noise_key, env, num_steps, num_envs, num_resets)
        first_noise = agent.noise(first_key, (num_steps, num_envs))
        _, first_actions = agent.act(state, (), start_of(starts, pool)[1], first_noise)

        def follow(noise: RolloutNoise, transition: Transition, after: Actors) -> tuple:
            _, next_action = agent.act(state, (), transition.next_obs, noise.action)
            row, first_actions = noise.start
            env_state, obs = start_of(row, pool)
            start = Actors(env_state, obs, first_actions)
            ended = transition.terminated | transition.truncated
            after = select(ended, start, after._replace(memory=next_action))
            return after, (transition, next_action)

        noise = draw_noise(noise_key, agent.noise, num_steps, num_envs)
        actors, (transitions, next_actions) = scan_steps(
            env,
            lambda action, obs, noise: (action, action),
            follow,
            actors,
            noise._replace(start=(starts, first_actions)),
        )
        return actors, Rollout(transitions, next_actions)

    return plain._replace(init=init, collect=collect)


def of_action(action_values: jax.Array, actions: jax.Array) -> jax.Array:
    """Selects the values of actions ``[...]`` from those of all actions, ``[..., A]``."""
    return jnp.take_along_axis(action_values, actions[..., None], axis=-1)[..., 0]
