import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probe_envs import action_dependent, always_surviving

import a2c_jax as a2c


def network_of(policy):
    return a2c.Network(lambda key: None, lambda params, obs: policy(obs), None)


def test_an_episode_ends_at_its_time_limit():
    env = always_surviving(max_episode_steps=7)
    network = network_of(lambda obs: jnp.zeros((*obs.shape[:-1], 2)))
    stats = a2c.evaluate(env, network, None, jax.random.key(0), 3)
    np.testing.assert_array_equal(stats.returns, [7.0] * 3)
    np.testing.assert_array_equal(stats.lengths, [7.0] * 3)


def test_nothing_counts_after_the_end():
    env = action_dependent()  # one step, then its clock runs on
    copy_the_coin = network_of(lambda obs: jnp.concatenate([-obs, obs], axis=-1) * 50 + 1e-3)
    stats = a2c.evaluate(env, copy_the_coin, None, jax.random.key(0), 64, greedy=False)
    np.testing.assert_array_equal(stats.lengths, np.ones(64))
    assert np.all(stats.returns <= 1.0)


def test_greedy_takes_the_mode_and_sampling_does_not_always():
    env = action_dependent()
    slightly = network_of(lambda obs: jnp.concatenate([0.4 - 0.8 * obs, 0.8 * obs - 0.4], -1))
    evaluate = jax.jit(
        lambda key, greedy: a2c.evaluate(env, slightly, None, key, 2000, greedy),
        static_argnums=1,
    )
    assert np.mean(evaluate(jax.random.key(0), True).returns) == 1.0
    expected = 1 / (1 + np.exp(-0.8))  # logits ±0.4
    assert abs(np.mean(evaluate(jax.random.key(0), False).returns) - expected) < 0.05


def test_a_falling_cartpole_by_a_plain_loop(cartpole):
    push_right = network_of(lambda obs: jnp.stack([0 * obs[..., 0], 1 + 0 * obs[..., 0]], -1))
    stats = a2c.evaluate(cartpole, push_right, None, jax.random.key(0), 2)
    reset_key, _ = jax.random.split(jax.random.key(0))
    states, _ = a2c.reset_envs(reset_key, cartpole, 2)
    step = jax.jit(cartpole.step)
    for episode in range(2):
        env_state = jax.tree.map(lambda leaf, e=episode: leaf[e], states)
        length, ended = 0, False
        while not ended:
            timestep = step(jax.random.key(0), env_state, jnp.array(1))
            env_state, ended = timestep.env_state, bool(timestep.terminated)
            length += 1
        assert stats.lengths[episode] == stats.returns[episode] == length


def test_no_episodes_are_refused(cartpole):
    with pytest.raises(ValueError, match="num_episodes is 0"):
        a2c.evaluate(cartpole, None, None, jax.random.key(0), 0)
