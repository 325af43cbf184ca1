import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy

import a2c_jax as a2c

LOGITS = jnp.array([0.5, -1.0, 2.0])
THREE = a2c.categorical(3)
PROBS = np.exp(np.array([0.5, -1.0, 2.0])) / np.exp([0.5, -1.0, 2.0]).sum()


def test_samples_have_the_softmax_frequencies():
    count = 100_000
    logits = jnp.tile(LOGITS, (count, 1))
    noise = THREE.noise(jax.random.key(0), (count,))
    frequencies = np.bincount(THREE.sample(logits, noise), minlength=3) / count
    error = np.sqrt(PROBS * (1 - PROBS) / count)
    assert np.all(np.abs(frequencies - PROBS) < 4 * error)


def test_log_prob_entropy_and_mode():
    log_probs = [THREE.log_prob(LOGITS, jnp.array(action)) for action in range(3)]
    np.testing.assert_allclose(np.exp(log_probs), PROBS, rtol=1e-5)
    np.testing.assert_allclose(THREE.entropy(LOGITS), -np.sum(PROBS * np.log(PROBS)), rtol=1e-5)
    assert THREE.mode(LOGITS) == 2


def test_extreme_logits_stay_finite():
    logits = jnp.array([1e4, 0.0, -1e4])

    def score(logits):
        return THREE.log_prob(logits, jnp.array(0)) + THREE.entropy(logits)

    value, gradient = jax.value_and_grad(score)(logits)
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize(
    "logits",
    [[0.5, -np.inf, 2.0], [-np.inf, -np.inf, 3.0], [-3e38, -np.inf, -np.inf], [3e38, -np.inf, 0.0]],
)
def test_masked_actions_have_probability_zero_and_finite_gradients(logits):
    logits = jnp.array(logits)
    probs = scipy.special.softmax(np.asarray(logits, np.float64))
    allowed = probs > 0
    expected = -np.sum(probs[allowed] * np.log(probs[allowed]))
    np.testing.assert_allclose(THREE.entropy(logits), expected, rtol=1e-6, atol=1e-7)
    slope = np.zeros(3)  # dH/dl_i = -p_i (log p_i + H)
    slope[allowed] = -probs[allowed] * (np.log(probs[allowed]) + expected)
    np.testing.assert_allclose(jax.grad(THREE.entropy)(logits), slope, rtol=1e-5, atol=1e-6)
    action = jnp.asarray(np.argmax(probs))
    gradient = jax.grad(lambda logits: THREE.log_prob(logits, action))(logits)
    np.testing.assert_allclose(gradient, np.eye(3)[action] - probs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("actions", "sentence"),
    [
        ([0, 1, 7], "actions holds 7; give integers from 0 to 2"),
        ([0, -1, 1], "actions holds -1; give integers from 0 to 2"),
        ([0.5, 1.0, 1.0], "actions has the type float32; give integers"),
    ],
)
def test_actions_that_are_none_are_refused(actions, sentence):
    with pytest.raises(ValueError, match=sentence):
        a2c.policy_loss(jnp.zeros((3, 3)), jnp.array(actions), jnp.ones(3))
