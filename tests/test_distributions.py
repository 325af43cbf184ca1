import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

import a2c_jax as a2c

THREE = a2c.categorical(3)


def test_samples_have_the_softmax_frequencies():
    count, logits = 100_000, np.array([0.5, -1.0, 2.0], np.float32)
    noise = THREE.noise(jax.random.key(0), (count,))
    frequencies = np.bincount(THREE.sample(jnp.tile(logits, (count, 1)), noise)) / count
    probs = softmax(logits)
    assert np.all(np.abs(frequencies - probs) < 4 * np.sqrt(probs * (1 - probs) / count))


@jax.jit
def computed(logits):
    """The mode, its log-probability, the entropy, and the gradients of the latter two."""
    mode = THREE.mode(logits)
    scores = THREE.log_prob(logits, mode), THREE.entropy(logits)
    gradients = jax.grad(THREE.log_prob)(logits, mode), jax.grad(THREE.entropy)(logits)
    return mode, *scores, *gradients


INF = np.inf


@pytest.mark.parametrize(
    "logits",
    [
        [0.5, -1.0, 2.0], [1e4, 0.0, -1e4], [0.5, -INF, 2.0], [-INF, -INF, 3.0],
        [-3e38, -INF, -INF], [3e38, -INF, 0.0],
    ],
)  # fmt: skip
def test_extreme_and_masked_logits_have_exact_scores_and_finite_gradients(logits):
    probs = softmax(logits)
    possible = probs > 0
    logs = np.log(probs, where=possible, out=np.zeros(3))
    entropy = -np.sum(probs * logs)
    mode, log_prob, *others = computed(jnp.array(logits))
    assert mode == np.argmax(probs)
    np.testing.assert_allclose(log_prob, logs[mode], rtol=1e-5)
    # Of the entropy, dH/dl_i = -p_i (log p_i + H).
    expected = entropy, np.eye(3)[mode] - probs, -probs * (logs + entropy)
    for one, other in zip(others, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_an_action_that_is_none_is_shown():
    with pytest.raises(ValueError, match="actions holds 7; give integers from 0 to 2"):
        a2c.policy_loss(jnp.zeros((3, 3)), jnp.array([0, 1, 7]), jnp.ones(3))
