"""Action masks, against the distribution over the legal actions alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probe_envs import partly_legal

import a2c_jax as a2c

LEGAL = np.array([True, False, True, True, False, True, False, False])


def constant_network(outputs):
    return a2c.Network(
        init=lambda key: outputs,
        policy=lambda params, obs: jnp.broadcast_to(params, (*obs.shape[:-1], params.size)),
        value=lambda params, obs: jnp.zeros(obs.shape[:-1]),
    )


def test_probabilities_entropy_and_gradients_are_those_of_the_legal_actions():
    logits = jnp.linspace(-2.0, 3.0, 8)
    distribution, network = a2c.categorical(8), a2c.masked(constant_network(logits), partly_legal())
    obs = a2c.MaskedObservation(jnp.zeros(8), jnp.asarray(LEGAL))

    def ours(logits, action):
        outputs = network.policy(logits, obs)
        return distribution.log_prob(outputs, action) + 0.3 * distribution.entropy(outputs)

    def renormalised(logits, action):
        probs = jnp.exp(logits) * LEGAL
        probs = probs / probs.sum()
        logs = jnp.log(jnp.where(LEGAL, probs, 1.0))
        return logs[action] - 0.3 * jnp.sum(probs * logs)

    ours, renormalised = (jax.jit(jax.value_and_grad(each)) for each in (ours, renormalised))
    for action in jnp.flatnonzero(LEGAL):
        value, grad = ours(logits, action)
        expected, expected_grad = renormalised(logits, action)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(grad, expected_grad, rtol=1e-4, atol=1e-6)
    outputs = jnp.broadcast_to(network.policy(logits, obs), (10_000, 8))
    drawn = distribution.sample(outputs, distribution.noise(jax.random.key(0), (10_000,)))
    shares = np.bincount(drawn, minlength=8) / 10_000
    np.testing.assert_allclose(shares, jax.nn.softmax(outputs[0]), atol=0.02)
    assert (shares[~LEGAL] == 0).all()


def test_a_mask_that_forbids_everything_forbids_nothing():
    network = a2c.masked(constant_network(jnp.arange(3.0)), partly_legal(3))
    obs = a2c.MaskedObservation(jnp.zeros((2, 3)), jnp.array([[False] * 3, [False, True, False]]))
    outputs = network.policy(jnp.arange(3.0), obs)
    np.testing.assert_array_equal(outputs, [[0, 1, 2], [-np.inf, 1, -np.inf]])


def test_a_mask_of_another_shape_is_refused():
    network = a2c.masked(constant_network(jnp.arange(3.0)), partly_legal(3))
    for mask in (jnp.ones(4, bool), jnp.ones(3)):
        obs = a2c.MaskedObservation(jnp.zeros(3), mask)
        with pytest.raises(ValueError, match=r"^action_mask is .*; give one flag of type bool"):
            network.policy(jnp.arange(3.0), obs)
    with pytest.raises(ValueError, match=r"but a mask needs Discrete or MultiDiscrete actions"):
        a2c.masked(network, a2c.make_env("Pendulum-v1"))


def test_each_of_several_actions_has_a_mask():
    env = partly_legal(5)._replace(action_space=a2c.MultiDiscrete((2, 3)))
    network = a2c.masked(constant_network(jnp.arange(5.0)), env)
    mask = jnp.array([[False, False, True, False, True], [True, False, False, True, False]])
    outputs = network.policy(jnp.arange(5.0), a2c.MaskedObservation(jnp.zeros((2, 5)), mask))
    none = -np.inf
    np.testing.assert_array_equal(outputs, [[0, 1, 2, none, 4], [0, none, none, 3, none]])
    assert np.isfinite(a2c.multi_categorical((2, 3)).entropy(outputs)).all()
