import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import a2c_jax as a2c

DISCOUNT = 0.9


def oracle(rewards, terminated, truncated, next_values, lambda_):
    """The λ-return case by case, in float64, for one stream."""
    returns = np.zeros(len(rewards))
    for t in reversed(range(len(rewards))):
        if terminated[t]:
            returns[t] = rewards[t]
        elif truncated[t] or t == len(rewards) - 1:
            returns[t] = rewards[t] + DISCOUNT * next_values[t]
        else:
            blend = (1 - lambda_) * next_values[t] + lambda_ * returns[t + 1]
            returns[t] = rewards[t] + DISCOUNT * blend
    return returns


@jax.jit
def computed(rewards, terminated, truncated, next_values, lambda_):
    discounts = DISCOUNT * (1.0 - terminated)
    continues = 1.0 - (terminated | truncated)
    return a2c.lambda_returns(rewards, discounts, continues, next_values, lambda_)


@settings(max_examples=600, deadline=None)
@given(
    length=st.integers(1, 12),
    lambda_=st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1, width=32)),
    ending=st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    seed=st.integers(0, 2**32 - 1),
)
def test_lambda_returns_equal_a_float64_loop(length, lambda_, ending, seed):
    rng = np.random.default_rng(seed)
    rewards, values = rng.normal(0, 5, (2, length)).astype(np.float32)
    terminated, truncated = rng.random((2, length)) < ending
    got = computed(rewards, terminated, truncated, values, lambda_)
    want = oracle(rewards.astype(float), terminated, truncated, values.astype(float), lambda_)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4)


def test_discounted_returns_by_hand():
    # G2 = 3 + 0.5 * 10 = 8;  G1 = 2 + 0 * 8 = 2 (the step terminated);  G0 = 1 + 0.5 * 2 = 2
    returns = a2c.discounted_returns(
        jnp.array([1.0, 2.0, 3.0]), jnp.array([0.5, 0.0, 0.5]), jnp.array(10.0)
    )
    np.testing.assert_array_equal(returns, [2.0, 2.0, 8.0])


def test_trailing_axes_vmap_and_eager_agree():
    rng = np.random.default_rng(2)
    rewards, values = jnp.asarray(rng.normal(size=(2, 7, 5)), jnp.float32)
    terminated, truncated = jnp.asarray(rng.random((2, 7, 5)) < 0.2)
    whole = computed(rewards, terminated, truncated, values, 0.8)
    mapped = jax.vmap(computed, (1, 1, 1, 1, None), 1)(rewards, terminated, truncated, values, 0.8)
    np.testing.assert_allclose(whole, mapped, rtol=1e-5, atol=1e-6)
    with jax.disable_jit():
        eager = computed(rewards, terminated, truncated, values, 0.8)
    np.testing.assert_allclose(whole, eager, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((jnp.ones(3), jnp.ones(4), jnp.ones(3), jnp.ones(3), 1.0), "discounts"),
        ((jnp.ones(3), jnp.ones(3), jnp.ones((3, 1)), jnp.ones(3), 1.0), "continues"),
        ((jnp.ones(3), jnp.ones(3), jnp.ones(3), jnp.ones(2), 1.0), "next_values"),
        ((jnp.ones(()), jnp.ones(()), jnp.ones(()), jnp.ones(()), 1.0), "rewards"),
        ((jnp.ones(3), jnp.ones(3), jnp.ones(3), jnp.ones(3), 1.5), "lambda_"),
        ((jnp.ones(3), jnp.ones(3), jnp.ones(3), jnp.ones(3), float("nan")), "lambda_"),
    ],
)
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=f"^{named} ") as error:
        a2c.lambda_returns(*arguments)
    assert "\n" not in str(error.value)


def test_a_misshaped_bootstrap_value_is_named():
    with pytest.raises(ValueError, match="bootstrap_value has shape"):
        a2c.discounted_returns(jnp.ones((3, 2)), jnp.ones((3, 2)), jnp.ones(3))
