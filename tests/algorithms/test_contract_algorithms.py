"""What every algorithm must do; a new one is an entry in ``ALGORITHMS``."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from comparing import assert_identical
from probe_envs import partly_legal

import a2c_jax as a2c
from a2c_jax.experiment.run import checkpoints
from a2c_jax.experiment.run.checkpoints import Checkpoint
from a2c_jax.experiment.run.saving import from_arrays, named_arrays

SHARED = {"num_envs": 2, "num_steps": 3, "entropy_coef": 0.01}


def small(env, make=a2c.mlp_actor_critic):
    return make(env, hidden_sizes=(8,))


def cartpole(limit=20):
    return a2c.make_env("CartPole-v1", max_steps_in_episode=limit)


def a2c_of(env, rate, discount, **settings):
    return a2c.actor_critic(
        env, small(env), optax.adam(rate), discount=discount, **(SHARED | settings)
    )


def q_of(rate, discount, **settings):
    env = cartpole()
    network = small(env, a2c.mlp_q_actor_critic)
    settings = SHARED | settings
    return a2c.q_actor_critic(env, network, optax.adam(rate), discount=discount, **settings)


def a3c_of(rate, discount, **settings):
    env = cartpole()
    return a2c.a3c(
        env, small(env), optax.adam(rate), discount=discount, num_workers=3, **SHARED, **settings
    )


def article_of(rate, discount):
    env = cartpole()
    return a2c.article(env, small(env), optax.adam(rate), discount=discount)


def whole_episodes_of(rate, discount):
    env = cartpole()
    agent = a2c.feed_forward(small(env), a2c.categorical(2))
    loss = a2c.combined_loss(discount, a2c.n_step, value_coef=0.5, entropy_coef=0.01)
    return a2c.learner(agent, a2c.episodes(env, agent, 3), loss, optax.adam(rate))


def switches(limit=10):
    """Two switches and a dial, of an observation that is a tree."""

    def observe(state, time):
        return {"state": state, "time": time.astype(jnp.float32)[None] / limit}

    def reset(key):
        state, time = jax.random.normal(key, (2,)), jnp.zeros((), jnp.int32)
        return (state, time), observe(state, time)

    def step(key, env_state, action):
        state, time = env_state
        state, time = state + 0.1 * (action - 1), time + 1
        return a2c.Timestep(
            (state, time), observe(state, time), -jnp.sum(jnp.square(state)),
            jnp.any(jnp.abs(state) > 3), time >= limit,
        )  # fmt: skip

    observation = jax.eval_shape(reset, jax.random.key(0))[1]
    space = a2c.MultiDiscrete((3, 2))
    return a2c.Environment("switches", reset, step, observation, space, limit)


def of_a_tree(rate, discount):
    def flat(obs):
        return jnp.concatenate([obs["state"], obs["time"]], -1)

    network = a2c.Network(
        init=lambda key: jax.random.normal(key, (3, 6)) * 0.1,
        policy=lambda params, obs: flat(obs) @ params[:, :5],
        value=lambda params, obs: flat(obs) @ params[:, 5],
    )
    return a2c.actor_critic(switches(), network, optax.adam(rate), discount=discount, **SHARED)


def remembering_of(make, rate, discount, **settings):
    """A recurrent agent with running statistics of observations and rewards."""
    env = cartpole(5)
    agent = a2c.as_agent(env, a2c.gru_actor_critic(env, (8,), memory_size=4))
    num_envs = SHARED["num_envs"] * settings.get("num_workers", 1)
    agent = a2c.scaled_rewards(a2c.normalized(agent, env), num_envs, discount)
    return make(env, agent, optax.adam(rate), discount=discount, **SHARED, **settings)


def masked_of(rate, discount):
    env = partly_legal(3)
    network = a2c.masked(small(a2c.unmasked(env), a2c.gru_actor_critic), env)
    return a2c.actor_critic(env, network, optax.adam(rate), discount=discount, **SHARED)


# Each makes an algorithm of a rate and a discount, which may be traced.
ALGORITHMS = {
    "normalized gae, a pool of resets": lambda *rates: a2c_of(
        cartpole(5), *rates, estimator=a2c.normalized_advantages(a2c.gae(0.9)), num_resets=2
    ),
    "gaussian": lambda *rates: a2c_of(a2c.make_env("Pendulum-v1"), *rates),
    "several actions, a tree of observations": of_a_tree,
    "an agent that remembers": functools.partial(remembering_of, a2c.actor_critic),
    "a3c of agents that remember": functools.partial(remembering_of, a2c.a3c, num_workers=2),
    "masked actions": masked_of,
    "whole episodes": whole_episodes_of,
    "q_actor_critic": q_of,
    "expected q_actor_critic, a pool of resets": functools.partial(
        q_of, expected=True, num_resets=2
    ),
    "a3c, random order, own statistics": functools.partial(
        a3c_of, order=a2c.random_order, shared_statistics=False
    ),
    "article": article_of,
}


@pytest.fixture(scope="module", params=ALGORITHMS)
def case(request):
    """Makes an algorithm; compiled, ``init`` and ``run(state, rate, discount, updates)``."""
    make = ALGORITHMS[request.param]

    @functools.partial(jax.jit, static_argnums=3)
    def run(state, rate, discount, num_updates):
        return a2c.run(make(rate, discount), state, num_updates)

    return make, jax.jit(make(1e-2, 0.99).init), run


def through_a_checkpoint(state, folder):
    """The state after it has been written to files and read again."""
    number = int(state.update)
    checkpoints.save(folder, number, Checkpoint(named_arrays(state), {}))
    return from_arrays(checkpoints.load(folder, number).arrays, state)


def test_a_run_that_resumes_from_checkpoints_is_the_whole_run_bit_for_bit(case, tmp_path):
    make, init, run = case
    # Read from a file, no number is weakly typed, so that nothing is compiled twice.
    start = through_a_checkpoint(init(jax.random.key(0)), tmp_path / "start")
    whole = run(start, 1e-2, 0.99, 6)
    parts, state = [], start
    while state.update < 6:
        result = run(state, 1e-2, 0.99, 2)
        state = through_a_checkpoint(result.state, tmp_path / str(len(parts)))
        parts.append(result.metrics)
    assert_identical(state, whole.state)
    assert_identical(jax.tree.map(lambda *x: np.concatenate(x), *parts), whole.metrics)
    assert all(np.isfinite(leaf).all() for leaf in whole.metrics)
    if moments := whole.state.agent.moments:
        assert moments.own.statistics.number == 6 * make(1e-2, 0.99).steps_per_update
    if make is masked_of:  # -1 is the reward of an illegal action
        assert (whole.metrics.episode_return_sum >= 0).all()
        assert (whole.metrics.episode_count > 0).any()
    assert whole.state.update == 6
    repeated = run(state._replace(update=start.update), 1e-2, 0.99, 6)
    continued = run(state, 1e-2, 0.99, 6)
    assert not np.array_equal(repeated.metrics.policy_loss, continued.metrics.policy_loss), (
        "an update's random numbers are those of its number"
    )
    moved = optax.tree.norm(optax.tree.sub(whole.state.params, start.params))
    assert moved > 1e-3
    assert (np.asarray(whole.metrics.steps) <= make(1e-2, 0.99).steps_per_update).all()
    assert (np.asarray(whole.metrics.steps) >= 1).all()


def test_one_trace_serves_every_key_rate_and_discount_and_seeds_are_the_single_runs(case, tmp_path):
    make, init, run = case
    traces = []

    # Compiling takes most of the time; these few updates need no optimised program.
    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def train(keys, rate, discount):
        traces.append(1)
        return jax.vmap(lambda key: a2c.train(make(rate, discount), key, 2))(keys)

    keys = jax.random.split(jax.random.key(1), 2)
    results = [train(keys, rate, 0.9 + rate) for rate in (1e-3, 2e-3)]
    single = run(through_a_checkpoint(init(keys[1]), tmp_path), 1e-3, 0.901, 2)
    assert len(traces) == 1
    assert not np.array_equal(*(result.metrics.value_loss for result in results))
    assert not np.array_equal(*results[0].metrics.value_loss)
    second = jax.tree.map(lambda leaf: leaf[1], results[0])
    for one, alone in (
        (second.metrics, single.metrics),
        (second.state.params, single.state.params),
    ):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-3, 1e-4), one, alone)


def test_an_update_maps_the_states_types_to_themselves(case):
    algorithm = case[0](1e-2, 0.99)
    before = jax.eval_shape(algorithm.init, jax.random.key(0))
    after, metrics = jax.eval_shape(algorithm.step, before)
    assert jax.tree.structure(after) == jax.tree.structure(before)
    for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
    assert all(leaf.shape == () and leaf.dtype == jnp.float32 for leaf in metrics)
    assert isinstance(before, a2c.LearnerState)
    assert isinstance(before.agent, a2c.AgentState)
