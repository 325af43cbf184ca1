"""Synchronous advantage actor-critic: collect, estimate, update."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from a2c_jax import checks
from a2c_jax.advantages import n_step
from a2c_jax.environments import num_actions
from a2c_jax.losses import actor_critic_loss
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
)


class ActorCriticState(NamedTuple):
    """All that continues from one update to the next.

    Attributes:
        params: of the network.
        opt_state: of the optimizer.
        env_state: where the N environments stand, ``[N, ...]``.
        obs: what is observed there, ``[N, ...]``.
        episodes: the episodes under way.
        key: one key for the whole run; never changes.
        update: number of updates done; the randomness of an update is
            ``fold_in(key, update)``, so a run that is cut in two gives the same numbers.
    """

    params: Params
    opt_state: optax.OptState
    env_state: EnvState
    obs: jax.Array
    episodes: OpenEpisodes
    key: Key
    update: jax.Array


class LossSettings(NamedTuple):
    """The numbers in the loss that all actor-critics share; see :func:`actor_critic`."""

    discount: Scalar
    value_coef: Scalar
    entropy_coef: Scalar
    normalize_advantages: bool


def actor_critic(
    env: Environment,
    network: Network,
    optimizer: optax.GradientTransformation,
    *,
    num_envs: int,
    num_steps: int,
    discount: Scalar = 0.99,
    estimator: Estimator = n_step,
    value_coef: Scalar = 0.5,
    entropy_coef: Scalar = 0.0,
    normalize_advantages: bool = False,
) -> Algorithm:
    """Advantage actor-critic, and with other estimators every state-value method.

    An update lets the policy act for ``num_steps`` steps in each of ``num_envs``
    environments, then takes one step of the optimizer on
    :func:`a2c_jax.actor_critic_loss`.

    Args:
        env: the environment.
        network: policy and value functions.
        optimizer: any optax transformation; chain
            ``optax.clip_by_global_norm`` before it to clip gradients.
        num_envs: environments, N.
        num_steps: steps of a rollout, T.
        discount: in [0, 1]; a number or a traced scalar, as are the coefficients.
        estimator: see :mod:`a2c_jax.advantages`.
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy.
        normalize_advantages: whether to normalise advantages over the rollout.

    Raises:
        ValueError: if an argument lies outside its range.

    Source: the article, "Implementing A2C"; Mnih et al. (2016).
    """
    require_state_values(network)
    settings = LossSettings(discount, value_coef, entropy_coef, normalize_advantages)
    check_arguments(env, num_envs, num_steps, settings)
    loss = functools.partial(
        actor_critic_loss, network=network, estimator=estimator, **settings._asdict()
    )

    def init(key: Key) -> ActorCriticState:
        params_key, env_key, run_key = jax.random.split(key, 3)
        params = network.init(params_key)
        env_state, obs = reset_envs(env_key, env, num_envs)
        return ActorCriticState(
            params=params,
            opt_state=optimizer.init(params),
            env_state=env_state,
            obs=obs,
            episodes=open_episodes(num_envs),
            key=run_key,
            update=jnp.zeros((), jnp.int32),
        )

    def step(state: ActorCriticState) -> tuple[ActorCriticState, Metrics]:
        def policy(obs: jax.Array) -> jax.Array:
            return network.policy(state.params, obs)

        key = jax.random.fold_in(state.key, state.update)
        env_state, obs, transitions = rollout(
            key, policy, env, state.env_state, state.obs, num_steps
        )
        grads, terms = jax.grad(loss, has_aux=True)(state.params, transitions=transitions)
        params, opt_state = descend(optimizer, grads, state.opt_state, state.params)
        episodes, finished = count_episodes(state.episodes, transitions)
        state = ActorCriticState(
            params=params,
            opt_state=opt_state,
            env_state=env_state,
            obs=obs,
            episodes=episodes,
            key=state.key,
            update=state.update + 1,
        )
        return state, update_metrics(finished, terms, optax.tree.norm(grads))

    return Algorithm(init, step, steps_per_update=num_envs * num_steps)


def check_arguments(
    env: Environment, num_envs: int, num_steps: int, settings: LossSettings
) -> None:
    """Raises ValueError if an argument that all actor-critics share lies outside its range."""
    num_actions(env)
    checks.positive_int("num_envs", num_envs)
    checks.positive_int("num_steps", num_steps)
    checks.unit_interval("discount", settings.discount)
    checks.not_negative("value_coef", settings.value_coef)
    checks.not_negative("entropy_coef", settings.entropy_coef)
    if settings.normalize_advantages and num_envs * num_steps == 1:
        raise ValueError(
            "normalize_advantages is True, but num_envs * num_steps is 1 and a single advantage "
            "would always become 0; give more steps, or False."
        )


def descend(
    optimizer: optax.GradientTransformation,
    grads: Params,
    opt_state: optax.OptState,
    params: Params,
) -> tuple[Params, optax.OptState]:
    """One step of the optimizer: ``(params, opt_state)`` after it."""
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state
