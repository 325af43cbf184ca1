"""Actions in boxes and several actions at once: distributions, networks and clipping."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads
from probe_envs import action_dependent
from scipy import stats

import a2c_jax as a2c

OUTPUTS = jnp.array([[0.3, -1.2, 0.5, -0.7], [2.0, 0.1, -1.5, 0.2]])
ACTIONS = jnp.array([[0.1, 0.4], [1.0, -2.0]])


def test_the_gaussian_is_scipy_s_in_float64_and_its_gradient_that_of_finite_differences():
    with jax.enable_x64(True):
        outputs, actions = (jnp.asarray(np.asarray(x), jnp.float64) for x in (OUTPUTS, ACTIONS))
        gaussian = a2c.diagonal_gaussian((2,))

        def scores(outputs):
            return gaussian.log_prob(outputs, actions), gaussian.entropy(outputs)

        normal = stats.norm(outputs[:, :2], np.exp(outputs[:, 2:]))
        expected = normal.logpdf(actions).sum(-1), normal.entropy().sum(-1)
        np.testing.assert_allclose(scores(outputs), expected, rtol=1e-13)
        check_grads(jax.jit(scores), (outputs,), order=1, modes=["rev"], atol=1e-8, rtol=1e-8)


def test_gaussian_samples_have_the_mean_and_deviation_of_the_outputs():
    gaussian = a2c.diagonal_gaussian((1, 2))
    outputs = jnp.tile(OUTPUTS[0], (50_000, 1))
    actions = gaussian.sample(outputs, gaussian.noise(jax.random.key(0), (50_000,)))
    assert actions.shape == (50_000, 1, 2)
    std = np.exp([0.5, -0.7])
    np.testing.assert_allclose(actions.mean(0)[0], [0.3, -1.2], atol=4 * std.max() / 223)
    np.testing.assert_allclose(actions.std(0)[0], std, rtol=0.02)
    np.testing.assert_array_equal(gaussian.mode(outputs)[0, 0], OUTPUTS[0, :2])


def test_several_categoricals_are_the_product_of_each():
    both, (two, three) = a2c.multi_categorical((2, 3)), map(a2c.categorical, (2, 3))
    outputs = jax.random.normal(jax.random.key(0), (7, 5))
    actions = both.sample(outputs, both.noise(jax.random.key(1), (7,)))
    assert actions.shape == (7, 2)
    parts = ((two, outputs[:, :2]), (three, outputs[:, 2:]))
    log_probs = sum(d.log_prob(x, actions[:, i]) for i, (d, x) in enumerate(parts))
    np.testing.assert_allclose(both.log_prob(outputs, actions), log_probs, rtol=1e-6)
    entropy = sum(d.entropy(x) for d, x in parts)
    np.testing.assert_allclose(both.entropy(outputs), entropy, rtol=1e-6)
    np.testing.assert_array_equal(both.mode(outputs)[:, 1], outputs[:, 2:].argmax(-1))
    # 6 combinations, uniform at outputs of 0.
    many = both.sample(jnp.zeros((6000, 5)), both.noise(jax.random.key(2), (6000,)))
    counts = np.bincount(3 * many[:, 0] + many[:, 1], minlength=6)
    assert np.abs(counts - 1000).max() < 4 * np.sqrt(6000 * 5 / 36)


def in_a_box(reward):
    """One-step episodes with a reward of the coin and an action in a box of ±2."""
    probe = action_dependent()

    def step(key, state, action):
        return probe.step(key, state, 0)._replace(reward=reward(state[0], action[0]))

    return probe._replace(action_space=a2c.Box(-2.0, 2.0, (1,)), step=step)


def test_actions_enter_the_environment_clipped_and_are_stored_as_drawn():
    received = in_a_box(lambda coin, action: action)
    start = a2c.reset_envs(jax.random.key(0), received, 4)
    outputs = jnp.tile(jnp.array([0.0, 2.0]), (4, 1))  # a deviation of 7
    *_, rows = a2c.rollout(jax.random.key(1), lambda obs: outputs, received, *start, 20)
    actions = np.asarray(rows.action)[..., 0]
    assert np.abs(actions).max() > 4
    np.testing.assert_array_equal(rows.reward, np.clip(actions, -2.0, 2.0))


def test_the_log_standard_deviation_is_a_parameter_or_an_output():
    env = in_a_box(lambda coin, action: 0.0)
    obs = jax.random.normal(jax.random.key(0), (5, 1))
    network = a2c.mlp_actor_critic(env, (8,), log_std=-0.5)
    params = jax.jit(network.init)(jax.random.key(1))
    np.testing.assert_array_equal(params["policy"]["log_std"], [-0.5])
    np.testing.assert_array_equal(network.policy(params, obs)[:, 1], [-0.5] * 5)
    wide = a2c.orthogonal(1.0)
    dependent = a2c.mlp_actor_critic(env, (8,), policy_init=wide, log_std=None)
    outputs = dependent.policy(jax.jit(dependent.init)(jax.random.key(1)), obs)
    assert outputs.shape == (5, 2)
    assert len(np.unique(outputs[:, 1])) == 5


@pytest.mark.slow("learning")
def test_it_learns_a_target_that_depends_on_the_observation():
    """Reward -(a - coin)²: the best mean is the coin, and the deviation shrinks."""
    env = in_a_box(lambda coin, action: -jnp.square(action - coin))
    network = a2c.mlp_actor_critic(env, (16,))
    optimizer = optax.adam(optax.linear_schedule(1e-2, 0.0, 600))
    algorithm = a2c.actor_critic(env, network, optimizer, num_envs=8, num_steps=8)
    params = jax.jit(lambda key: a2c.train(algorithm, key, 600))(jax.random.key(0)).state.params
    outputs = network.policy(params, jnp.array([[0.0], [1.0]]))
    np.testing.assert_allclose(outputs[:, 0], [0.0, 1.0], atol=0.1)
    assert (outputs[:, 1] < -1.0).all(), "it has become more certain"


def test_spaces_and_networks_that_do_not_fit_are_refused_in_one_sentence(cartpole):
    settings = {"num_envs": 2, "num_steps": 2}
    unknown = cartpole._replace(action_space="anything")
    with pytest.raises(ValueError, match=r"^action_space is 'anything', which no distribution"):
        a2c.mlp_actor_critic(unknown)
    three = cartpole._replace(action_space=a2c.Discrete(3))
    network = a2c.mlp_actor_critic(three, (4,))
    with pytest.raises(ValueError, match=r"^network.policy outputs 3, but .* needs 2; make"):
        a2c.actor_critic(cartpole, network, optax.sgd(0.1), **settings)
    longer = cartpole._replace(observation=jax.ShapeDtypeStruct((6,), jnp.float32))
    other = a2c.mlp_actor_critic(longer, (4,))
    with pytest.raises(ValueError, match=r"^network does not take .* CartPole-v1, float32\[4\]: "):
        a2c.actor_critic(cartpole, other, optax.sgd(0.1), **settings)
    for make in (a2c.mlp_q_actor_critic, a2c.article_q_network):
        with pytest.raises(ValueError, match="needs Discrete actions; use actor_critic"):
            make(in_a_box(lambda coin, action: 0.0))
    start = a2c.reset_envs(jax.random.key(0), cartpole, 2)
    with pytest.raises(ValueError, match=r"outputs have shape \(2, 1\), but .* needs 2"):
        a2c.rollout(jax.random.key(0), lambda obs: obs[:, :1], cartpole, *start, 2)
