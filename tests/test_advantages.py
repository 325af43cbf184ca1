"""Against sums of TD errors; test_fuzz.py compares every estimator with its definition."""

import jax.numpy as jnp
import numpy as np
import pytest

import a2c_jax as a2c


@pytest.mark.parametrize(
    ("estimator", "lambda_"), [(a2c.gae(0.3), 0.3), (a2c.td_actor_critic, 0.0), (a2c.n_step, 1.0)]
)
def test_advantages_are_discounted_sums_of_td_errors(estimator, lambda_):
    """Within an episode v'ₜ = vₜ₊₁, as in a rollout."""
    rng = np.random.default_rng(0)
    rewards, values, next_values = rng.normal(size=(3, 40))
    terminated, truncated = rng.random((2, 40)) < 0.1
    discounts, continues = 0.9 * (1.0 - terminated), 1.0 - (terminated | truncated)
    next_values[:-1] = np.where(continues[:-1], values[1:], next_values[:-1])
    expected, later = rewards + discounts * next_values - values, 0.0
    for t in reversed(range(40)):
        later = expected[t] = expected[t] + lambda_ * discounts[t] * continues[t] * later
    arrays = (rewards, discounts, continues, values, next_values)
    got = estimator(*(jnp.asarray(array, jnp.float32) for array in arrays))
    np.testing.assert_allclose(got.advantages, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got.targets, expected + values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16])
def test_equal_advantages_are_normalized_to_0_and_a_single_one_is_refused(dtype):
    np.testing.assert_array_equal(a2c.normalize(jnp.full(4, 3.0, dtype)), np.zeros(4))
    with pytest.raises(ValueError, match=r"^normalized_advantages is given a single adv.*\.$"):
        a2c.normalized_advantages(a2c.n_step)(*[jnp.ones((1, 1), dtype)] * 5)
