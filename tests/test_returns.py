"""Against definitions in float64; test_fuzz.py compares eager calls and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import a2c_jax as a2c

DISCOUNT = 0.9


def by_cases(rewards, terminated, truncated, next_values, lambda_):
    """The λ-return of one stream, case by case."""
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


@pytest.mark.parametrize("length", [1, 2, 12, 33])
def test_lambda_returns_of_many_streams_equal_a_float64_loop(length):
    rng = np.random.default_rng(length)
    rewards, values = rng.normal(0, 5, (2, length, 200))
    ending = rng.choice([0.0, 0.1, 0.5, 0.9], 200)
    terminated, truncated = flags = rng.random((2, length, 200)) < ending
    for lambda_ in (0.0, 0.3, 1.0):
        arrays = (jnp.float32(rewards), *flags, jnp.float32(values), lambda_)
        streams = np.stack((rewards, terminated, truncated, values), axis=-1).swapaxes(0, 1)
        expected = [by_cases(*stream.T, lambda_) for stream in streams]
        np.testing.assert_allclose(computed(*arrays).T, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("shapes", "sentence"),
    [
        ([3, 4, 3, 3], r"^discounts has shape \(4,\), but rewards has \(3,\); .*\.$"),
        ([(), (), (), ()], r"^rewards has shape \(\); give it a leading time axis"),
    ],
)
def test_misshaped_arrays_are_named(shapes, sentence):
    with pytest.raises(ValueError, match=sentence):
        a2c.lambda_returns(*map(jnp.ones, shapes), 1.0)
