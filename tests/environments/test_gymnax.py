import subprocess
import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.classic_control.cartpole import CartPole
from gymnax.wrappers.purerl import GymnaxWrapper, StickyActionWrapper

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


class Centred(CartPole):
    """Overrides a part of a step."""

    def step_env(self, key, state, action, params):
        obs, state, reward, *rest = super().step_env(key, state, action, params)
        return obs, state, reward - 10 * abs(state.x), *rest


class Doubled(CartPole):
    """Overrides the whole step, which resets."""

    def step(self, key, state, action, params=None):
        obs, state, reward, *rest = super().step(key, state, action, params)
        return obs, state, 2 * reward, *rest


class Tilted(CartPole):
    """Overrides the reset."""

    def reset(self, key, params=None):
        obs, state = super().reset(key, params)
        return obs.at[2].set(0.1), state.replace(theta=0.1)


def pushed_right(env):
    """Transitions of CartPole pushed to the right, ``[T, 1]``, in whole episodes."""
    env_state, obs = a2c.reset_envs(jax.random.key(1), env, 1)
    always_right = lambda obs: jnp.array([[0.0, 100.0]])  # noqa: E731
    return jax.jit(lambda s, o: a2c.rollout(jax.random.key(2), always_right, env, s, o, 30)[2])(
        env_state, obs
    )


@pytest.mark.parametrize(
    ("gym_env", "reward"),
    [
        (Centred(), lambda obs: 1 - 10 * abs(obs[..., 0])),
        (Doubled(), lambda obs: 2.0 + 0 * obs[..., 0]),
    ],
)
def test_what_a_subclass_overrides_counts_and_successors_are_true(gym_env, reward):
    params = gym_env.default_params.replace(max_steps_in_episode=7)
    ours = pushed_right(a2c.from_gymnax(gym_env, params))
    plain = pushed_right(a2c.make_env("CartPole-v1", max_steps_in_episode=7))
    np.testing.assert_allclose(ours.reward, reward(ours.next_obs), rtol=1e-6)
    # The dynamics draw nothing; the first episode ends at the limit.
    np.testing.assert_allclose(ours.next_obs[:7], plain.next_obs[:7], rtol=1e-5, atol=1e-6)
    assert ours.truncated[:, 0].tolist()[:7] == [False] * 6 + [True]
    assert not np.allclose(ours.obs[7], ours.next_obs[6]), "the next row starts an episode"


def test_a_reset_and_a_wrapper_of_one_s_own_count():
    assert a2c.from_gymnax(Tilted()).reset(jax.random.key(0))[1][2] == np.float32(0.1)
    # Always the action before, which at the beginning is 0: the cart is pushed to the left.
    sticky = pushed_right(a2c.from_gymnax(StickyActionWrapper(CartPole(), 1.0), name="stubborn"))
    assert (
        float(sticky.next_obs[5, 0, 1])
        < -0.5
        < 0.5
        < float(pushed_right(a2c.make_env("CartPole-v1")).next_obs[5, 0, 1])
    )


def test_a_class_is_not_an_instance():
    for wrong in (CartPole, "CartPole-v1", gymnasium.make("CartPole-v1")):
        with pytest.raises(ValueError, match=r"env is .*CartPole.*; give an instance"):
            a2c.from_gymnax(wrong)


class Forgetful(CartPole):
    """A step as in gymnasium, without the last observation."""

    def step(self, key, state, action, params=None):
        return *super().step(key, state, action, params)[:5], {}


def test_a_step_without_the_last_observation_is_named():
    env = a2c.from_gymnax(Forgetful())
    with pytest.raises(ValueError, match=r"has to return .*final_observation"):
        a2c.check_env(env)


def test_names():
    assert a2c.from_gymnax(CartPole()).name == "CartPole-v1"
    assert a2c.from_gymnax(Tilted()).name == "Tilted", "a task of its own"
    assert a2c.from_gymnax(GymnaxWrapper(Tilted())).name == "GymnaxWrapper"
    assert a2c.from_gymnax(Tilted(), name="tilted").name == "tilted"


def test_arguments_of_the_constructor():
    assert a2c.make_env("DeepSea-bsuite", size=20).observation.shape == (20, 20)
    assert a2c.make_env("DeepSea-bsuite", size=20).max_episode_steps == 20
    env = a2c.make_env("Catch-bsuite", rows=6, max_steps_in_episode=4)
    assert (env.observation.shape, env.max_episode_steps) == ((6, 5), 4)
    with pytest.raises(ValueError, match=r"Catch-bsuite has no parameter 'row'.*rows, columns"):
        a2c.make_env("Catch-bsuite", row=6)
    for name, wrong in (("DeepSea-bsuite", {"size": -1}), ("Catch-bsuite", {"rows": 0})):
        with pytest.raises(ValueError, match=f"{name} cannot be made with .*=.*give other"):
            a2c.make_env(name, **wrong)


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
