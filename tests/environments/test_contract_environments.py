"""What every environment must do; a new one is an entry in ``ENVIRONMENTS``."""

import functools

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from comparing import assert_identical
from gymnax.environments.classic_control.cartpole import CartPole
from gymnax.wrappers.purerl import FlattenObservationWrapper, StickyActionWrapper
from optional_suites import needs
from probe_envs import always_surviving, delayed

import a2c_jax as a2c
from a2c_jax import record_checks
from a2c_jax.environments.minatar import GAMES


def named(name):
    """Makes an environment by its name, with a time limit."""
    return lambda limit: a2c.make_env(name, max_steps_in_episode=limit)


def wrapped(wrapper, name, *arguments):
    """Wraps an environment, made by its name with a time limit."""
    return lambda limit: wrapper(named(name)(limit), *arguments)


DOWNLOADS = "MNISTBandit-bsuite"  # its data, when it is made
LONG = [f"{game}-MinAtar" for game in GAMES if game != "Breakout"]  # to compile
SUITES = (  # that are extras
    "brax/inverted_pendulum", "craftax/Craftax-Classic-Symbolic-v1", "jumanji/Snake-v1",
    "jumanji/Minesweeper-v0", "jumanji/Cleaner-v0", "navix/Navix-Empty-5x5-v0",
)  # fmt: skip
# Each makes an environment of a time limit.
ENVIRONMENTS = {
    **{name: named(name) for name in gymnax.registered_envs if name != DOWNLOADS},
    "written by hand": always_surviving,
    "a wrapped instance": lambda limit: a2c.from_gymnax(
        FlattenObservationWrapper(StickyActionWrapper(CartPole(), 0.25)),
        CartPole().default_params.replace(max_steps_in_episode=limit),
    ),
    "time_limit": lambda limit: a2c.time_limit(named("Acrobot-v1")(2000), limit),
    "sticky_actions": wrapped(a2c.sticky_actions, "CartPole-v1", 0.25),
    "sticky_actions of a Box": wrapped(a2c.sticky_actions, "Pendulum-v1", 0.25),
    "scale_rewards": wrapped(a2c.scale_rewards, "Pendulum-v1", 0.1),
    "flatten_observation": wrapped(a2c.flatten_observation, "Catch-bsuite"),
    "stack_frames": wrapped(a2c.stack_frames, "Catch-bsuite", 4),
    "minatar/Breakout": named("minatar/Breakout"),
    **{name: named(name) for name in SUITES},
    "jumanji/Cleaner-v0, stacked": wrapped(a2c.stack_frames, "jumanji/Cleaner-v0", 2),
}
SPACES = {  # those that are not Discrete
    **dict.fromkeys(
        ["Pendulum-v1", "MountainCarContinuous-v0", "PointRobot-misc", "Reacher-misc",
         "Swimmer-misc", "brax/inverted_pendulum"], a2c.Box
    ),
    "jumanji/Cleaner-v0": a2c.MultiDiscrete,
}  # fmt: skip
LIMIT = 5
SEES_ITS_LIMIT = "DiscountingChain-bsuite"  # observes the share of its time that has passed


def types_of(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), tree)


def steps_of(env, unlimited, number):
    """What both respond, ``[T, 3]``, to random actions in three environments that nobody resets.

    Each step starts where ``unlimited`` has come: XLA compiles once what they have in common, and
    without optimisation, which takes longer than these few steps.
    """
    distribution = a2c.distribution_for(env.action_space)
    outputs = jnp.zeros((3, distribution.num_outputs))

    def body(env_state, row):
        key, noise = row
        action = env.action_space.clip(distribution.sample(outputs, noise))
        each = jax.random.split(key, 3), env_state, action
        both = [jax.vmap(one.step)(*each) for one in (env, unlimited)]
        return both[1].env_state, both

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def steps(key):
        starts = [a2c.reset_envs(key, one, 3)[0] for one in (env, unlimited)]
        rows = jax.random.split(key, number), distribution.noise(key, (number, 3))
        return starts, jax.lax.scan(body, starts[1], rows)[1]

    starts, both = steps(jax.random.key(0))
    assert_identical(*starts)
    return both


def rows_of(tree, which):
    return jax.tree.map(lambda leaf: leaf[which], tree)


def check(make):
    """Raises AssertionError unless an environment keeps its contract."""
    env, unlimited = make(LIMIT), make(1000)
    assert env.max_episode_steps == LIMIT
    assert isinstance(env.action_space, SPACES.get(env.name, a2c.Discrete))
    start = jax.eval_shape(env.reset, jax.random.key(0))
    record_checks.observation(env, start[1])
    after = jax.eval_shape(env.step, jax.random.key(0), start[0], env.action_space.action)
    assert types_of((after.env_state, after.obs)) == types_of(start)
    assert types_of(after.reward) == ((), jnp.float32, False)
    assert types_of(after.terminated) == types_of(after.truncated) == ((), jnp.bool_, False)

    limited, free = steps_of(env, unlimited, LIMIT + 1)
    assert not free.truncated.any()
    # Up to the end of its episode, the step that ends it included, an environment goes the way of
    # one that has no limit: it neither resets nor returns another episode's observation.
    alive = np.cumsum(free.terminated, axis=0) - free.terminated == 0
    time = np.arange(LIMIT + 1)[:, None]
    counts = alive & (time < LIMIT)
    for name in ("obs", "reward", "terminated")[env.name == SEES_ITS_LIMIT :]:
        ours, theirs = (rows_of(getattr(steps, name), counts) for steps in (limited, free))
        assert_identical(ours, theirs)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(ours)), name
    goes_on = counts & ~free.terminated & (time < LIMIT - 1)
    assert_identical(rows_of(limited.env_state, goes_on), rows_of(free.env_state, goes_on))
    at_limit = np.broadcast_to(time == LIMIT - 1, counts.shape)
    np.testing.assert_array_equal(limited.truncated[counts], at_limit[counts])


def marked(name):
    if name in LONG:
        return pytest.param(name, marks=pytest.mark.slow("compiles for many seconds"))
    suite, *_ = name.split("/")
    return pytest.param(name, marks=needs(suite) if name.startswith(SUITES) else ())


@pytest.mark.parametrize("name", [*map(marked, ENVIRONMENTS)])
def test_it_keeps_its_contract_under_vmap_and_scan(name):
    check(ENVIRONMENTS[name])


def restarts(env, key, timestep):
    ended = timestep.terminated | timestep.truncated
    starts = dict(zip(("env_state", "obs"), env.reset(key), strict=True))
    where = functools.partial(jnp.where, ended)
    changes = {name: jax.tree.map(where, starts[name], getattr(timestep, name)) for name in starts}
    return timestep._replace(**changes)


def is_endless(env, key, timestep):
    return timestep._replace(truncated=jnp.zeros((), jnp.bool_))


@pytest.mark.parametrize("breaks", [restarts, is_endless])
def test_the_contract_tells_an_environment_that_breaks_it(breaks):
    def make(limit):
        env = named("CartPole-v1")(limit)
        return env._replace(step=lambda key, *args: breaks(env, key, env.step(key, *args)))

    with pytest.raises(AssertionError):
        check(make)


ENV = delayed()


def changed(**fields):
    """The probe, whose ``step`` returns other fields."""

    def step(key, state, action):
        timestep = ENV.step(key, state, action)
        return timestep._replace(**{name: change(timestep) for name, change in fields.items()})

    return ENV._replace(step=step)


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ("CartPole-v1", "env is a str; give an Environment, such as make_env"),
        (ENV._replace(observation=(1,)), "has a int in its record; give jax.ShapeDtypeStruct"),
        (ENV._replace(step=lambda *_: (0, 1.0, True, {})), "returns a tuple; return a Timestep"),
        (ENV._replace(observation=jax.ShapeDtypeStruct((3,), jnp.float32)), r"is \(1,\), but its"),
        (changed(terminated=lambda t: t.reward), r"The terminated of delayed is float32\[\]; make"),
        (changed(truncated=lambda t: t.truncated[None]), r"truncated of delayed is bool\[1\]"),
        (changed(reward=lambda t: t.reward[None]), r"reward of delayed is float32\[1\]; make it"),
        (changed(obs=lambda t: t.obs.astype(int)), r"observation of delayed is float32\[1\] after"),
        (changed(obs=lambda t: {"x": t.obs}), r"The observation of delayed is \{'x': \(1,\)\}"),
        (changed(env_state=lambda t: t.env_state[:1]), "The state of delayed is"),
    ],
)
def test_check_env_names_what_is_wrong(env, sentence):
    with pytest.raises(ValueError, match=sentence):
        a2c.check_env(env)


def test_check_env_accepts_what_is_right_and_an_algorithm_calls_it():
    a2c.check_env(ENV)
    broken, network = changed(truncated=lambda t: t.reward), a2c.mlp_actor_critic(ENV, (4,))
    with pytest.raises(ValueError, match="truncated of delayed"):
        a2c.actor_critic(broken, network, optax.sgd(0.1), num_envs=1, num_steps=1)
