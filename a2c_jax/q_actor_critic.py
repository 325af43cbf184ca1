"""Q actor-critic: the article's Algorithm 1, with a critic of actions."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from a2c_jax import checks
from a2c_jax.actor_critic import LossSettings, check_arguments, descend
from a2c_jax.distributions import categorical
from a2c_jax.losses import LossTerms, combined_loss
from a2c_jax.metrics import OpenEpisodes, count_episodes, open_episodes, update_metrics
from a2c_jax.networks import require_action_values
from a2c_jax.rollout import reset_envs, rollout_with_next_action
from a2c_jax.types import (
    AdvantageEstimate,
    Algorithm,
    Environment,
    EnvState,
    Key,
    Metrics,
    Params,
    QNetwork,
    Scalar,
    Transition,
)

_BEFORE_ALL_UPDATES = 2**32 - 1  # no update has this number


class QActorCriticState(NamedTuple):
    """As :class:`a2c_jax.ActorCriticState`, and what to do next.

    Attributes:
        action: the action that the last step drew and the next one takes, ``[N]``.
    """

    params: Params
    opt_state: optax.OptState
    env_state: EnvState
    obs: jax.Array
    action: jax.Array
    episodes: OpenEpisodes
    key: Key
    update: jax.Array


def q_actor_critic(
    env: Environment,
    network: QNetwork,
    optimizer: optax.GradientTransformation,
    *,
    num_envs: int,
    num_steps: int,
    discount: Scalar = 0.99,
    expected: bool = False,
    value_coef: Scalar = 0.5,
    entropy_coef: Scalar = 0.0,
    normalize_advantages: bool = False,
) -> Algorithm:
    """Q actor-critic: the policy gradient is weighted by Q(s, a), which TD(0) learns.

    An update takes ``num_steps`` steps in each of ``num_envs`` environments, then one step of
    the optimizer on :func:`q_actor_critic_loss`. The bootstrap is the value of the action
    that is really taken next, drawn before the update. With one environment and one step, SGD
    and ``value_coef=0.5`` this is the article's online algorithm, whose α_θ and α_w are the
    rates of ``"policy"`` and ``"value"`` in ``optax.partition``.

    Args:
        env: the environment.
        network: policy and action values, such as :func:`a2c_jax.mlp_q_actor_critic`.
        optimizer: any optax transformation.
        num_envs: environments, N.
        num_steps: steps of a rollout, T.
        discount: in [0, 1]; a number or a traced scalar, as are the coefficients.
        expected: bootstrap from the expectation over the policy instead of one action.
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy.
        normalize_advantages: whether to normalise Q(s, a) over the rollout.

    Raises:
        ValueError: if the network has no action values, or an argument lies outside its range.

    Source: the article, "Algorithm 1 Q Actor Critic".
    """
    require_action_values(network)
    settings = LossSettings(discount, value_coef, entropy_coef, normalize_advantages)
    check_arguments(env, num_envs, num_steps, settings)
    loss = functools.partial(
        q_actor_critic_loss, network=network, expected=expected, **settings._asdict()
    )

    def init(key: Key) -> QActorCriticState:
        params_key, env_key, run_key = jax.random.split(key, 3)
        params = network.init(params_key)
        env_state, obs = reset_envs(env_key, env, num_envs)
        noise_key = jax.random.fold_in(run_key, _BEFORE_ALL_UPDATES)
        logits = network.policy(params, obs)
        return QActorCriticState(
            params=params,
            opt_state=optimizer.init(params),
            env_state=env_state,
            obs=obs,
            action=categorical.sample(logits, categorical.noise(noise_key, logits.shape)),
            episodes=open_episodes(num_envs),
            key=run_key,
            update=jnp.zeros((), jnp.int32),
        )

    def step(state: QActorCriticState) -> tuple[QActorCriticState, Metrics]:
        def policy(obs: jax.Array) -> jax.Array:
            return network.policy(state.params, obs)

        key = jax.random.fold_in(state.key, state.update)
        env_state, obs, action, transitions, next_actions = rollout_with_next_action(
            key, policy, env, state.env_state, state.obs, state.action, num_steps
        )
        grads, terms = jax.grad(loss, has_aux=True)(
            state.params, transitions=transitions, next_actions=next_actions
        )
        params, opt_state = descend(optimizer, grads, state.opt_state, state.params)
        episodes, finished = count_episodes(state.episodes, transitions)
        state = QActorCriticState(
            params=params,
            opt_state=opt_state,
            env_state=env_state,
            obs=obs,
            action=action,
            episodes=episodes,
            key=state.key,
            update=state.update + 1,
        )
        return state, update_metrics(finished, terms, optax.tree.norm(grads))

    return Algorithm(init, step, steps_per_update=num_envs * num_steps)


def q_actor_critic_loss(
    params: Params,
    network: QNetwork,
    transitions: Transition,
    next_actions: jax.Array,
    *,
    discount: Scalar,
    expected: bool = False,
    value_coef: Scalar = 0.5,
    entropy_coef: Scalar = 0.0,
    normalize_advantages: bool = False,
) -> tuple[jax.Array, LossTerms]:
    """The combined loss of Q actor-critic.

    ``-mean(log π(aₜ|sₜ) Q(sₜ, aₜ)) + value_coef * mean(δₜ²) + entropy_coef * entropy_loss`` with
    ``δₜ = rₜ + dₜ Q(s'ₜ, a'ₜ) - Q(sₜ, aₜ)`` and dₜ = discount * (1 - terminatedₜ). Weights and
    targets are constants: no gradient flows through them.

    Args:
        params: parameters of ``network``.
        network: policy and action values.
        transitions: ``[T, N, ...]``.
        next_actions: a'ₜ, drawn from the policy at the true successor, ``[T, N]``.
        discount: in [0, 1].
        expected: take ``Σ_a π(a|s'ₜ) Q(s'ₜ, a)`` instead of ``Q(s'ₜ, a'ₜ)``: the same mean, less
            variance (expected SARSA).
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy.
        normalize_advantages: whether to :func:`a2c_jax.normalize` Q(sₜ, aₜ) over the rollout.

    Returns:
        The loss, and its terms.

    Raises:
        ValueError: if ``next_actions`` has not the shape of the actions.

    Source: the article, "Algorithm 1 Q Actor Critic"; van Seijen et al. (2009) for expected.
    """
    checks.same_shape("transitions.action", transitions.action, next_actions=next_actions)
    logits = network.policy(params, transitions.obs)
    values = of_action(network.action_values(params, transitions.obs), transitions.action)
    next_action_values = network.action_values(params, transitions.next_obs)
    if expected:
        next_probs = jax.nn.softmax(network.policy(params, transitions.next_obs))
        next_values = jnp.sum(next_probs * next_action_values, axis=-1)
    else:
        next_values = of_action(next_action_values, next_actions)
    targets = transitions.reward + discount * (1.0 - transitions.terminated) * next_values
    return combined_loss(
        logits,
        transitions.action,
        values,
        jax.lax.stop_gradient(AdvantageEstimate(values, targets)),
        value_coef=value_coef,
        entropy_coef=entropy_coef,
        normalize_advantages=normalize_advantages,
    )


def of_action(action_values: jax.Array, actions: jax.Array) -> jax.Array:
    """The value of the action taken: ``[..., A]`` and ``[...]`` to ``[...]``."""
    return jnp.take_along_axis(action_values, actions[..., None], axis=-1)[..., 0]
