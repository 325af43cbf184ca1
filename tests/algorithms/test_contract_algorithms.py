"""What every algorithm must do; a new one is an entry in ``ALGORITHMS``."""

import functools

import jax
import numpy as np
import optax
import pytest
from comparing import assert_identical
from probe_envs import partly_legal

import a2c_jax as a2c
from a2c_jax.experiment.run.checkpoints import from_arrays, named_arrays

SHARED = {"num_envs": 2, "num_steps": 3, "entropy_coef": 0.01}
RATES = (1e-2, 0.99)
KEYS = jax.random.split(jax.random.key(0), 2)


def small(make, env):
    return make(env, hidden_sizes=(4,))


def cartpole(limit=20):
    return a2c.make_env("CartPole-v1", max_steps_in_episode=limit)


def of_a_pool(rate, discount):
    env, estimator = cartpole(5), a2c.normalized_advantages(a2c.gae(0.9))
    return a2c.actor_critic(
        env, small(a2c.mlp_actor_critic, env), optax.adam(rate), discount=discount,
        estimator=estimator, num_resets=2, **SHARED,
    )  # fmt: skip


def a3c_of_memories(rate, discount):
    """Recurrent workers with running statistics, each with an optimizer of its own."""
    env = cartpole(5)
    agent = a2c.as_agent(env, a2c.gru_actor_critic(env, (4,), memory_size=4))
    agent = a2c.scaled_rewards(a2c.normalized(agent, env), 2 * SHARED["num_envs"], discount)
    return a2c.a3c(
        env, agent, optax.adam(rate), discount=discount, num_workers=2, order=a2c.random_order,
        shared_statistics=False, **SHARED,
    )  # fmt: skip


def masked_memory(rate, discount):
    env = partly_legal(3)
    network = a2c.masked(small(a2c.gru_actor_critic, a2c.unmasked(env)), env)
    return a2c.actor_critic(env, network, optax.adam(rate), discount=discount, **SHARED)


def masked_q(rate, discount):
    env = partly_legal(3)
    network = a2c.masked(small(a2c.mlp_q_actor_critic, a2c.unmasked(env)), env)
    return a2c.q_actor_critic(
        env, network, optax.adam(rate), discount=discount, expected=True, num_resets=2, **SHARED
    )


def whole_episodes(rate, discount):
    env = cartpole()
    agent = a2c.feed_forward(small(a2c.mlp_actor_critic, env), a2c.categorical(2))
    loss = a2c.combined_loss(discount, a2c.n_step, value_coef=0.5, entropy_coef=0.01)
    return a2c.learner(agent, a2c.episodes(env, agent, 3), loss, optax.adam(rate))


def article(rate, discount):
    env = cartpole()
    return a2c.article(env, small(a2c.mlp_actor_critic, env), optax.adam(rate), discount=discount)


# Each makes an algorithm of a rate and a discount, which may be traced.
ALGORITHMS = [of_a_pool, a3c_of_memories, masked_memory, masked_q, whole_episodes, article]


@functools.cache
def compiled(make):
    """Jitted ``run(state, rate, discount)`` of two updates, a first state, and the result from it.

    Fourth, a list that grows when ``run`` is traced. The first state is read from arrays, in which
    no number is weakly typed, so one program serves all states.
    """
    traces = []

    @jax.jit
    def run(state, rate, discount):
        traces.append(1)
        return a2c.run(make(rate, discount), state, 2)

    start = through_arrays(jax.jit(make(*RATES).init)(KEYS[1]))
    return run, start, run(start, *RATES), traces


def through_arrays(state):
    """The state as it is after a checkpoint."""
    return from_arrays(named_arrays(state), state)


@pytest.mark.parametrize("make", ALGORITHMS)
def test_a_state_read_from_arrays_continues_the_run_and_every_rate_shares_its_program(make):
    run, start, first, traces = compiled(make)
    whole = run(first.state, *RATES)
    assert_identical(run(through_arrays(first.state), *RATES), whole)
    assert whole.state.update == 4
    assert all(np.isfinite(leaf).all() for leaf in whole.metrics)
    again = run(first.state._replace(update=start.update), *RATES).metrics
    assert not np.array_equal(again.policy_loss, whole.metrics.policy_loss), (
        "an update's random numbers are those of its number"
    )
    of_one_step = make in (masked_memory, masked_q)  # where nothing is discounted
    for other in [(2e-2, 0.99)] if of_one_step else [(2e-2, 0.99), (1e-2, 0.9)]:
        assert not np.array_equal(run(start, *other).metrics.value_loss, first.metrics.value_loss)
    assert len(traces) == 1
    for steps in (first.metrics.steps, whole.metrics.steps):
        assert (steps >= 1).all()
        assert (steps <= make(*RATES).steps_per_update).all()
    if moments := whole.state.agent.moments:
        assert moments.own.statistics.number == 4 * make(*RATES).steps_per_update
    if of_one_step:  # -1 is the reward of an illegal action
        assert (whole.metrics.episode_return_sum >= 0).all()
        assert (whole.metrics.episode_count > 0).any()


@pytest.mark.parametrize("make", [a3c_of_memories, whole_episodes])
def test_vmapped_seeds_are_the_single_runs(make):
    _, _, single, _ = compiled(make)
    seeds = jax.jit(jax.vmap(lambda key: a2c.train(make(*RATES), key, 2)))(KEYS)
    assert not np.array_equal(*seeds.metrics.value_loss)
    for ours, theirs in zip(
        jax.tree.leaves((seeds.metrics, seeds.state.params)),
        jax.tree.leaves((single.metrics, single.state.params)),
        strict=True,
    ):
        np.testing.assert_allclose(ours[1], theirs, rtol=1e-3, atol=1e-4)
