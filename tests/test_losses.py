"""Gradients, successors and schedules; test_fuzz.py compares each loss with its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import a2c_jax as a2c


def some_transitions(dtype=jnp.float32):
    """Random CartPole-shaped transitions [6, 3] with endings of every kind."""
    rng = np.random.default_rng(0)
    obs, next_obs = rng.normal(size=(2, 6, 3, 4))
    terminated, truncated = rng.random((2, 6, 3)) < 0.25
    return a2c.Transition(
        obs=jnp.asarray(obs, dtype),
        action=jnp.asarray(rng.integers(0, 2, (6, 3))),
        reward=jnp.asarray(rng.normal(size=(6, 3)), dtype),
        terminated=jnp.asarray(terminated),
        truncated=jnp.asarray(truncated),
        next_obs=jnp.asarray(next_obs, dtype),
    )


@pytest.fixture(scope="module")
def network(cartpole):
    # Larger heads than the default's, so that every gradient is well away from zero.
    init = a2c.orthogonal(1.0)
    return a2c.mlp_actor_critic(cartpole, (8,), hidden_init=init, policy_init=init, value_init=init)


@pytest.fixture(scope="module")
def params(network):
    return jax.jit(network.init)(jax.random.key(0))


def leaky(rewards, discounts, continues, values, next_values):
    """An estimator that stops no gradient, as the loss must."""
    advantages = a2c.gae(0.7)(rewards, discounts, continues, values, next_values).advantages
    return a2c.AdvantageEstimate(advantages * next_values, advantages + 10.0 * values)


def test_the_gradient_is_that_of_finite_differences_with_constant_targets(network, params):
    with jax.enable_x64(True):
        flat, unravel = jax.flatten_util.ravel_pytree(
            jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
        )
        transitions = some_transitions(jnp.float64)

        def loss(flat, estimator):
            return a2c.actor_critic_loss(
                unravel(flat), network, transitions, discount=0.9, value_coef=0.5,
                entropy_coef=0.1, estimator=estimator,
            )[0]  # fmt: skip

        @jax.jit
        def slopes_and_gradient(flat):
            # Advantages and targets are constants of the loss, so they are here as well.
            constant = leaky(
                transitions.reward,
                0.9 * (1.0 - transitions.terminated),
                1.0 - (transitions.terminated | transitions.truncated),
                network.value(unravel(flat), transitions.obs),
                network.value(unravel(flat), transitions.next_obs),
            )
            steps = 1e-6 * jnp.eye(flat.size)
            losses = jax.vmap(lambda step: loss(flat + step, lambda *arrays: constant))
            slopes = (losses(steps) - losses(-steps)) / 2e-6
            return slopes, jax.grad(loss)(flat, leaky)

        slopes, gradient = slopes_and_gradient(flat)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-9)


@pytest.fixture(scope="module")
def targets(network, params):
    """The targets rₜ + dₜ v'ₜ for transitions."""
    settings = {"discount": 0.9, "estimator": a2c.td_actor_critic}
    return jax.jit(lambda rows: a2c.actor_critic_loss(params, network, rows, **settings)[1].targets)


@pytest.mark.parametrize("limits", [[], [2], [5], [0, 4, 5]])
def test_a_fall_has_no_future_and_a_time_limit_that_of_its_true_successor(
    network, params, targets, limits
):
    """Time limits in some rows of one environment, at which others fall or go on."""
    rows, (falls, cut_off) = some_transitions(), np.zeros((2, 6, 3), bool)
    cut_off[limits, 1] = falls[[1, 2, 5], 0] = True
    for truncated in (cut_off, cut_off | falls):  # a fall at a time limit is a fall
        ended = (falls | truncated)[:-1, :, None]
        obs = rows.obs.at[1:].set(jnp.where(ended, rows.obs[1:], rows.next_obs[:-1]))
        given = rows._replace(obs=obs, terminated=jnp.array(falls), truncated=jnp.array(truncated))
        next_values = np.asarray(network.value(params, rows.next_obs))
        expected = rows.reward + np.where(falls, 0.0, 0.9 * next_values)
        np.testing.assert_allclose(targets(given), expected, rtol=1e-5, atol=1e-6)


def test_a_schedule_weighs_the_entropy_by_the_number_of_updates():
    unrolled = a2c.Unrolled(*[jnp.full((6, 3), 0.7)] * 5)
    loss = a2c.combined_loss(0.9, a2c.n_step, value_coef=0.5, entropy_coef=lambda n: 0.1 / (1 + n))
    for update, weight in ((0, 0.1), (4, 0.02)):
        rollout = a2c.Rollout(some_transitions(), update=jnp.int32(update))
        total, terms = loss(unrolled, rollout)
        np.testing.assert_allclose(terms.entropy, 0.7, rtol=1e-6)
        np.testing.assert_allclose(
            total, terms.policy_loss + 0.5 * terms.value_loss - weight * 0.7, rtol=1e-6
        )
    with pytest.raises(ValueError, match=r"^rollout\.update is None; give"):
        loss(unrolled, a2c.Rollout(some_transitions()))
