"""What every environment must do; a new one is an entry in ``ENVIRONMENTS``."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from probe_envs import always_surviving

import a2c_jax as a2c
from a2c_jax import checks

DOWNLOADS = "MNISTBandit-bsuite"  # its data, when it is made
ENVIRONMENTS = {
    **{
        name: lambda name=name: a2c.make_env(name)
        for name in gymnax.registered_envs
        if name != DOWNLOADS
    },
    "written by hand": always_surviving,
}
STEPS = 30


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def env(request):
    return ENVIRONMENTS[request.param]()


def types_of(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), tree)


def test_it_keeps_its_contract_under_vmap_and_scan(env):
    """Types, true successors, flags, finite numbers: one compiled scan shows them all."""
    key = jax.random.key(0)
    start = jax.eval_shape(env.reset, key)
    checks.observation(env, start[1])
    distribution = a2c.distribution_for(env.action_space)
    action = distribution.mode(jnp.zeros(distribution.num_outputs))
    after = jax.eval_shape(env.step, key, start[0], action)
    assert types_of((after.env_state, after.obs)) == types_of(start)
    assert after.reward.shape == after.terminated.shape == after.truncated.shape == ()
    assert after.reward.dtype == jnp.float32
    assert after.terminated.dtype == after.truncated.dtype == jnp.bool_

    def policy(obs):
        return jnp.zeros((3, distribution.num_outputs))

    env_state, obs = a2c.reset_envs(key, env, 3)
    _, last, rows = jax.jit(
        lambda env_state, obs: a2c.rollout(key, policy, env, env_state, obs, STEPS)
    )(env_state, obs)
    ended = np.asarray(rows.terminated | rows.truncated)
    for name in ("obs", "next_obs", "reward", "action"):
        assert np.isfinite(getattr(rows, name)).all(), name
    continues = ~ended
    np.testing.assert_array_equal(rows.next_obs[:-1][continues[:-1]], rows.obs[1:][continues[:-1]])
    np.testing.assert_array_equal(np.asarray(last)[continues[-1]], rows.next_obs[-1][continues[-1]])


LIMITED = ["CartPole-v1", "Pendulum-v1", "MountainCarContinuous-v0", "Breakout-MinAtar"]


@pytest.mark.parametrize("name", LIMITED)
def test_its_time_limit_truncates(name):
    env = a2c.make_env(name, max_steps_in_episode=4)
    assert env.max_episode_steps == 4
    distribution = a2c.distribution_for(env.action_space)
    env_state, obs = a2c.reset_envs(jax.random.key(0), env, 2)
    *_, rows = a2c.rollout(
        jax.random.key(1), lambda obs: jnp.zeros((2, distribution.num_outputs)), env, env_state,
        obs, 9,
    )  # fmt: skip
    at_limit = np.asarray(rows.truncated & ~rows.terminated)
    np.testing.assert_array_equal(np.flatnonzero(at_limit[:, 0]), [3, 7])


def test_observations_that_differ_from_the_record_are_refused():
    env = a2c.make_env("CartPole-v1")
    wrong = env._replace(observation=jax.ShapeDtypeStruct((3,), jnp.float32))
    network = a2c.Network(
        init=lambda key: jnp.zeros(()),
        policy=lambda params, obs: jnp.zeros((*obs.shape[:-1], 2)) + params,
        value=lambda params, obs: obs.sum(-1) * params,
    )
    with pytest.raises(ValueError, match=r"^The observation of CartPole-v1 is \(4,\), but"):
        a2c.actor_critic(wrong, network, optax.sgd(0.1), num_envs=2, num_steps=2)
