import dataclasses
import itertools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from comparing import assert_identical
from probe_envs import always_surviving, delayed

import a2c_jax as a2c
from a2c_jax import presets
from a2c_jax.algorithms.article import AS_PRINTED
from a2c_jax.settings import _optimizer

SMALL = dataclasses.replace(
    presets.general, num_envs=2, num_steps=4, total_steps=64, hidden_sizes=(4,)
)


def test_published_numbers_are_those_of_the_presets():
    """Of A2C's signature in Stable-Baselines3 2.x, and of the article's code."""
    sb3, article = presets.stable_baselines3, presets.article
    assert (sb3.learning_rate, sb3.final_learning_rate, sb3.num_steps) == (7e-4, 7e-4, 5)
    assert (sb3.discount, sb3.value_coef, sb3.entropy_coef) == (0.99, 0.5, 0.0)
    assert (sb3.max_grad_norm, sb3.normalize_advantages) == (0.5, False)
    assert (sb3.hidden_sizes, sb3.method) == ((64, 64), "a2c")
    for preset in (article, presets.article_rollouts):
        assert (preset.learning_rate, preset.discount, preset.hidden_sizes) == (3e-4, 0.99, (256,))
        assert (preset.value_coef, preset.entropy_coef) == (0.5, 0.001)
        assert (preset.optimizer, preset.optimizer_eps, preset.optimizer_decay) == (
            "adam",
            1e-8,
            None,
        )
        assert (preset.activation, preset.layer_init) == ("relu", "uniform")
    assert article.num_episodes == 3000


def test_the_articles_loop_is_built_from_its_settings(cartpole, monkeypatch):
    monkeypatch.setattr("a2c_jax.settings.article", lambda *parts, **settings: (parts, settings))
    numbers = {"discount": 0.9, "value_coef": 0.7, "entropy_coef": 0.3}
    preset = dataclasses.replace(
        presets.article_as_printed, learning_rate=0.01, hidden_sizes=(7,), **numbers
    )
    (env, agent, optimizer), settings = presets.build(preset, cartpole)
    assert env is cartpole
    assert settings == {**numbers, "defects": AS_PRINTED}
    params = jax.eval_shape(agent.init, jax.random.key(0))
    assert all(7 in leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 2)
    first, _ = optimizer.update(jnp.array(5.0), optimizer.init(jnp.array(0.0)))
    np.testing.assert_allclose(first, -0.01, rtol=1e-4, err_msg="Adam's first step is the rate")


@pytest.fixture
def parts_of(monkeypatch):
    """What a preset's method gives to its algorithm, by the algorithm's own arguments."""
    for name in ("actor_critic", "q_actor_critic", "a3c"):
        monkeypatch.setattr(f"a2c_jax.settings.{name}", lambda *args, **parts: parts)
    monkeypatch.setattr("a2c_jax.settings.make_agent", lambda *args, **options: None)
    return lambda preset, **functions: presets.build(preset, None, **functions)


FOUR = {"num_workers": 4, "order": a2c.round_robin, "shared_statistics": True}
THREE = {"num_workers": 3, "shared_statistics": False}
GIVEN = [  # a method and changed settings: its estimator, and settings of its own
    ("reinforce", {}, a2c.reinforce, {}),
    ("reinforce-with-baseline", {}, a2c.reinforce_with_baseline, {}),
    ("q-actor-critic", {"expected": True}, a2c.sarsa, {}),  # its agent's, see below
    ("td-actor-critic", {}, a2c.td_actor_critic, {}),
    ("a2c", {}, a2c.n_step, {}),
    ("gae", {"gae_lambda": 0.3}, a2c.gae(0.3), {}),
    ("a3c", {}, a2c.n_step, FOUR),
    ("a3c", {**THREE, "random_order": True}, a2c.n_step, {**THREE, "order": a2c.random_order}),
]


@pytest.mark.parametrize(("name", "changes", "estimator", "own"), GIVEN)
def test_a_method_gives_its_algorithm_its_estimator_and_settings(
    parts_of, name, changes, estimator, own
):
    preset = dataclasses.replace(SMALL, method=name, normalize_advantages=False, **changes)
    parts = parts_of(preset)
    ones, values = jnp.ones((4, 1)), jnp.array([[0.5], [0.5], [-1.0], [0.5]])
    arrays = (jnp.arange(1.0, 5.0)[:, None], 0.9 * ones, ones, values, values + 0.25)
    plain = estimator(*arrays)
    assert_identical(parts.pop("estimator")(*arrays), plain)
    for setting in ("num_envs", "num_steps", "discount", "value_coef", "entropy_coef"):
        assert parts.pop(setting) == getattr(SMALL, setting)
    assert parts == {"num_resets": None, **own}
    normalized = parts_of(dataclasses.replace(preset, normalize_advantages=True, num_resets=3))
    assert normalized["num_resets"] == 3
    expected = plain._replace(advantages=a2c.normalize(plain.advantages))
    assert_identical(normalized["estimator"](*arrays), expected)


@pytest.mark.parametrize("expected", [False, True])
def test_the_critic_of_actions_is_expected_as_set_in_training_and_always_in_acting(
    expected, cartpole, monkeypatch
):
    checked = "a2c_jax.settings.checked_action_values"
    monkeypatch.setattr(checked, lambda *parts, expected: expected)
    settings = dataclasses.replace(SMALL, method="q-actor-critic", expected=expected)
    assert presets.make_agent(settings, cartpole, training=True) == expected
    assert presets.make_agent(settings, cartpole)


def updates_of(settings, gradients):
    """The updates of a parameter by the optimizer of settings, at a rate of 0.1."""
    settings = dataclasses.replace(settings, learning_rate=0.1, final_learning_rate=0.1)
    optimizer = _optimizer(settings)(0.1)
    state = optimizer.init(jnp.array(1.0))
    for gradient in gradients:
        update, state = optimizer.update(jnp.array(gradient), state)
        yield update


def test_optimizers_are_those_of_pytorch():
    """torch.optim.RMSprop: v = α v + (1 - α) g²; w -= rate * g / (sqrt(v) + eps); Adam and SGD."""
    gradients = (1e-5, 3e-5, -2e-5)
    first = second = square = 0.0
    small = dataclasses.replace(presets.general, optimizer_eps=1e-6)
    other = dataclasses.replace(small, optimizer="adam", optimizer_decay=0.9)
    rows = (updates_of(one, gradients) for one in (
        presets.general, other, dataclasses.replace(small, optimizer="sgd")
    ))  # fmt: skip
    for step, (g, *updates) in enumerate(zip(gradients, *rows, strict=True), 1):
        square = 0.99 * square + 0.01 * g**2
        first, second = 0.9 * first + 0.1 * g, 0.9 * second + 0.1 * g**2
        adam = first / (1 - 0.9**step) / ((second / (1 - 0.9**step)) ** 0.5 + 1e-6)
        expected = (g / (square**0.5 + 1e-5), adam, g)
        np.testing.assert_allclose(updates, np.multiply(-0.1, expected), rtol=1e-5)


def test_functions_take_the_place_of_the_settings_own(cartpole, parts_of, monkeypatch):
    def clipped(*arrays):
        return a2c.n_step(*arrays)

    settings = dataclasses.replace(SMALL, normalize_advantages=False)
    assert parts_of(settings, estimator=clipped)["estimator"] is clipped
    monkeypatch.undo()
    network, rates = a2c.mlp_actor_critic(cartpole, (3,)), []
    algorithm = presets.build(
        settings, cartpole, network=network,
        optimizer=lambda rate: rates.append(rate) or optax.sgd(rate),
    )  # fmt: skip
    params = jax.eval_shape(algorithm.init, jax.random.key(0)).params
    assert {leaf.shape for leaf in jax.tree.leaves(params["policy"])} >= {(3,), (3, 2)}
    assert rates[0](0) == pytest.approx(settings.learning_rate)
    scaled = presets.make_network(dataclasses.replace(SMALL, value_scale=7.0), cartpole, network)
    start, obs = network.init(jax.random.key(0)), jnp.ones((1, 4))
    np.testing.assert_allclose(scaled.value(start, obs), 7 * network.value(start, obs), rtol=1e-6)


def head_of(network, num_actions):
    """The kernel of the last layer of the policy."""
    leaves = jax.tree.leaves(network.init(jax.random.key(0))["policy"])
    return next(leaf for leaf in leaves if leaf.ndim == 2 and num_actions in leaf.shape)


def test_choices_of_networks_make_them(cartpole):
    wide = dataclasses.replace(SMALL, layer_init="uniform", activation="elu", log_std=None)
    made = presets.make_network(wide, a2c.make_env("Pendulum-v1"))
    params = made.init(jax.random.key(0))
    assert np.abs(head_of(made, 2)).max() <= 4**-0.5
    assert made.policy(params, jnp.ones(3)).shape == (2,), "the deviation is an output"
    env = a2c.make_env("Breakout-MinAtar")
    number = env.action_space.n
    for network, gain in itertools.product(("mlp", "conv", "gru"), (0.01, 3.0)):
        settings = dataclasses.replace(presets.general, network=network, policy_init=gain)
        head = head_of(presets.make_network(settings, env), number)
        np.testing.assert_allclose(np.linalg.norm(head, ord=2), gain, rtol=1e-4)


@pytest.mark.parametrize("power", [1.0, 4.0])
def test_the_rate_falls_by_a_power_of_what_is_left(power, parts_of):
    rates = []
    settings = dataclasses.replace(
        SMALL, learning_rate=0.5, final_learning_rate=0.1, rate_power=power
    )
    parts_of(settings, optimizer=lambda rate: rates.append(rate) or optax.sgd(rate))
    [rate] = rates
    progress = np.linspace(0.0, 1.0, 9)  # of 64 steps, 8 an update
    expected = 0.1 + 0.4 * (1.0 - progress) ** power
    np.testing.assert_allclose([rate(update) for update in range(9)], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("method", "steps"),
    [  # and the optimizer's steps in a round: both workers', or those of each
        ({}, 1),
        ({"method": "a3c", "num_workers": 2}, 2),
        ({"method": "a3c", "num_workers": 2, "shared_statistics": False}, [1, 1]),
    ],
)
def test_the_rate_and_the_entropy_coefficient_reach_their_ends_with_the_last_update(method, steps):
    """Rewards and values are 0, so the gradient is the entropy's, times its coefficient."""
    rates = []
    two_numbers = a2c.Network(
        init=lambda key: jnp.array([1.0, 0.0]),
        policy=lambda params, obs: jnp.broadcast_to(params, (*obs.shape[:-1], 2)),
        value=lambda params, obs: jnp.zeros(obs.shape[:-1]),
    )
    preset = dataclasses.replace(
        SMALL, **method, normalize_advantages=False,
        learning_rate=1e-8, final_learning_rate=1e-9,  # the two numbers stay what they are
        entropy_coef=0.5, final_entropy_coef=0.1,
    )  # fmt: skip
    algorithm = presets.build(
        preset, a2c.scale_rewards(always_surviving(), 1e-30), network=two_numbers,
        optimizer=lambda rate: rates.append(rate) or optax.sgd(rate),
    )  # fmt: skip
    number = presets.num_updates(preset)
    trained = jax.jit(lambda key: a2c.train(algorithm, key, number))(jax.random.key(0))
    coefs = 0.5 - 0.4 * np.arange(number) / number
    norms = trained.metrics.grad_norm
    np.testing.assert_allclose(norms / norms[0], coefs / coefs[0], rtol=1e-4)

    opt_state = trained.state.opt_state
    (counts,) = (count for _, count in optax.tree.get_all_with_path(opt_state, "count"))
    np.testing.assert_array_equal(counts, np.multiply(steps, number))
    [rate], end = rates, np.max(counts)
    ends = [rate(0), rate(end - 1), rate(end)]
    np.testing.assert_allclose(ends, [1e-8, 1e-9 + 9e-9 / end, 1e-9], rtol=1e-5)


def test_updates_are_rounded_down():
    assert presets.num_updates(dataclasses.replace(presets.general, total_steps=199)) == 4
    a3c = dataclasses.replace(presets.general, method="a3c", total_steps=500)
    assert presets.num_updates(a3c) == 3  # rounds of 4 workers: 3 * 160 = 480


NAN = float("nan")
WRONG = {
    "total_steps": (0, 39), "num_envs": (0, 2.5), "num_steps": (-1,), "rate_power": (0.0,),
    "learning_rate": (0.0, -1e-3, NAN, 1e39), "final_learning_rate": (-1e-3,), "discount": (1.5,),
    "max_grad_norm": (0.0, NAN), "entropy_coef": (-0.1,), "final_entropy_coef": (-0.1, NAN),
    "gae_lambda": (2.0,), "num_workers": (0,), "num_episodes": (0, 1.5), "value_coef": (-1.0,),
    "optimizer_decay": (2.0,), "hidden_sizes": ((0,), 5, ("a",)), "observation_scale": ((-1.0,),),
}  # fmt: skip


@pytest.mark.parametrize("setting", WRONG)
def test_settings_outside_their_range_are_named(setting):
    for value in WRONG[setting]:
        with pytest.raises(
            ValueError, match=rf"^{setting} is {re.escape(str(value))}.*; give .*\.$"
        ):
            presets.num_updates(dataclasses.replace(presets.general, **{setting: value}))
    with pytest.raises(ValueError, match=r"less than the 160 of a single update; give at least"):
        presets.num_updates(dataclasses.replace(presets.general, method="a3c", total_steps=159))


@pytest.mark.parametrize(
    ("setting", "name", "hint"),
    [("method", "a2d", "a2c"), ("optimizer", "adan", "adam"), ("activation", "rel", "relu or elu")],
)
def test_a_choice_that_does_not_exist_is_answered_with_the_nearest(setting, name, hint):
    kind = "algorithm" if setting == "method" else setting
    with pytest.raises(ValueError, match=f"^There is no {kind} '{name}'; did you mean {hint}"):
        dataclasses.replace(presets.general, **{setting: name})


def test_values_in_their_unit_learn_as_divided_rewards_do(parts_of, monkeypatch):
    scaled = parts_of(dataclasses.replace(SMALL, value_scale=10.0, normalize_rewards=True))
    assert scaled["value_coef"] == 100 * SMALL.value_coef, "scaled rewards replace the unit"
    monkeypatch.undo()

    @jax.jit
    @jax.vmap
    def params(unit, value_coef, factor):
        preset = dataclasses.replace(SMALL, value_scale=unit, value_coef=value_coef)
        algorithm = presets.build(preset, a2c.scale_rewards(delayed(), factor))
        return a2c.train(algorithm, jax.random.key(0), 8).state.params

    coef = SMALL.value_coef
    both = params(jnp.array([10.0, 1.0]), jnp.array([coef / 100, coef]), jnp.array([1.0, 0.1]))
    ours, theirs = (jax.tree.map(lambda leaf, i=i: leaf[i], both) for i in range(2))
    chex.assert_trees_all_close(ours, theirs, rtol=1e-3, atol=1e-5)
