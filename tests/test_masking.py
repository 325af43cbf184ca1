"""Action masks, against the distribution over the legal actions alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
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

    for action in jnp.flatnonzero(LEGAL):
        value, grad = jax.value_and_grad(ours)(logits, action)
        expected, expected_grad = jax.value_and_grad(renormalised)(logits, action)
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


def test_no_illegal_action_is_taken_and_training_stays_finite():
    env = partly_legal()
    network = a2c.masked(a2c.mlp_actor_critic(a2c.unmasked(env), (8,)), env)
    algorithm = a2c.actor_critic(
        env, network, optax.adam(1e-2), num_envs=4, num_steps=3, entropy_coef=0.1
    )
    result = jax.jit(lambda key: a2c.train(algorithm, key, 20))(jax.random.key(0))
    assert a2c.finite_seeds(jax.tree.map(lambda x: x[None], result.state.params))
    assert (result.metrics.episode_return_sum >= 0).all()  # -1 is the reward of an illegal action


def test_action_values_take_masks():
    env = partly_legal()
    network = a2c.masked(a2c.mlp_q_actor_critic(a2c.unmasked(env), (8,)), env)
    algorithm = a2c.q_actor_critic(
        env, network, optax.adam(1e-2), num_envs=4, num_steps=5, expected=True
    )
    result = jax.jit(lambda key: a2c.train(algorithm, key, 5))(jax.random.key(0))
    assert a2c.finite_seeds(jax.tree.map(lambda x: x[None], result.state.params))
    assert (result.metrics.episode_return_sum >= 0).all()
    assert (result.metrics.episode_count > 0).any()


def without_mask(env):
    """The same task, where the mask is observed only as numbers."""

    def reset(key):
        state, obs = env.reset(key)
        return state, obs.obs

    def step(key, state, action):
        timestep = env.step(key, state, action)
        return timestep._replace(obs=timestep.obs.obs)

    return env._replace(reset=reset, step=step, observation=env.observation.obs)


@pytest.mark.slow("learning")
def test_masks_speed_up_learning():
    """With a mask, the mean return of the first updates is higher in every pair of seeds."""
    env, plain = partly_legal(), without_mask(partly_legal())
    networks = {
        env: a2c.masked(a2c.mlp_actor_critic(a2c.unmasked(env), (32,)), env),
        plain: a2c.mlp_actor_critic(plain, (32,)),
    }
    returns = []
    for task, network in networks.items():
        algorithm = a2c.actor_critic(task, network, optax.adam(3e-3), num_envs=16, num_steps=8)
        train = jax.jit(jax.vmap(lambda key, one=algorithm: a2c.train(one, key, 100).metrics))
        metrics = train(jax.random.split(jax.random.key(0), 8))
        returns.append(metrics.episode_return_sum.sum(1) / metrics.episode_count.sum(1))
    masked, unmasked = np.asarray(returns)
    assert (masked > unmasked + 0.3).all(), (masked, unmasked)


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
