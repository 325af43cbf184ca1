"""Suites that are extras: the answers to bad input, and what ends their episodes."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optional_suites import needs

import a2c_jax as a2c
from a2c_jax.environments.brax import TASKS

# Compiling takes far longer than the few steps of a test.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

SUITES = {  # an environment of each, and a setting that the suite refuses
    "brax": ("brax/inverted_pendulum", "backend", "none"),
    "craftax": ("craftax/Craftax-Classic-Symbolic-v1", "map_size", "big"),
    "jumanji": ("jumanji/Snake-v1", "num_rows", -1),
    "navix": ("navix/Navix-Empty-5x5-v0", "observation_fn", 3),
}
UP = 0  # an action of Snake
RIGHT, FORWARD = 1, 2  # actions of navix


def play(env, actions):
    """The steps ``[T]`` of the given actions in one episode, which nobody resets."""

    def body(env_state, row):
        timestep = env.step(row[0], env_state, row[1])
        return timestep.env_state, timestep

    key = jax.random.key(0)
    rows = jax.random.split(key, len(actions)), jnp.asarray(actions)
    return jax.device_get(jit(lambda: jax.lax.scan(body, env.reset(key)[0], rows)[1])())


def assert_refused(sentence, name, **settings):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        a2c.make_env(name, **settings)


def test_an_unknown_suite_is_answered_with_all():
    names = "brax, craftax, jumanji, minatar, navix"
    assert_refused(f"There is no suite of environments 'brux'; choose one of {names}", "brux/ant")


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_that_is_not_installed_is_named_with_its_extra(suite, monkeypatch):
    for module in [one for one in sys.modules if one.partition(".")[0] == suite]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, suite, None)  # blocks the import
    sentence = rf"The suite {suite} cannot be imported .*pip install 'a2c_jax\[{suite}\]'\.$"
    assert_refused(sentence, SUITES[suite][0])


@pytest.mark.parametrize("suite", [pytest.param(suite, marks=needs(suite)) for suite in SUITES])
def test_bad_input_is_named(suite):
    name, setting, value = SUITES[suite]
    wrong = name[:-1]
    assert_refused(f"There is no environment '{wrong}'; the nearest names are: .*{name}", wrong)
    known = f"{name} has no parameter 'colour'; it has these: max_steps_in_episode, .*"
    assert_refused(known, name, colour="red")
    assert_refused("max_steps_in_episode is 0; give a whole", name, max_steps_in_episode=0)
    sentence = rf"{name} cannot be made with {setting}={value!r} .*; give other settings.$"
    assert_refused(sentence, name, **{setting: value})


@needs("brax")
def test_making_an_environment_prints_nothing():
    code = "import a2c_jax; a2c_jax.make_env('brax/inverted_pendulum')"
    command = [sys.executable, "-W", "default", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


@needs("brax")
def test_brax_terminates_where_the_pole_falls():
    env = a2c.make_env("brax/inverted_pendulum")
    assert env.max_episode_steps == 1000
    steps = play(env, jnp.full((40, 1), 0.1))
    fallen = np.abs(steps.obs[:, 1]) > 0.2
    np.testing.assert_array_equal(steps.terminated, fallen)
    assert 0 < fallen.sum() < len(fallen)
    assert not steps.truncated.any()


@needs("brax")
def test_the_tasks_of_brax_are_known():
    from brax import envs

    assert {*TASKS} == {*envs._envs} - {"swimmer", "fast"}


@needs("brax")
def test_a_step_of_brax_leaves_its_argument_unchanged():
    """brax's own step changes the dictionaries of the state that it is given."""
    env, unchanged = a2c.make_env("brax/reacher"), []

    def step(key):
        env_state, _ = env.reset(key)
        before = dict(env_state.env_state.metrics)
        env.step(key, env_state, jnp.zeros(2))
        unchanged.append(all(before[name] is x for name, x in env_state.env_state.metrics.items()))

    jax.eval_shape(step, jax.random.key(0))
    assert unchanged == [True]


@needs("jumanji")
def test_jumanji_s_snake_terminates_at_the_wall_and_is_truncated_at_its_limit():
    """Jumanji itself says that an episode at its limit has terminated."""
    env = a2c.make_env("jumanji/Snake-v1")
    assert env.max_episode_steps == 4000
    steps = play(env, [UP] * 13)
    end = int(np.argmax(steps.terminated))
    assert steps.terminated[end], "a board of 12 rows has a wall within 12 steps"
    assert end > 0, "this snake starts away from the wall"
    assert not steps.truncated[: end + 1].any()
    limited = play(a2c.make_env("jumanji/Snake-v1", max_steps_in_episode=end), [UP] * end)
    np.testing.assert_array_equal(limited.truncated, np.arange(1, end + 1) == end)
    assert not limited.terminated.any()
    assert steps.obs.obs.shape == (13, 12 * 12 * 5 + 1)


@needs("jumanji")
def test_jumanji_s_combinations_of_actions_are_one_action():
    """In Minesweeper, action ``10 r + c`` opens the square in row r and column c, and no other."""
    env = a2c.make_env("jumanji/Minesweeper-v0")
    assert env.action_space == a2c.Discrete(100)
    key, actions = jax.random.key(0), jnp.array([0, 37, 99])
    start = env.reset(key)[0]
    obs = jit(jax.vmap(lambda action: env.step(key, start, action).obs))(actions)
    only = jax.nn.one_hot(actions, 100, dtype=bool)
    np.testing.assert_array_equal(obs.obs[:, :100] >= 0, only)
    np.testing.assert_array_equal(~obs.action_mask, only)


@needs("jumanji")
@pytest.mark.parametrize(
    ("name", "space", "mask", "obs"),
    [
        ("Cleaner-v0", a2c.MultiDiscrete((4, 4, 4)), 12, (107,)),
        ("Game2048-v1", a2c.Discrete(4), 4, (4, 4)),
        ("MultiCVRP-v0", a2c.MultiDiscrete((21, 21)), 42, (155,)),
        ("RubiksCube-v0", a2c.MultiDiscrete((6, 1, 3)), None, (55,)),
        ("SearchAndRescue-v0", a2c.Box, None, (774,)),
    ],
)
def test_jumanji_s_spaces_and_masks(name, space, mask, obs):
    env = a2c.make_env(f"jumanji/{name}")
    a2c.check_env(env)
    expected = jax.ShapeDtypeStruct(obs, jnp.float32)
    if mask is not None:
        expected = a2c.MaskedObservation(expected, jax.ShapeDtypeStruct((mask,), jnp.bool_))
        assert a2c.distribution_for(env.action_space).num_outputs == mask
    assert env.observation == expected
    if space is a2c.Box:
        assert (type(env.action_space), env.action_space.shape) == (space, (2, 2))
    else:
        assert env.action_space == space


@needs("navix")
def test_navix_terminates_at_the_goal_and_is_truncated_at_its_limit():
    """The shortest way through the room of 3 x 3 cells has five actions."""
    way = [FORWARD, FORWARD, RIGHT, FORWARD, FORWARD]
    steps = play(a2c.make_env("navix/Navix-Empty-5x5-v0"), way)
    np.testing.assert_array_equal(steps.terminated, [False] * 4 + [True])
    np.testing.assert_array_equal(steps.reward, [0, 0, 0, 0, 1])
    assert not steps.truncated.any()
    limited = play(a2c.make_env("navix/Navix-Empty-5x5-v0", max_steps_in_episode=4), way[:4])
    np.testing.assert_array_equal(limited.truncated, [False] * 3 + [True])
    assert not limited.terminated.any()


@needs("navix")
def test_a_state_of_navix_holds_no_pictures_and_pixels_are_those_of_navix():
    import navix

    env = a2c.make_env("navix/Navix-Empty-5x5-v0", observation_fn=navix.observations.rgb)
    key, action = jax.random.key(3), jnp.int32(FORWARD)
    env_state, obs = jit(env.reset)(key)
    assert sum(leaf.nbytes for leaf in env_state) < 1000
    after = jit(env.step)(key, env_state, action)
    grid = navix.make("Navix-Empty-5x5-v0", observation_fn=navix.observations.rgb)
    first = jit(grid.reset)(jax.random.key_data(key))
    np.testing.assert_array_equal(obs, first.observation)
    np.testing.assert_array_equal(after.obs, jit(grid.step)(first, action).observation)
    assert (after.obs != obs).any()


@needs("craftax")
def test_craftax_terminates_at_death_and_is_truncated_at_its_limit():
    """A step at a limit of three steps, from an empty world."""
    env = a2c.make_env("craftax/Craftax-Classic-Symbolic-v1", max_steps_in_episode=3)
    start = jax.eval_shape(env.reset, jax.random.key(0))[0]
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), start)

    def step(health, time):
        state = empty.replace(player_health=health, timestep=time)
        return env.step(jax.random.key(0), state, jnp.int32(0))

    health, time = jnp.array([9, 0, 9, 0]), jnp.array([0, 0, 2, 2])
    after = jit(jax.vmap(step))(health, time)
    np.testing.assert_array_equal(after.terminated, health == 0)
    np.testing.assert_array_equal(after.truncated, time == 2)
