import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from probe_envs import action_dependent, always_surviving, delayed

import a2c_jax as a2c


def learn(env, num_updates, make=a2c.actor_critic, *, rate=1e-2, discount=0.9, **settings):
    """Trains a small network on a probe; returns it with its parameters."""
    of_actions = make is a2c.q_actor_critic
    network = (a2c.mlp_q_actor_critic if of_actions else a2c.mlp_actor_critic)(env, (16,))
    optimizer = optax.adam(optax.linear_schedule(rate, 0.0, num_updates))
    algorithm = make(
        env, network, optimizer, num_envs=8, num_steps=8, discount=discount, **settings
    )
    result = jax.jit(lambda key: a2c.train(algorithm, key, num_updates))(jax.random.key(0))
    return network, result.state.params


def test_a_constant_reward_is_worth_1_over_1_minus_discount_unless_truncation_is_masked():
    """Masked, a time limit ends the reward: the mistake must be seen to be caught."""
    env = always_surviving()

    def learnt(masked):
        def step(key, env_state, action):
            timestep = env.step(key, env_state, action)
            ended = timestep.terminated | (timestep.truncated & masked)
            return timestep._replace(terminated=ended)

        network, params = learn(env._replace(step=step), 1500)
        return network.value(params, jnp.ones(1))

    value, undervalued = jax.jit(jax.vmap(learnt))(jnp.array([False, True]))
    assert abs(value - 10.0) < 0.5
    assert undervalued < 8.0


SLOW = pytest.mark.slow("learning")


def test_a_reward_at_the_end_is_discounted_once():
    network, params = learn(delayed(), 600, estimator=a2c.gae(0.9))
    values = network.value(params, jnp.array([[0.0], [1.0]]))
    np.testing.assert_allclose(values, [0.9, 1.0], atol=0.02)


@SLOW
@pytest.mark.parametrize("expected", [False, True])
@pytest.mark.parametrize(
    ("env", "exact"),
    [(action_dependent(), [[1.0, 0.0], [0.0, 1.0]]), (delayed(), [[0.9, 0.9], [1.0, 1.0]])],
)
def test_the_value_of_each_action_is_exact(env, expected, exact):
    """Entropy keeps both actions in play: without it one would no longer be tried."""
    network, params = learn(env, 600, a2c.q_actor_critic, entropy_coef=1.0, expected=expected)
    values = network.value(params, jnp.array([[0.0], [1.0]]))
    np.testing.assert_allclose(values, exact, atol=0.03)


# All other estimators are the same on episodes of one step.
@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (a2c.actor_critic, {}),
        pytest.param(a2c.actor_critic, {"estimator": a2c.reinforce}, marks=SLOW),
        pytest.param(a2c.q_actor_critic, {}, marks=SLOW),
        pytest.param(a2c.a3c, {"num_workers": 4}, marks=SLOW),
        pytest.param(
            a2c.a3c,
            {"num_workers": 4, "order": a2c.random_order, "shared_statistics": False},
            marks=SLOW,
        ),
    ],
)
def test_it_learns_to_copy_the_coin(make, settings):
    network, params = learn(action_dependent(), 400, make, **settings)
    probs = jax.nn.softmax(network.policy(params, jnp.array([[0.0], [1.0]])))
    assert (jnp.diagonal(probs) > 0.95).all(), probs


def test_a_sweep_over_keys_rates_discounts_and_coefficients_is_one_program_without_callbacks(
    cartpole,
):
    network = a2c.mlp_actor_critic(cartpole, (4,))

    def sweep(keys, rates, discounts, entropy_coefs, lambdas):
        def train(rate, discount, entropy_coef, lambda_, key):
            algorithm = a2c.actor_critic(
                cartpole, network, optax.adam(rate), num_envs=2, num_steps=3, discount=discount,
                estimator=a2c.gae(lambda_), entropy_coef=entropy_coef,
            )  # fmt: skip
            return a2c.train(algorithm, key, 4).metrics.policy_loss

        seeds = jax.vmap(train, (None, None, None, None, 0))
        return jax.vmap(seeds, (0, 0, 0, 0, None))(rates, discounts, entropy_coefs, lambdas, keys)

    keys = jax.random.split(jax.random.key(0), 3)
    settings = np.array([[1e-3, 0.9, 0.0, 0.5]] * 5, np.float32)
    settings[range(1, 5), range(4)] = 1e-2, 0.5, 0.1, 0.9  # each differs from the first in one
    lowered = jax.jit(sweep).lower(keys, *settings.T)
    assert "while" in lowered.as_text()
    for of_the_host in ("callback", "infeed", "outfeed"):
        assert of_the_host not in lowered.as_text()
    program = lowered.compile()
    losses = program(keys, *settings.T)
    assert losses.shape == (5, 3, 4)
    assert len(np.unique(losses[..., -1])) == 5 * 3
    other_way_round = program(keys[::-1], *settings[::-1].T)
    np.testing.assert_allclose(other_way_round[::-1, ::-1], losses, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("num_workers", [None, 2])
def test_an_optimizer_clips_by_the_global_norm_and_may_use_the_loss(cartpole, num_workers):
    """rejax clips each element instead; the norm after one step of SGD tells the two apart.

    ``total`` adds up the losses which it is given: of A3C, those of all workers.
    """
    total = optax.GradientTransformationExtraArgs(
        lambda params: jnp.zeros(()),
        lambda updates, state, params, *, value, **others: (updates, state + value),
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1e-3), optax.sgd(1.0), total)
    make = functools.partial(a2c.a3c, num_workers=2) if num_workers else a2c.actor_critic
    network = a2c.mlp_actor_critic(cartpole, (4,))
    algorithm = make(cartpole, network, optimizer, num_envs=2, num_steps=4)

    @jax.jit
    def first_step(key):
        start = algorithm.init(key)
        return start, *algorithm.step(start)

    start, after, metrics = first_step(jax.random.key(0))
    opt_state = after.opt_state.opt_state if num_workers else after.opt_state
    expected = (num_workers or 1) * (metrics.policy_loss + 0.5 * metrics.value_loss)
    np.testing.assert_allclose(opt_state[-1], expected, rtol=1e-5)
    assert metrics.grad_norm > 1e-2, "reported before clipping"
    moved = optax.tree.norm(optax.tree.sub(after.params, start.params))
    if num_workers:
        assert 1e-4 < moved < 2.001e-3  # two steps, not in the same direction
    else:
        np.testing.assert_allclose(moved, 1e-3, rtol=1e-3)


def test_arguments_outside_their_range_are_named(cartpole):
    network, q_network = (
        make(cartpole, (4,)) for make in (a2c.mlp_actor_critic, a2c.mlp_q_actor_critic)
    )
    bad = [
        ("num_envs", 0), ("num_envs", 2.5), ("num_steps", 0), ("num_steps", True),
        ("discount", 1.1), ("discount", -0.1), ("discount", float("nan")),
        ("value_coef", -1.0), ("entropy_coef", float("inf")),
    ]  # fmt: skip
    cases = [(a2c.actor_critic, network, *each) for each in bad]
    cases += [(a2c.q_actor_critic, q_network, *each) for each in bad]
    cases += [(a2c.a3c, network, "num_workers", value) for value in (0, -1, 1.5, True)]
    for make, given, argument, value in cases:
        settings = {"num_envs": 2, "num_steps": 3, argument: value}
        with pytest.raises(ValueError, match=rf"^{argument} is .*; give .*\.$"):
            make(cartpole, given, optax.adam(1e-3), **settings)


def test_what_is_no_optimizer_and_no_key_is_refused(cartpole):
    network = a2c.mlp_actor_critic(cartpole, (4,))
    with pytest.raises(ValueError, match="optimizer is a float; give an optax transformation"):
        a2c.actor_critic(cartpole, network, 0.1, num_envs=1, num_steps=1)
    algorithm = a2c.actor_critic(cartpole, network, optax.sgd(0.1), num_envs=1, num_steps=1)
    for key in (0, None, jax.random.split(jax.random.key(0), 2), jnp.zeros(2)):
        with pytest.raises(ValueError, match=r"key is not a key \(.*\); give one, such as"):
            a2c.train(algorithm, key, 1)
    with pytest.raises(ValueError, match="lambda_ is None; give a number from 0 to 1"):
        a2c.gae(None)
