import subprocess
import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import a2c_jax as a2c


@pytest.mark.parametrize("limit", [500, 20])
def test_cartpole_equals_gymnasium_step_by_step(limit):
    """10,000 steps, each from gymnasium's own state, since a free run of it is chaotic."""
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=limit)
    theirs = gymnasium.make("CartPole-v1", max_episode_steps=limit)
    rng = np.random.default_rng(0)
    start, _ = env.reset(jax.random.key(0))
    rows, time = [], 0
    before, _ = theirs.reset(seed=0)
    for _ in range(10_000):
        # Mostly a balancing policy, so that long episodes and time limits occur too; for half
        # of the steps one that pushes right, so that falls occur.
        push_right = before[2] + before[3] > 0 if len(rows) < 5000 else True
        action = int(rng.integers(2) if rng.random() < 0.1 else push_right)
        after, reward, terminated, truncated, _ = theirs.step(action)
        rows.append((*before, time, action, *after, reward, terminated, truncated))
        before, time = after, time + 1
        if terminated or truncated:
            (before, _), time = theirs.reset(), 0
    rows = np.asarray(rows)

    @jax.jit
    @jax.vmap
    def ours(row):
        state = start.replace(
            x=row[0], x_dot=row[1], theta=row[2], theta_dot=row[3], time=row[4].astype(jnp.int32)
        )
        return env.step(jax.random.key(0), state, row[5].astype(jnp.int32))

    got = ours(jnp.asarray(rows, jnp.float32))
    np.testing.assert_allclose(got.obs, rows[:, 6:10], rtol=0, atol=5e-6)
    np.testing.assert_array_equal(got.reward, rows[:, 10])
    np.testing.assert_array_equal(got.terminated, rows[:, 11])
    np.testing.assert_array_equal(got.truncated, rows[:, 12])
    assert rows[:, 11].sum() > 5, "no falls among the steps"
    assert rows[:, 12].sum() > 5, "no time limits among the steps"


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"no environment 'CartPol-v1'.*CartPole-v1"):
        a2c.make_env("CartPol-v1")
    with pytest.raises(ValueError, match=r"no parameter 'max_steps'.*max_steps_in_episode"):
        a2c.make_env("CartPole-v1", max_steps=10)


@pytest.mark.parametrize("limit", [0, -1, 2.5])
def test_a_time_limit_below_one_step_is_refused(limit):
    with pytest.raises(ValueError, match=f"max_steps_in_episode is {limit}"):
        a2c.make_env("CartPole-v1", max_steps_in_episode=limit)


def test_importing_leaves_jax_to_be_configured():
    code = (
        "import a2c_jax, jax; jax.config.update('jax_num_cpu_devices', 3);"
        "assert jax.device_count() == 3"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"JAX_PLATFORMS": "cpu"})
