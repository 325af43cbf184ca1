"""The games of MinAtar as Young and Tian published them."""

import jax
import jax.numpy as jnp
import pytest

import a2c_jax as a2c

LEFT, RIGHT, PADDLE = 1, 3, 0  # two actions of Breakout, and a channel of its images


@pytest.mark.parametrize("game", ["Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders"])
def test_every_game_has_six_actions_and_time_to_end_by_itself(game):
    env = a2c.make_env(f"minatar/{game}")
    assert env.name == f"minatar/{game}"
    assert env.action_space == a2c.Discrete(6)
    assert env.max_episode_steps == (2500 if game == "Freeway" else 5000)


@pytest.mark.parametrize(("settings", "share"), [({}, 0.1), ({"sticky_probability": 0.5}, 0.5)])
def test_the_last_action_is_repeated_in_a_share_of_the_steps(settings, share):
    env = a2c.make_env("minatar/Breakout", **settings)
    key = jax.random.key(0)
    state = env.step(key, env.reset(key)[0], jnp.int32(LEFT)).env_state
    obs = jax.vmap(lambda key: env.step(key, state, jnp.int32(RIGHT)).obs)(
        jax.random.split(key, 4000)
    )
    columns = obs[..., PADDLE].sum(axis=1).argmax(axis=1)
    goes_left = (columns == columns.min()).mean()
    assert goes_left == pytest.approx(share, abs=0.03)


def test_settings_of_the_game_replace_the_published_ones():
    env = a2c.make_env("minatar/Breakout", use_minimal_action_set=True, max_steps_in_episode=7)
    assert (env.action_space, env.max_episode_steps) == (a2c.Discrete(3), 7)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"^There is no environment 'minatar/Breakot'; "):
        a2c.make_env("minatar/Breakot")
    with pytest.raises(ValueError, match="has no parameter 'colour'"):
        a2c.make_env("minatar/Breakout", colour="red")
    with pytest.raises(ValueError, match=r"^probability is 2"):
        a2c.make_env("minatar/Breakout", sticky_probability=2)
