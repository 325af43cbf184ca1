"""Environments of gymnax, made by name or from an instance, and the published games of MinAtar."""

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
from a2c_jax.environments.minatar import GAMES


def test_a_step_of_cartpole_is_gymnasiums(cartpole):
    rng, number = np.random.default_rng(0), 4000
    states = np.float32(rng.uniform(-1.0, 1.0, (number, 4)) * [2.4, 3.0, 0.2, 3.0])
    times, actions = rng.integers(480, 501, number), rng.integers(0, 2, number)
    game, theirs = gymnasium.make("CartPole-v1").unwrapped, []
    for state, action in zip(states, actions, strict=True):
        game.reset()
        game.state = state
        theirs.append(game.step(action)[:3])

    def step(state, time, action):
        x, x_dot, theta, theta_dot = state
        start = cartpole.reset(jax.random.key(0))[0].replace(
            x=x, x_dot=x_dot, theta=theta, theta_dot=theta_dot, time=time
        )
        return cartpole.step(jax.random.key(0), start, action)

    ours = jax.jit(jax.vmap(step))(states, times.astype(np.int32), actions)
    obs, reward, terminated = map(np.asarray, zip(*theirs, strict=True))
    np.testing.assert_allclose(ours.obs, obs, rtol=0, atol=5e-6)
    np.testing.assert_array_equal(ours.reward, reward)
    np.testing.assert_array_equal(ours.terminated, terminated)
    limit = gymnasium.spec("CartPole-v1").max_episode_steps
    np.testing.assert_array_equal(ours.truncated, times + 1 >= limit)
    for column, bound in ((0, 2.4), (2, 0.209)):
        assert (np.abs(obs[:, column]) > bound).sum() > 10, "steps end at both bounds"


class Centred(CartPole):  # overrides a part of a step
    def step_env(self, key, state, action, params):
        obs, state, reward, *rest = super().step_env(key, state, action, params)
        return obs, state, reward - 10 * abs(state.x), *rest


class Doubled(CartPole):  # overrides the whole step, which resets
    def step(self, key, state, action, params=None):
        obs, state, reward, *rest = super().step(key, state, action, params)
        return obs, state, 2 * reward, *rest


class Tilted(CartPole):  # overrides the reset
    def reset(self, key, params=None):
        obs, state = super().reset(key, params)
        return obs.at[2].set(0.1), state.replace(theta=0.1)


def pushed_right(env):
    """Transitions of CartPole pushed to the right, ``[T, 1]``, in whole episodes."""
    env_state, obs = a2c.reset_envs(jax.random.key(1), env, 1)
    policy = lambda obs: jnp.array([[0.0, 100.0]])  # noqa: E731
    return a2c.rollout(jax.random.key(2), policy, env, env_state, obs, 30)[2]


@pytest.fixture(scope="module")
def plain():
    return pushed_right(a2c.make_env("CartPole-v1", max_steps_in_episode=7))


@pytest.mark.parametrize(
    ("gym_env", "reward"),
    [
        (Centred(), lambda obs: 1 - 10 * abs(obs[..., 0])),
        (Doubled(), lambda obs: 2.0 + 0 * obs[..., 0]),
    ],
)
def test_what_a_subclass_overrides_counts_and_successors_are_true(plain, gym_env, reward):
    params = gym_env.default_params.replace(max_steps_in_episode=7)
    ours = pushed_right(a2c.from_gymnax(gym_env, params))
    np.testing.assert_allclose(ours.reward, reward(ours.next_obs), rtol=1e-6)
    # The dynamics draw nothing; the first episode ends at the limit.
    np.testing.assert_allclose(ours.next_obs[:7], plain.next_obs[:7], rtol=1e-5, atol=1e-6)
    assert ours.truncated[:, 0].tolist()[:7] == [False] * 6 + [True]
    assert not np.allclose(ours.obs[7], ours.next_obs[6]), "the next row starts an episode"


def test_a_reset_and_a_wrapper_of_one_s_own_count(plain):
    assert a2c.from_gymnax(Tilted()).reset(jax.random.key(0))[1][2] == np.float32(0.1)
    # Always the action before, which at the beginning is 0: the cart is pushed to the left.
    sticky = pushed_right(a2c.from_gymnax(StickyActionWrapper(CartPole(), 1.0), name="stubborn"))
    assert sticky.next_obs[5, 0, 1] < -0.5 < 0.5 < plain.next_obs[5, 0, 1]


def test_names():
    assert a2c.from_gymnax(CartPole()).name == "CartPole-v1"
    assert a2c.from_gymnax(Tilted()).name == "Tilted", "a task of its own"
    assert a2c.from_gymnax(GymnaxWrapper(Tilted())).name == "GymnaxWrapper"
    assert a2c.from_gymnax(Tilted(), name="tilted").name == "tilted"


def test_arguments_of_the_constructor():
    deep = a2c.make_env("DeepSea-bsuite", size=20)
    assert (deep.observation.shape, deep.max_episode_steps) == ((20, 20), 20)
    catch = a2c.make_env("Catch-bsuite", rows=6, max_steps_in_episode=4)
    assert (catch.observation.shape, catch.max_episode_steps) == ((6, 5), 4)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("Catch-bsuite", {"row": 6}, "Catch-bsuite has no parameter 'row'.*rows, columns"),
        ("DeepSea-bsuite", {"size": -1}, "DeepSea-bsuite cannot be made with .*=.*give other"),
        ("Catch-bsuite", {"rows": 0}, "Catch-bsuite cannot be made with .*=.*give other"),
        ("CartPol-v1", {}, "There is no environment 'CartPol-v1'.*CartPole-v1"),
        ("CartPole-v1", {"max_steps": 10}, ".* no parameter 'max_steps'.*max_steps_in_episode"),
        ("CartPole-v1", {"max_steps_in_episode": 0}, "max_steps_in_episode is 0"),
        ("CartPole-v1", {"max_steps_in_episode": 2.5}, "max_steps_in_episode is 2.5"),
        ("minatar/Breakot", {}, "There is no environment 'minatar/Breakot'; "),
        ("minatar/Breakout", {"colour": "red"}, ".* has no parameter 'colour'"),
        ("minatar/Breakout", {"sticky_probability": 2}, "probability is 2"),
    ],
)
def test_what_cannot_be_made_is_named(name, settings, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        a2c.make_env(name, **settings)


@pytest.mark.parametrize("game", GAMES)
def test_a_game_of_minatar_has_six_actions_and_time_to_end_by_itself(game):
    env = a2c.make_env(f"minatar/{game}")
    a2c.check_env(env)
    assert (env.name, env.action_space) == (f"minatar/{game}", a2c.Discrete(6))
    assert env.max_episode_steps == (2500 if game == "Freeway" else 5000)


def test_settings_of_a_game_of_minatar_replace_the_published_ones():
    env = a2c.make_env("minatar/Breakout", use_minimal_action_set=True, max_steps_in_episode=7)
    assert (env.action_space, env.max_episode_steps) == (a2c.Discrete(3), 7)


def test_minatar_repeats_the_last_action_in_a_tenth_of_the_steps():
    env = a2c.make_env("minatar/Breakout")
    left, right, paddle = 1, 3, 0  # two actions, and a channel of the images

    @jax.jit
    def columns_after_two_steps(keys):
        state = env.step(keys[0], env.reset(keys[0])[0], jnp.int32(left)).env_state
        obs = jax.vmap(lambda key: env.step(key, state, jnp.int32(right)).obs)(keys)
        return obs[..., paddle].sum(axis=1).argmax(axis=1)

    columns = columns_after_two_steps(jax.random.split(jax.random.key(0), 4000))
    assert (columns == columns.min()).mean() == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("wrong", [CartPole, "CartPole-v1", gymnasium.make("CartPole-v1")])
def test_a_class_is_not_an_instance(wrong):
    with pytest.raises(ValueError, match=r"env is .*CartPole.*; give an instance"):
        a2c.from_gymnax(wrong)


def test_a_step_without_the_last_observation_is_named(monkeypatch):
    steps_as_in_gymnasium = lambda *args: (*CartPole().step(*args[1:])[:5], {})  # noqa: E731
    monkeypatch.setattr(Doubled, "step", steps_as_in_gymnasium)
    with pytest.raises(ValueError, match=r"has to return .*final_observation"):
        a2c.check_env(a2c.from_gymnax(Doubled()))


def test_importing_leaves_jax_to_be_configured():
    code = "import a2c_jax, jax; jax.config.update('jax_num_cpu_devices', 3)"
    code += "; assert jax.device_count() == 3"
    subprocess.run([sys.executable, "-c", code], check=True, env={"JAX_PLATFORMS": "cpu"})
