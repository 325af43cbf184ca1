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
from probe_envs import always_surviving

import a2c_jax as a2c
from a2c_jax import record_checks


def limited(limit):
    return CartPole().default_params.replace(max_steps_in_episode=limit)


def named(name):
    """Makes an environment by its name, with a time limit."""
    return lambda limit: a2c.make_env(name, max_steps_in_episode=limit)


def wrapped(wrapper, name, *arguments):
    """Wraps an environment, made by its name with a time limit."""
    return lambda limit: wrapper(named(name)(limit), *arguments)


DOWNLOADS = "MNISTBandit-bsuite"  # its data, when it is made
# Each makes an environment of a time limit.
ENVIRONMENTS = {
    **{name: named(name) for name in gymnax.registered_envs if name != DOWNLOADS},
    "written by hand": always_surviving,
    "an instance": lambda limit: a2c.from_gymnax(CartPole(), limited(limit)),
    "a wrapped instance": lambda limit: a2c.from_gymnax(
        FlattenObservationWrapper(StickyActionWrapper(CartPole(), 0.25)), limited(limit)
    ),
    "time_limit": lambda limit: a2c.time_limit(named("Acrobot-v1")(2000), limit),
    "sticky_actions": wrapped(a2c.sticky_actions, "CartPole-v1", 0.25),
    "sticky_actions of a Box": wrapped(a2c.sticky_actions, "Pendulum-v1", 0.25),
    "scale_rewards": wrapped(a2c.scale_rewards, "Pendulum-v1", 0.1),
    "flatten_observation": wrapped(a2c.flatten_observation, "Breakout-MinAtar"),
    "stack_frames": wrapped(a2c.stack_frames, "Breakout-MinAtar", 4),
    "minatar/Breakout": named("minatar/Breakout"),
    # Suites that are extras.
    "brax/inverted_pendulum": named("brax/inverted_pendulum"),
    "craftax/Craftax-Classic-Symbolic-v1": named("craftax/Craftax-Classic-Symbolic-v1"),
    "jumanji/Snake-v1": named("jumanji/Snake-v1"),
    "jumanji/Minesweeper-v0": named("jumanji/Minesweeper-v0"),
    "jumanji/Cleaner-v0": named("jumanji/Cleaner-v0"),
    "jumanji/Cleaner-v0, stacked": wrapped(a2c.stack_frames, "jumanji/Cleaner-v0", 2),
    "navix/Navix-Empty-5x5-v0": named("navix/Navix-Empty-5x5-v0"),
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


def check(make):
    """Raises AssertionError unless an environment keeps its contract."""
    env, unlimited = make(LIMIT), make(1000)
    assert env.max_episode_steps == LIMIT
    assert isinstance(env.action_space, SPACES.get(env.name, a2c.Discrete))
    start = jax.eval_shape(env.reset, jax.random.key(0))
    record_checks.observation(env, start[1])
    distribution = a2c.distribution_for(env.action_space)
    action = distribution.mode(jnp.zeros(distribution.num_outputs))
    after = jax.eval_shape(env.step, jax.random.key(0), start[0], action)
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
        ours, theirs = (
            jax.tree.map(lambda x: x[counts], getattr(steps, name)) for steps in (limited, free)
        )
        assert_identical(ours, theirs)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(ours)), name
    goes_on = counts & ~free.terminated & (time < LIMIT - 1)
    assert_identical(*(
        jax.tree.map(lambda x: x[goes_on], steps.env_state) for steps in (limited, free)
    ))  # fmt: skip
    at_limit = np.broadcast_to(time == LIMIT - 1, counts.shape)
    np.testing.assert_array_equal(limited.truncated[counts], at_limit[counts])


def marked(name):
    suite, slash, _ = name.partition("/")
    is_extra = slash and suite != "minatar"
    return pytest.param(name, marks=needs(suite) if is_extra else ())


@pytest.mark.parametrize("name", [*map(marked, ENVIRONMENTS)])
def test_it_keeps_its_contract_under_vmap_and_scan(name):
    check(ENVIRONMENTS[name])


def restarting(limit):
    """CartPole that resets by itself, as gymnax does."""
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=limit)

    def step(key, env_state, action):
        timestep = env.step(key, env_state, action)
        ended = timestep.terminated | timestep.truncated
        after = timestep.env_state, timestep.obs
        env_state, obs = jax.tree.map(lambda x, y: jnp.where(ended, x, y), env.reset(key), after)
        return timestep._replace(env_state=env_state, obs=obs)

    return env._replace(step=step)


def endless(limit):
    """CartPole that does not say when its time is up."""
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=limit)

    def step(key, env_state, action):
        return env.step(key, env_state, action)._replace(truncated=jnp.zeros((), jnp.bool_))

    return env._replace(step=step)


@pytest.mark.parametrize("make", [restarting, endless])
def test_the_contract_tells_an_environment_that_breaks_it(make):
    with pytest.raises(AssertionError):
        check(make)


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
