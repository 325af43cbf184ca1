import jax
import jax.numpy as jnp
import numpy as np

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
