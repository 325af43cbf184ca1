import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probe_envs import action_dependent, always_surviving

import a2c_jax as a2c


def network_of(policy):
    return a2c.Network(lambda key: None, lambda params, obs: policy(obs), None)


def test_nothing_counts_after_the_first_fall_or_the_time_limit():
    env = always_surviving(max_episode_steps=7)._replace(max_episode_steps=9)
    anything = network_of(lambda obs: jnp.zeros((*obs.shape[:-1], 2)))

    @jax.jit
    @jax.vmap
    def played(fall):
        def step(key, state, action):  # its clock runs on, and no later step is a fall
            timestep = env.step(key, state, action)
            return timestep._replace(terminated=timestep.env_state[1] == fall)

        return a2c.evaluate(env._replace(step=step), anything, None, jax.random.key(0), 2)

    stats = played(jnp.array([1, 3, 6, 7, 100]))
    np.testing.assert_array_equal(stats.lengths, [[1, 1], [3, 3], [6, 6], [7, 7], [7, 7]])
    np.testing.assert_array_equal(stats.returns, stats.lengths)


def test_greedy_takes_the_mode_and_sampling_does_not_always():
    env = action_dependent()
    slightly = network_of(lambda obs: jnp.concatenate([0.4 - 0.8 * obs, 0.8 * obs - 0.4], -1))

    @functools.partial(jax.jit, static_argnums=0)
    def mean_return(greedy):
        return a2c.evaluate(env, slightly, None, jax.random.key(0), 2000, greedy).returns.mean()

    assert mean_return(True) == 1.0
    expected = 1 / (1 + np.exp(-0.8))  # logits ±0.4
    assert abs(mean_return(False) - expected) < 0.05


def test_no_episodes_are_refused():
    with pytest.raises(ValueError, match="num_episodes is 0"):
        a2c.evaluate(always_surviving(), None, None, jax.random.key(0), 0)
