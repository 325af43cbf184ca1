import dataclasses

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
from a2c_jax.experiment.config.settings import replace
from a2c_jax.methods import A3C, METHODS

SMALL = dataclasses.replace(
    presets.general, num_envs=2, num_steps=4, total_steps=64, hidden_sizes=(4,)
)


def test_published_numbers_are_those_of_the_presets():
    """Of A2C's signature in Stable-Baselines3 2.x, and of the article's code."""
    sb3, article = presets.stable_baselines3, presets.article
    assert (sb3.learning_rate, sb3.final_learning_rate, sb3.num_steps) == (7e-4, 7e-4, 5)
    assert (sb3.discount, sb3.value_coef, sb3.entropy_coef) == (0.99, 0.5, 0.0)
    assert (sb3.max_grad_norm, sb3.normalize_advantages) == (0.5, False)
    assert (sb3.hidden_sizes, sb3.method) == ((64, 64), METHODS["a2c"])
    for preset in (article, presets.article_rollouts):
        assert (preset.learning_rate, preset.discount, preset.hidden_sizes) == (3e-4, 0.99, (256,))
        assert (preset.value_coef, preset.entropy_coef) == (0.5, 0.001)
    assert (article.num_episodes, presets.article_rollouts.optimizer) == (3000, optax.adam)


def test_the_articles_loop_is_built_from_its_settings(cartpole, monkeypatch):
    monkeypatch.setattr("a2c_jax.building.article", lambda *parts, **settings: (parts, settings))
    numbers = {"discount": 0.9, "value_coef": 0.7, "entropy_coef": 0.3, "defects": AS_PRINTED}
    preset = presets.ArticlePreset(learning_rate=0.01, hidden_sizes=(7,), **numbers)
    (env, agent, optimizer), settings = presets.build(preset, cartpole)
    assert env is cartpole
    assert settings == numbers
    params = jax.eval_shape(agent.init, jax.random.key(0))
    assert all(7 in leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 2)
    first, _ = optimizer.update(jnp.array(5.0), optimizer.init(jnp.array(0.0)))
    np.testing.assert_allclose(first, -0.01, rtol=1e-4, err_msg="Adam's first step is the rate")


@pytest.fixture
def parts_of(monkeypatch):
    """What a preset's method gives to its algorithm, by the algorithm's own arguments."""
    for name in ("actor_critic", "q_actor_critic", "a3c"):
        monkeypatch.setattr(f"a2c_jax.methods.{name}", lambda *args, **parts: parts)
    monkeypatch.setattr("a2c_jax.building.make_agent", lambda *args, **options: None)
    return lambda preset: presets.build(preset, None)


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
    preset = replace(SMALL, method=METHODS[name], normalize_advantages=False, **changes)
    parts = parts_of(preset)
    ones, values = jnp.ones((4, 1)), jnp.array([[0.5], [0.5], [-1.0], [0.5]])
    arrays = (jnp.arange(1.0, 5.0)[:, None], 0.9 * ones, ones, values, values + 0.25)
    plain = estimator(*arrays)
    assert_identical(parts.pop("estimator")(*arrays), plain)
    for setting in ("num_envs", "num_steps", "discount", "value_coef", "entropy_coef"):
        assert parts.pop(setting) == getattr(SMALL, setting)
    assert parts == {"num_resets": None, **own}
    normalized = parts_of(replace(preset, normalize_advantages=True, num_resets=3))
    assert normalized["num_resets"] == 3
    expected = plain._replace(advantages=a2c.normalize(plain.advantages))
    assert_identical(normalized["estimator"](*arrays), expected)


@pytest.mark.parametrize("expected", [False, True])
def test_the_critic_of_actions_is_expected_as_set_in_training_and_always_in_acting(
    expected, cartpole, monkeypatch
):
    checked = "a2c_jax.methods.checked_action_values"
    monkeypatch.setattr(checked, lambda *parts, expected: expected)
    settings = replace(SMALL, method=METHODS["q-actor-critic"], expected=expected)
    assert presets.make_agent(settings, cartpole, training=True) == expected
    assert presets.make_agent(settings, cartpole)


def test_rmsprop_keeps_its_epsilon_outside_the_root_as_pytorch_does():
    # torch.optim.RMSprop: v = α v + (1 - α) g²; w -= rate * g / (sqrt(v) + eps)
    optimizer = presets.general.optimizer(0.1)
    state, square = optimizer.init(jnp.array(1.0)), 0.0
    for gradient in (1e-5, 3e-5, -2e-5):
        update, state = optimizer.update(jnp.array(gradient), state)
        square = 0.99 * square + 0.01 * gradient**2
        np.testing.assert_allclose(update, -0.1 * gradient / (square**0.5 + 1e-5), rtol=1e-5)


@pytest.mark.parametrize("power", [1.0, 4.0])
def test_the_rate_falls_by_a_power_of_what_is_left(power, parts_of):
    rates = []
    parts_of(dataclasses.replace(
        SMALL, learning_rate=0.5, final_learning_rate=0.1, rate_power=power,
        optimizer=lambda rate: rates.append(rate) or optax.sgd(rate),
    ))  # fmt: skip
    [rate] = rates
    progress = np.linspace(0.0, 1.0, 9)  # of 64 steps, 8 an update
    expected = 0.1 + 0.4 * (1.0 - progress) ** power
    np.testing.assert_allclose([rate(update) for update in range(9)], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("method", "steps"),
    [  # and the optimizer's steps in a round: both workers', or those of each
        (METHODS["a2c"], 1),
        (A3C(num_workers=2), 2),
        (A3C(num_workers=2, shared_statistics=False), [1, 1]),
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
        SMALL, method=method, network=lambda *_: two_numbers, normalize_advantages=False,
        learning_rate=1e-8, final_learning_rate=1e-9,  # the two numbers stay what they are
        optimizer=lambda rate: rates.append(rate) or optax.sgd(rate),
        entropy_coef=0.5, final_entropy_coef=0.1,
    )  # fmt: skip
    algorithm = presets.build(preset, a2c.scale_rewards(always_surviving(), 1e-30))
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
    a3c = replace(presets.general, method=METHODS["a3c"], total_steps=500)
    assert presets.num_updates(a3c) == 3  # rounds of 4 workers: 3 * 160 = 480


NAN = float("nan")
WRONG = [
    (presets.general, {
        "total_steps": (0, 39), "num_envs": (0,), "num_steps": (-1,), "rate_power": (0.0,),
        "learning_rate": (0.0, -1e-3, NAN), "final_learning_rate": (-1e-3,), "discount": (1.5,),
        "max_grad_norm": (0.0, NAN), "entropy_coef": (-0.1,), "final_entropy_coef": (-0.1, NAN),
    }),
    (replace(presets.general, method=METHODS["gae"]), {"gae_lambda": (2.0,)}),
    (replace(presets.general, method=METHODS["a3c"]), {"num_workers": (0,), "total_steps": (159,)}),
    (presets.article, {
        "num_episodes": (0, 1.5), "learning_rate": (0.0, NAN), "discount": (-0.1,),
        "value_coef": (-1.0,), "entropy_coef": (-1.0,),
    }),
]  # fmt: skip


@pytest.mark.parametrize(("preset", "settings"), WRONG)
def test_settings_outside_their_range_are_named(cartpole, preset, settings):
    for setting, value in ((name, value) for name in settings for value in settings[name]):
        wrong = replace(preset, **{setting: value})
        sentence = "less than the 160 of a single update; give" if value == 159 else ".*; give"
        with pytest.raises(ValueError, match=rf"^{setting} is {value}.*{sentence} .*\.$"):
            (presets.num_updates(wrong), presets.build(wrong, cartpole))


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
