"""Staleness on a problem that can be followed by hand, and on CartPole by a plain loop."""

import collections
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from probe_envs import delayed

import a2c_jax as a2c


def follow(optimizer, rounds, **settings):
    """A value that is a single number, from 0, whose target is always 1; its states by round.

    There is one step in an episode, with a reward of 1, and the policy has no parameters.
    """
    env = delayed()

    def step(key, env_state, action):
        timestep = env.step(key, env_state, action)
        return timestep._replace(
            reward=jnp.ones(()), terminated=jnp.array(True), truncated=jnp.array(False)
        )

    number = a2c.Network(
        init=lambda key: {"v": jnp.zeros(())},
        policy=lambda params, obs: jnp.zeros((*obs.shape[:-1], 2)),
        value=lambda params, obs: jnp.broadcast_to(params["v"], obs.shape[:-1]),
    )
    algorithm = a2c.a3c(
        env._replace(step=step), number, optimizer, num_envs=2, num_steps=3, **settings
    )
    states, step = [jax.jit(algorithm.init)(jax.random.key(0))], jax.jit(algorithm.step)
    for _ in range(rounds):
        states.append(step(states[-1])[0])
    return states


def simulate(rate, momentum, num_workers, arrivals, shared):
    """Workers in a queue: the one in front delivers, takes the new number, and queues again.

    The loss is (1 - v)² / 2, so the gradient at a copy v is v - 1.
    """
    number = 0.0
    velocity = collections.defaultdict(float)
    queue = collections.deque((worker, number) for worker in range(num_workers))
    numbers = []
    for _ in range(arrivals):
        worker, copy = queue.popleft()
        owner = "all" if shared else worker
        velocity[owner] = momentum * velocity[owner] + (copy - 1.0)
        number -= rate * velocity[owner]
        numbers.append(number)
        queue.append((worker, number))
    return numbers


def test_staleness_by_hand():
    _, first, second = follow(optax.sgd(0.1), 2, num_workers=3)
    # Round 1: all three copies are 0, each gradient is -1:    0.1, 0.2, 0.3.
    # Round 2: the copies are 0.1, 0.2, 0.3, the gradients -0.9, -0.8, -0.7:
    #          0.3 + 0.09 = 0.39, + 0.08 = 0.47, + 0.07 = 0.54.
    np.testing.assert_allclose(first.params["v"], 0.3, rtol=1e-6)
    np.testing.assert_allclose(second.opt_state.copies["v"], [0.39, 0.47, 0.54], rtol=1e-6)
    np.testing.assert_allclose(second.params["v"], 0.54, rtol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_workers_in_a_queue(shared):
    optimizer = optax.sgd(0.05, momentum=0.8)
    _, *states = follow(optimizer, 7, num_workers=5, shared_statistics=shared)
    ours = [float(state.params["v"]) for state in states]
    np.testing.assert_allclose(ours, simulate(0.05, 0.8, 5, 35, shared)[4::5], rtol=1e-5)
    assert abs(simulate(0.05, 0.8, 5, 35, not shared)[-1] - ours[-1]) > 1e-3


def test_the_order_of_arrival_is_drawn_anew_each_round():
    """The number only grows here, so a worker's copy tells when it came."""
    states = follow(optax.sgd(0.01), 20, num_workers=6, order=a2c.random_order)
    orders = []
    for before, after in itertools.pairwise(states):
        order = np.argsort(after.opt_state.copies["v"])
        orders.append(tuple(order))
        # The same round by hand, in that order.
        number = float(before.params["v"])
        for worker in order:
            number -= 0.01 * (float(before.opt_state.copies["v"][worker]) - 1.0)
            np.testing.assert_allclose(after.opt_state.copies["v"][worker], number, rtol=1e-5)
        np.testing.assert_allclose(after.params["v"], number, rtol=1e-5)
    assert len(set(orders)) > 15, "of 720 orders, 20 draws are nearly all different"
    assert len({order[0] for order in orders}) >= 4, "no worker is always first"


def test_with_one_worker_its_program_is_that_of_a2c(cartpole):
    network = a2c.mlp_actor_critic(cartpole, (4,))
    settings = {"num_envs": 4, "num_steps": 5, "entropy_coef": 0.01, "estimator": a2c.gae(0.9)}
    one = a2c.a3c(
        cartpole, network, optax.rmsprop(1e-2), num_workers=1, order=a2c.random_order,
        shared_statistics=False, **settings,
    )  # fmt: skip
    assert one.steps_per_update == 20
    ours, theirs = (
        jax.jit(lambda key, each=each: a2c.train(each, key, 2)).lower(jax.random.key(0)).as_text()
        for each in (one, a2c.actor_critic(cartpole, network, optax.rmsprop(1e-2), **settings))
    )
    assert ours == theirs


def test_cartpole_against_a_plain_loop_over_workers(cartpole):
    """Every worker acts by its own copy in its own environments, and learns from them."""
    num_workers, envs, steps, rounds = 3, 2, 8, 4
    network = a2c.mlp_actor_critic(cartpole, (8,))
    algorithm = a2c.a3c(
        cartpole, network, optax.sgd(0.5), num_workers=num_workers, num_envs=envs,
        num_steps=steps, discount=0.9,
    )  # fmt: skip
    state = jax.jit(algorithm.init)(jax.random.key(5))
    result = jax.jit(lambda state: a2c.run(algorithm, state, rounds))(state)

    params, copies = state.params, [state.params] * num_workers
    env_state, obs, ended = state.actors.env_state, state.actors.obs, 0
    loss = jax.jit(jax.grad(
        lambda params, rows: a2c.actor_critic_loss(params, network, rows, discount=0.9)[0]
    ))  # fmt: skip

    @jax.jit
    def roll(key, copies, env_state, obs):
        def act(obs):
            own = [obs[w * envs : (w + 1) * envs] for w in range(num_workers)]
            return jnp.concatenate([network.policy(s, o) for s, o in zip(copies, own, strict=True)])

        return a2c.rollout(key, act, cartpole, env_state, obs, steps)

    for round_ in range(rounds):
        key = jax.random.fold_in(state.key, round_)
        env_state, obs, rows = roll(key, copies, env_state, obs)
        ended += int(rows.terminated.sum())
        for w in range(num_workers):
            own = jax.tree.map(lambda x, w=w: x[:, w * envs : (w + 1) * envs], rows)
            gradient = loss(copies[w], own)
            params = jax.tree.map(lambda p, g: p - 0.5 * g, params, gradient)
            copies[w] = params
    moved = jax.tree.map(jnp.subtract, params, state.params)
    ours = jax.tree.map(jnp.subtract, result.state.params, state.params)
    assert optax.tree.norm(moved) > 0.1
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-4), ours, moved)
    assert result.metrics.episode_count.sum() == ended
    assert result.metrics.grad_norm.shape == (rounds,)
    assert algorithm.steps_per_update == num_workers * envs * steps
