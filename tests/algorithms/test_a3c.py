"""Staleness on a problem that can be followed by hand, and on CartPole by a plain loop."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from comparing import assert_identical
from probe_envs import action_dependent, delayed

import a2c_jax as a2c


def one_number(env):
    """A policy without parameters and a value that is a single number, which starts at 0."""
    return a2c.Network(
        init=lambda key: {"v": jnp.zeros(())},
        policy=lambda params, obs: jnp.zeros((*obs.shape[:-1], 2)),
        value=lambda params, obs: jnp.broadcast_to(params["v"], obs.shape[:-1]),
    )


def always_one():
    """Reward 1 and the end after each step, so the target is always 1."""
    env = delayed()

    def step(key, env_state, action):
        timestep = env.step(key, env_state, action)
        return timestep._replace(
            reward=jnp.ones(()), terminated=jnp.array(True), truncated=jnp.array(False)
        )

    return env._replace(step=step)


def follow(optimizer, rounds, **settings):
    """The one number after each round, by a3c; ``[rounds]``, and the last state."""
    env = always_one()
    algorithm = a2c.a3c(env, one_number(env), optimizer, num_envs=2, num_steps=3, **settings)
    state, step, numbers = algorithm.init(jax.random.key(0)), jax.jit(algorithm.step), []
    for _ in range(rounds):
        state, _ = step(state)
        numbers.append(float(state.params["v"]))
    return numbers, state


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
    numbers, state = follow(optax.sgd(0.1), 2, num_workers=3)
    # Round 1: all three copies are 0, each gradient is -1:    0.1, 0.2, 0.3.
    # Round 2: the copies are 0.1, 0.2, 0.3, the gradients -0.9, -0.8, -0.7:
    #          0.3 + 0.09 = 0.39, + 0.08 = 0.47, + 0.07 = 0.54.
    np.testing.assert_allclose(numbers, [0.3, 0.54], rtol=1e-6)
    np.testing.assert_allclose(state.opt_state.copies["v"], [0.39, 0.47, 0.54], rtol=1e-6)


@pytest.mark.parametrize(("num_workers", "shared"), [(2, True), (5, True), (5, False)])
def test_workers_in_a_queue(num_workers, shared):
    ours, _ = follow(
        optax.sgd(0.05, momentum=0.8), 7, num_workers=num_workers, shared_statistics=shared
    )
    queue = simulate(0.05, 0.8, num_workers, 7 * num_workers, shared)
    np.testing.assert_allclose(ours, queue[num_workers - 1 :: num_workers], rtol=1e-5)
    assert abs(simulate(0.05, 0.8, num_workers, 7 * num_workers, not shared)[-1] - ours[-1]) > 1e-3


def test_the_order_of_arrival_is_drawn_anew_each_round():
    """The number only grows here, so a worker's copy tells when it came."""
    env = always_one()
    algorithm = a2c.a3c(
        env, one_number(env), optax.sgd(0.01),
        num_workers=6, num_envs=1, num_steps=1, order=a2c.random_order,
    )  # fmt: skip
    state, step, orders = algorithm.init(jax.random.key(0)), jax.jit(algorithm.step), []
    for _ in range(20):
        before = state
        state, _ = step(state)
        order = np.argsort(state.opt_state.copies["v"])
        orders.append(tuple(order))
        # The same round by hand, in that order.
        number = float(before.params["v"])
        for worker in order:
            number -= 0.01 * (float(before.opt_state.copies["v"][worker]) - 1.0)
            np.testing.assert_allclose(state.opt_state.copies["v"][worker], number, rtol=1e-5)
        np.testing.assert_allclose(state.params["v"], number, rtol=1e-5)
    assert len(set(orders)) > 15, "of 720 orders, 20 draws are nearly all different"
    first = collections.Counter(order[0] for order in orders)
    assert len(first) >= 4, "no worker is always first"


def test_one_worker_is_a2c_bit_for_bit(cartpole):
    network = a2c.mlp_actor_critic(cartpole, (8,))
    settings = {"num_envs": 4, "num_steps": 5, "entropy_coef": 0.01, "estimator": a2c.gae(0.9)}
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.rmsprop(1e-2))
    algorithm = a2c.actor_critic(cartpole, network, optimizer, **settings)
    one = a2c.a3c(
        cartpole, network, optimizer, num_workers=1, order=a2c.random_order,
        shared_statistics=False, **settings,
    )  # fmt: skip
    assert one.steps_per_update == 20
    ours, theirs = (
        jax.jit(lambda key, each=each: a2c.train(each, key, 50))(jax.random.key(3))
        for each in (one, algorithm)
    )
    assert_identical(ours, theirs)


def test_cartpole_against_a_plain_loop_over_workers(cartpole):
    """Every worker acts by its own copy in its own environments, and learns from them."""
    num_workers, envs, steps, rounds = 3, 2, 8, 4
    network = a2c.mlp_actor_critic(cartpole, (8,))
    algorithm = a2c.a3c(
        cartpole, network, optax.sgd(0.5), num_workers=num_workers, num_envs=envs, num_steps=steps
    )
    state = algorithm.init(jax.random.key(5))
    result = jax.jit(lambda state: a2c.run(algorithm, state, rounds))(state)

    params, copies = state.params, [state.params] * num_workers
    env_state, obs, ended = state.actors.env_state, state.actors.obs, 0
    loss = jax.jit(jax.grad(
        lambda params, rows: a2c.actor_critic_loss(params, network, rows, discount=0.99)[0]
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


@pytest.mark.parametrize("options", [{}, {"order": a2c.random_order, "shared_statistics": False}])
def test_it_learns_to_copy_the_coin(options):
    env = action_dependent()
    network = a2c.mlp_actor_critic(env, (16,))
    algorithm = a2c.a3c(
        env, network, optax.adam(5e-3), num_workers=4, num_envs=4, num_steps=8, **options
    )
    result = jax.jit(lambda key: a2c.train(algorithm, key, 150))(jax.random.key(0))
    probs = jax.nn.softmax(network.policy(result.state.params, jnp.array([[0.0], [1.0]])))
    assert probs[0, 0] > 0.95
    assert probs[1, 1] > 0.95


@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_a_number_of_workers_that_is_none_is_named(cartpole, value):
    with pytest.raises(ValueError, match=r"^num_workers is .*; give .*\.$"):
        a2c.a3c(
            cartpole, a2c.mlp_actor_critic(cartpole), optax.adam(1e-3),
            num_workers=value, num_envs=1, num_steps=1,
        )  # fmt: skip
