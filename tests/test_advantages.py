import jax.numpy as jnp
import numpy as np
import pytest

import a2c_jax as a2c

DISCOUNT = 0.9


def stream(seed, length=40):
    """Random rewards, flags and values with v'ₜ = vₜ₊₁ inside an episode, as in a rollout."""
    rng = np.random.default_rng(seed)
    rewards, values, next_values = rng.normal(size=(3, length))
    terminated, truncated = rng.random((2, length)) < 0.1
    ended = terminated | truncated
    inside = ~ended[:-1]
    next_values[:-1][inside] = values[1:][inside]
    return rewards, DISCOUNT * (1.0 - terminated), 1.0 - ended, values, next_values


def discounted_sum(terms, factors):
    """The sum of each row and all later ones, by a loop."""
    sums, later = np.zeros(len(terms)), 0.0
    for t in reversed(range(len(terms))):
        later = sums[t] = terms[t] + factors[t] * later
    return sums


def as_float32(arrays):
    return [jnp.asarray(array, jnp.float32) for array in arrays]


@pytest.mark.parametrize(
    ("estimator", "lambda_"),
    [(a2c.gae(lambda_), lambda_) for lambda_ in (0.0, 0.3, 0.95, 1.0)]
    + [(a2c.td_actor_critic, 0.0), (a2c.n_step, 1.0)],
)
def test_advantages_are_discounted_sums_of_td_errors(estimator, lambda_):
    rewards, discounts, continues, values, next_values = arrays = stream(0)
    want = discounted_sum(
        rewards + discounts * next_values - values, lambda_ * discounts * continues
    )
    got = estimator(*as_float32(arrays))
    np.testing.assert_allclose(got.advantages, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got.targets, want + values, rtol=1e-4, atol=1e-5)


def test_reinforce_sees_rewards_only():
    rewards, discounts, continues, values, next_values = arrays = stream(2)
    got = a2c.reinforce(*as_float32(arrays))
    other = a2c.reinforce(*as_float32((*arrays[:3], values + 5, next_values - 7)))
    np.testing.assert_array_equal(got.advantages, other.advantages)
    want = discounted_sum(rewards, discounts * continues)
    np.testing.assert_allclose(got.advantages, want, rtol=1e-4, atol=1e-5)


def test_a_baseline_is_only_subtracted():
    arrays = as_float32(stream(3))
    plain, based = a2c.reinforce(*arrays), a2c.reinforce_with_baseline(*arrays)
    np.testing.assert_allclose(based.advantages, plain.advantages - arrays[3], rtol=1e-6)
    np.testing.assert_array_equal(based.targets, plain.targets)


def test_normalize():
    got = a2c.normalize(jnp.array([[1.0, 2.0], [3.0, 6.0]]))
    np.testing.assert_allclose(np.mean(got), 0.0, atol=1e-6)
    np.testing.assert_allclose(np.std(got), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(a2c.normalize(jnp.full(4, 3.0)), np.zeros(4))


@pytest.mark.parametrize("lambda_", [-0.1, 1.1, float("nan")])
def test_lambda_outside_0_1_is_refused(lambda_):
    with pytest.raises(ValueError, match="lambda_ is"):
        a2c.gae(lambda_)


def test_misshaped_values_are_named():
    ones = jnp.ones(3)
    with pytest.raises(ValueError, match="values has shape"):
        a2c.n_step(ones, ones, ones, jnp.ones((3, 1)), ones)
