import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import a2c_jax as a2c
from a2c_jax import presets
from a2c_jax.algorithms.article import AS_PRINTED, CORRECTED
from a2c_jax.experiment.config.settings import replace
from a2c_jax.methods import METHODS

SMALL = dataclasses.replace(
    presets.general, num_envs=2, num_steps=4, total_steps=64, hidden_sizes=(4,)
)


A3C = replace(presets.general, method=METHODS["a3c"])


def test_stable_baselines3_has_that_librarys_numbers():
    # A2C's signature and ActorCriticPolicy's defaults in Stable-Baselines3 2.x.
    preset = presets.stable_baselines3
    assert (preset.learning_rate, preset.final_learning_rate) == (7e-4, 7e-4)
    assert (preset.num_steps, preset.discount) == (5, 0.99)
    assert preset.method == METHODS["a2c"], "whose gae_lambda of 1 is n-step"
    assert (preset.value_coef, preset.entropy_coef, preset.max_grad_norm) == (0.5, 0.0, 0.5)
    assert preset.normalize_advantages is False
    assert preset.hidden_sizes == (64, 64)


def test_article_has_the_articles_numbers():
    for preset in (presets.article, presets.article_rollouts):
        assert (preset.learning_rate, preset.discount, preset.hidden_sizes) == (3e-4, 0.99, (256,))
        assert (preset.value_coef, preset.entropy_coef) == (0.5, 0.001)
    assert presets.article.num_episodes == 3000
    assert presets.article.defects == CORRECTED
    as_printed = dataclasses.replace(presets.article, defects=AS_PRINTED)
    assert presets.article_as_printed == as_printed
    assert presets.article_rollouts.final_learning_rate == 3e-4
    assert presets.article_rollouts.optimizer is optax.adam
    assert presets.article_rollouts.method == METHODS["a2c"]


def test_the_articles_loop_is_built_from_its_settings(cartpole, monkeypatch):
    monkeypatch.setattr("a2c_jax.building.article", lambda *parts, **settings: (parts, settings))
    numbers = {"discount": 0.9, "value_coef": 0.7, "entropy_coef": 0.3}
    preset = presets.ArticlePreset(learning_rate=0.01, hidden_sizes=(7,), **numbers)
    (env, network, optimizer), settings = presets.build(preset, cartpole)
    assert env is cartpole
    assert settings == {**numbers, "defects": CORRECTED}
    _, settings = presets.build(presets.article_as_printed, cartpole)
    assert settings["defects"] == AS_PRINTED
    params = jax.eval_shape(network.init, jax.random.key(0))
    assert all(7 in leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 2)
    first, _ = optimizer.update(jnp.array(5.0), optimizer.init(jnp.array(0.0)))
    np.testing.assert_allclose(first, -0.01, rtol=1e-4, err_msg="Adam's first step is the rate")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_builds(cartpole, name):
    changes = {"num_workers": 3} if name == "a3c" else {}
    preset = replace(SMALL, method=METHODS[name], **changes)
    steps = 24 if name == "a3c" else 8
    assert presets.build(preset, cartpole).steps_per_update == steps
    assert presets.num_updates(preset) == 64 // steps


def step_of(preset, env):
    """The algorithm's compiled step and first state."""
    algorithm = presets.build(preset, env)
    return jax.jit(algorithm.step), algorithm.init(jax.random.key(0))


def assert_learnt(before, after, metrics):
    assert all(np.isfinite(metric) for metric in metrics)
    for network in ("policy", "value"):
        moved = jax.tree.map(jnp.subtract, after.params[network], before.params[network])
        assert optax.tree.norm(moved) > 0, f"the {network} network did not learn"


# The other methods take their step in the tests of their rates, below.
@pytest.mark.parametrize("name", ["q-actor-critic", "gae"])
def test_a_method_takes_a_step(cartpole, name):
    step, state = step_of(replace(SMALL, method=METHODS[name]), cartpole)
    assert_learnt(state, *step(state))


@pytest.fixture
def parts_of(cartpole, monkeypatch):
    """What a preset's method gives to its algorithm, by the algorithm's own arguments."""
    for name in ("actor_critic", "q_actor_critic", "a3c"):
        monkeypatch.setattr(f"a2c_jax.methods.{name}", lambda *args, **parts: parts)
    return lambda preset: presets.build(preset, cartpole)


@pytest.mark.parametrize("expected", [False, True])
def test_an_expected_critic_ignores_the_next_action(expected, cartpole):
    settings = replace(SMALL, method=METHODS["q-actor-critic"], expected=expected)
    agent = presets.make_agent(settings, cartpole, training=True)
    state = agent.init(jax.random.key(0))
    _, _, rows = a2c.rollout(
        jax.random.key(1), lambda obs: jnp.zeros((3, 2)), cartpole,
        *a2c.reset_envs(jax.random.key(2), cartpole, 3), 4,
    )  # fmt: skip
    left, right = (
        agent.unroll(state, a2c.Rollout(rows, jnp.full((4, 3), action))).next_values
        for action in (0, 1)
    )
    assert (left == right).all() == expected


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("q-actor-critic", {"expected": True}, {}),  # of its agent, see below
        (
            "a3c",
            {"num_workers": 3, "random_order": True, "shared_statistics": False},
            {"num_workers": 3, "order": a2c.random_order, "shared_statistics": False},
        ),
        ("a3c", {}, {"num_workers": 4, "order": a2c.round_robin, "shared_statistics": True}),
        ("a2c", {}, {}),
    ],
)
def test_a_methods_own_settings_reach_its_algorithm_and_no_others_do(
    parts_of, name, changes, expected
):
    parts = parts_of(replace(SMALL, method=METHODS[name], **changes))
    shared = {"num_envs", "num_steps", "discount", "value_coef", "entropy_coef", "num_resets"}
    for setting in shared:
        assert parts[setting] == getattr(SMALL, setting)
    assert {key: parts[key] for key in parts if key not in {*shared, "estimator"}} == expected


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize(
    ("name", "changes", "estimator"),
    [
        ("reinforce", {}, a2c.reinforce),
        ("reinforce-with-baseline", {}, a2c.reinforce_with_baseline),
        ("q-actor-critic", {}, a2c.sarsa),
        ("td-actor-critic", {}, a2c.td_actor_critic),
        ("a2c", {}, a2c.n_step),
        ("gae", {"gae_lambda": 0.3}, a2c.gae(0.3)),
        ("a3c", {}, a2c.n_step),
    ],
)
def test_every_method_has_its_estimator(parts_of, name, changes, estimator, normalized):
    rewards = jnp.arange(1.0, 5.0)[:, None]
    ones, values = jnp.ones((4, 1)), jnp.full((4, 1), 0.5)
    values = values.at[2].set(-1.0)
    arrays = (rewards, 0.9 * ones, ones, values, values + 0.25)
    preset = replace(SMALL, method=METHODS[name], normalize_advantages=normalized, **changes)
    built, plain = parts_of(preset)["estimator"](*arrays), estimator(*arrays)
    expected = a2c.normalize(plain.advantages) if normalized else plain.advantages
    np.testing.assert_array_equal(built.advantages, expected)
    np.testing.assert_array_equal(built.targets, plain.targets)


def test_rmsprop_keeps_its_epsilon_outside_the_root_as_pytorch_does():
    # torch.optim.RMSprop: v = α v + (1 - α) g²; w -= rate * g / (sqrt(v) + eps)
    optimizer = presets.general.optimizer(0.1)
    weight, square = 1.0, 0.0
    params = jnp.array(1.0)
    state = optimizer.init(params)
    for gradient in (1e-5, 3e-5, -2e-5):
        updates, state = optimizer.update(jnp.array(gradient), state, params)
        params = optax.apply_updates(params, updates)
        square = 0.99 * square + 0.01 * gradient**2
        weight -= 0.1 * gradient / (np.sqrt(square) + 1e-5)
    np.testing.assert_allclose(params, weight, rtol=1e-5)


def test_the_rate_falls_linearly_to_its_end(cartpole):
    """Without clipping, SGD moves by rate * gradient, which tells the rate of each update."""
    preset = dataclasses.replace(
        SMALL, total_steps=32, optimizer=optax.sgd, max_grad_norm=float("inf")
    )
    step, state = step_of(preset, cartpole)
    rates = []
    for _ in range(4):
        after, metrics = step(state)
        assert_learnt(state, after, metrics)
        moved = optax.tree.norm(jax.tree.map(jnp.subtract, after.params, state.params))
        rates.append(float(moved / metrics.grad_norm))
        state = after
    np.testing.assert_allclose(rates, [2e-3, 1.5e-3, 1e-3, 0.5e-3], rtol=1e-2)


@pytest.mark.parametrize("shared_statistics", [True, False])
def test_the_rate_of_a3c_reaches_its_end_at_the_last_step_of_the_optimizer(
    cartpole, shared_statistics
):
    schedules = []

    def optimizer(rate):
        schedules.append(rate)
        return optax.sgd(rate)

    preset = replace(
        SMALL, method=METHODS["a3c"], num_workers=2, shared_statistics=shared_statistics,
        optimizer=optimizer, learning_rate=1e-2, final_learning_rate=1e-3,
    )  # fmt: skip
    step, start = step_of(preset, cartpole)
    state = start
    for _ in range(presets.num_updates(preset)):
        state, metrics = step(state)
    assert_learnt(start, state, metrics)
    (counts,) = (count for _, count in optax.tree.get_all_with_path(state.opt_state, "count"))
    # 4 rounds of 2 workers: 8 steps that all share, or 4 of each
    np.testing.assert_array_equal(counts, 8 if shared_statistics else [4, 4])
    steps = np.max(counts)
    (rate,) = schedules
    np.testing.assert_allclose(rate(0), 1e-2)
    np.testing.assert_allclose(rate(steps), 1e-3, rtol=1e-5)
    np.testing.assert_allclose(rate(steps - 1), 1e-3 + 9e-3 / steps, rtol=1e-5)


@pytest.mark.parametrize("name", ["a2c", "a3c"])
def test_the_entropy_coefficient_changes_linearly_to_its_end(cartpole, name):
    preset = replace(SMALL, method=METHODS[name], entropy_coef=0.5, final_entropy_coef=0.1)
    preset = replace(preset, num_workers=2) if name == "a3c" else preset
    step, state = step_of(preset, cartpole)
    constant = replace(preset, final_entropy_coef=None)

    @jax.jit
    def step_with(state, coef):
        return presets.build(replace(constant, entropy_coef=coef), cartpole).step(state)

    number = presets.num_updates(preset)
    for update in range(number):
        expected, _ = step_with(state, 0.5 - 0.4 * update / number)
        other, _ = step_with(state, 0.5)
        state, _ = step(state)
        chex.assert_trees_all_close(state.params, expected.params, rtol=1e-5, atol=1e-7)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(state.params, other.params, rtol=1e-4, atol=1e-6)


def test_updates_are_rounded_down():
    preset = dataclasses.replace(presets.general, total_steps=199)
    assert presets.num_updates(preset) == 4  # 4 * 40 = 160
    a3c = dataclasses.replace(A3C, total_steps=500)
    assert presets.num_updates(a3c) == 3  # rounds of 4 workers: 3 * 160 = 480
    assert presets.num_updates(presets.article) == 3000


@pytest.mark.parametrize(
    ("preset", "setting", "values"),
    [
        (presets.general, "total_steps", (0, 39)),
        (presets.general, "num_envs", (0,)),
        (presets.general, "num_steps", (-1,)),
        (presets.general, "learning_rate", (0.0, -1e-3, float("nan"))),
        (presets.general, "final_learning_rate", (-1e-3,)),
        (presets.general, "rate_power", (0.0,)),
        (presets.general, "discount", (1.5,)),
        (presets.general, "max_grad_norm", (0.0, float("nan"))),
        (presets.general, "entropy_coef", (-0.1,)),
        (presets.general, "final_entropy_coef", (-0.1, float("nan"))),
        (replace(presets.general, method=METHODS["gae"]), "gae_lambda", (2.0,)),
        (A3C, "num_workers", (0,)),
        (A3C, "num_envs", (0,)),
        (A3C, "num_steps", (0,)),
        (A3C, "total_steps", (0, 159)),
        (presets.article, "num_episodes", (0, 1.5)),
        (presets.article, "learning_rate", (0.0, float("nan"))),
        (presets.article, "discount", (-0.1,)),
        (presets.article, "value_coef", (-1.0,)),
        (presets.article, "entropy_coef", (-1.0,)),
    ],
)
def test_settings_outside_their_range_are_named(cartpole, preset, setting, values):
    for value in values:
        wrong = replace(preset, **{setting: value})
        sentence = "less than the 160 of a single update; give" if value == 159 else ".*; give"
        with pytest.raises(ValueError, match=rf"^{setting} is {value}.*{sentence} .*\.$"):
            (presets.num_updates(wrong), presets.build(wrong, cartpole))


def test_values_in_their_unit_learn_as_divided_rewards_do(cartpole):
    def divided(key, env_state, action):
        timestep = cartpole.step(key, env_state, action)
        return timestep._replace(reward=timestep.reward / 10.0)

    unit = dataclasses.replace(SMALL, value_scale=10.0, value_coef=SMALL.value_coef / 100.0)
    ours = a2c.train(presets.build(unit, cartpole), jax.random.key(0), 8)
    env = cartpole._replace(step=divided)
    theirs = a2c.train(presets.build(SMALL, env), jax.random.key(0), 8)
    chex.assert_trees_all_close(ours.state.params, theirs.state.params, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("power", [1.0, 4.0])
def test_the_rate_falls_by_a_power_of_what_is_left(power, cartpole):
    rates = []
    preset = dataclasses.replace(
        SMALL, learning_rate=0.5, final_learning_rate=0.1, rate_power=power,
        optimizer=lambda rate: rates.append(rate) or optax.sgd(rate),
    )  # fmt: skip
    presets.build(preset, cartpole)
    [rate] = rates
    progress = np.linspace(0.0, 1.0, 9)  # of 64 steps, 8 an update
    expected = 0.1 + 0.4 * (1.0 - progress) ** power
    np.testing.assert_allclose([rate(update) for update in range(9)], expected, rtol=1e-6)
