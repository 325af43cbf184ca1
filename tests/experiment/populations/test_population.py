"""Population training: selection, perturbation, and the program that trains all generations."""

import contextlib
import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import a2c_jax as a2c
from a2c_jax import experiment, presets
from a2c_jax.experiment.populations import program
from a2c_jax.experiment.populations.evolution import evolve, perturb, select
from a2c_jax.experiment.sweeps.points import settings_at
from a2c_jax.types import Metrics, TrainResult

OVER = ("learning_rate=1e-4:1e-2:log", "discount=0.9:1")
RANGES = {"learning_rate": experiment.Range(1e-4, 1e-2, True),
          "discount": experiment.Range(0.9, 1.0)}  # fmt: skip
SMALL = {"hidden_sizes": (4,), "num_envs": 4, "num_steps": 5}
SIZE, GENERATIONS, UPDATES = 6, 3, 10
TOTAL = GENERATIONS * UPDATES * 20 + 19  # the remainder is not run


@pytest.fixture(scope="module")
def train(cartpole):
    """Trains the population that most tests share, from a seed."""
    return functools.partial(
        experiment.population, over=OVER, size=SIZE, generations=GENERATIONS, env=cartpole,
        total_steps=TOTAL, **SMALL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def traces():
    """Counts how often the step between two generations is traced."""
    counted = []

    def counting(*arguments):
        counted.append(1)
        return evolve(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "evolve", counting)
        yield counted


@contextlib.contextmanager
def without_optimization():
    """Compiles in less time programs that run for less than a second."""
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def result(train, traces):
    with without_optimization():
        return train(seed=3)


@pytest.fixture
def untrained(monkeypatch):
    """Members that do not train, and finish episodes with random returns in every second call.

    In the first generation each marks the state of its optimizer with the sum of its parameters.
    """

    def stay(algorithm, state, num_updates):
        update = state.update + num_updates
        score = jax.random.uniform(jax.random.fold_in(state.key, update))
        fields = jnp.broadcast_to(score, (len(Metrics._fields), num_updates))
        count = (update // num_updates % 2).astype(jnp.float32)
        metrics = Metrics(*fields)._replace(episode_count=jnp.full(num_updates, count))
        mark = sum_of(state.params)
        opt_state = jax.tree.map(
            lambda leaf: jnp.where(state.update == 0, mark.astype(leaf.dtype), leaf),
            state.opt_state,
        )
        return TrainResult(state._replace(opt_state=opt_state, update=update), metrics)

    monkeypatch.setattr(program, "run", stay)
    monkeypatch.setattr(program, "_program", program._program.__wrapped__)  # never cached
    with without_optimization():
        yield


def sum_of(params):
    return sum(leaf.sum() for leaf in jax.tree.leaves(params))


def keys(number):
    return jax.random.split(jax.random.key(0), number)


def test_the_worst_fifth_take_parents_from_the_best_fifth():
    scores = jnp.array([3.0, 9, 1, 5, 8, 2, 4, 6, 7, 10, 2.5])  # a fifth of 11 is 2
    parents = np.asarray(jax.vmap(select, (0, None))(keys(100), scores))
    rest = [0, 1, 3, 4, 6, 7, 8, 9, 10]
    assert (parents[:, rest] == rest).all()
    assert {tuple(pair) for pair in parents[:, [2, 5]].tolist()} == {(1, 1), (1, 9), (9, 1), (9, 9)}


@pytest.mark.parametrize("size", [2, 4, 9])
def test_a_small_population_replaces_one_member(size):
    parents = select(jax.random.key(0), jnp.arange(size, dtype=jnp.float32))
    assert parents.tolist() == [size - 1, *range(1, size)]


@pytest.mark.parametrize(
    ("scores", "parents"),
    [
        ([5.0, 5, 5, 5, 5], [0, 1, 2, 3, 4]),
        ([-jnp.inf] * 5, [0, 1, 2, 3, 4]),
        ([-jnp.inf, 7, -jnp.inf, -jnp.inf, 6], [1, 1, 2, 3, 4]),
        ([1.0, 2, 3, jnp.nan, 4], [0, 1, 2, 4, 4]),
    ],
)
def test_nothing_is_copied_from_a_member_that_is_not_better(scores, parents):
    assert select(jax.random.key(0), jnp.array(scores)).tolist() == parents


def test_perturbed_settings_are_those_computed_by_hand():
    values = {"learning_rate": jnp.full(1000, 1e-3), "discount": jnp.full(1000, 0.95)}
    moved = perturb(jax.random.key(0), values, RANGES)
    is_up = {name: np.asarray(moved[name] > values[name]) for name in values}
    for name, low, high in (("learning_rate", 8e-4, 1.2e-3), ("discount", 0.94, 0.96)):
        expected = np.where(is_up[name], high, low)
        np.testing.assert_allclose(moved[name], expected, rtol=1e-6)
        assert abs(is_up[name].mean() - 0.5) < 0.05  # standard error 0.016
    both = (is_up["learning_rate"] & is_up["discount"]).mean()
    assert abs(both - 0.25) < 0.05  # independent


def test_perturbed_settings_stay_in_their_range():
    values = {"learning_rate": jnp.array([1.1e-4, 9e-3]), "discount": jnp.array([0.9, 0.995])}
    moved = jax.vmap(lambda key: perturb(key, values, RANGES))(keys(50))
    for name, own in (
        ("learning_rate", [{1e-4, 1.32e-4}, {7.2e-3, 1e-2}]),
        ("discount", [{0.9, 0.91}, {0.985, 1.0}]),
    ):
        for member in range(2):
            seen = np.unique(moved[name][:, member])
            np.testing.assert_allclose(seen, sorted(own[member]), rtol=1e-6)


def test_a_copy_has_the_state_of_its_parent_and_perturbed_settings_of_it():
    values = {"learning_rate": jnp.array([1e-3, 2e-3, 3e-3, 4e-3, 5e-3]),
              "discount": jnp.array([0.91, 0.92, 0.93, 0.94, 0.95])}  # fmt: skip
    states = {"a": jnp.arange(5), "b": (jnp.arange(10.0).reshape(5, 2),)}
    scores = jnp.array([2.0, 1.0, 5.0, 3.0, 4.0])
    compiled = jax.jit(functools.partial(evolve, ranges=RANGES))
    evolved = compiled(jax.random.key(0), values, scores, states)
    assert evolved.parents.tolist() == [0, 2, 2, 3, 4]
    assert evolved.states["a"].tolist() == [0, 2, 2, 3, 4]
    assert evolved.states["b"][0][1].tolist() == [4.0, 5.0]
    kept = np.array([0, 2, 3, 4])
    for name in values:
        np.testing.assert_array_equal(evolved.values[name][kept], values[name][kept])
    rate, discount = (float(evolved.values[name][1]) for name in values)
    assert min(abs(rate - 2.4e-3), abs(rate - 3.6e-3)) < 1e-8
    assert min(abs(discount - 0.92), abs(discount - 0.94)) < 1e-6
    again = evolve(jax.random.key(0), values, scores, states, RANGES)
    jax.tree.map(np.testing.assert_array_equal, again, evolved)


def test_a_score_is_the_mean_return_of_the_second_half():
    ones = jnp.ones((4, 5))
    counts = jnp.array([[9.0, 9, 0, 1, 3]] * 2 + [[9, 9, 0, 0, 0]] + [[1, 1, 1, 1, 1]])
    sums = jnp.array([[9.0, 9, 0, 10, 2]] * 2 + [[9, 9, 0, 0, 0]] + [[1, 1, 1, 1, 1]])
    metrics = Metrics(*[ones] * len(Metrics._fields))
    metrics = metrics._replace(episode_count=counts, episode_return_sum=sums)
    metrics = metrics._replace(grad_norm=ones.at[3, 0].set(jnp.nan))
    scores = program._scores(metrics, jnp.array([-jnp.inf, 1.0, 7.0, 8.0]))
    assert scores.tolist() == [3.0, 3.0, 7.0, -np.inf]


def test_the_arrays_have_an_axis_of_generations_and_one_of_members(result):
    assert result.config.settings.total_steps == GENERATIONS * UPDATES * 20
    assert list(result.settings) == ["learning_rate", "discount"]
    for each in (*result.settings.values(), result.scores, result.parents):
        assert each.shape == (GENERATIONS, SIZE)
    assert result.metrics.episode_count.shape == (SIZE, GENERATIONS * UPDATES)
    assert result.state.update.tolist() == [GENERATIONS * UPDATES] * SIZE
    last = result.metrics.episode_count[:, -UPDATES // 2 :].sum(axis=1)
    total = result.metrics.episode_return_sum[:, -UPDATES // 2 :].sum(axis=1)
    assert last.all()
    np.testing.assert_allclose(result.scores[-1], total / last, rtol=1e-6)
    assert result.scores[-1, result.best] == result.scores[-1].max()
    rate = float(result.settings["learning_rate"][1, 2])
    assert result.config_at(1, 2).settings.learning_rate == rate


def test_the_first_settings_are_the_draws_of_a_sweep(result):
    drawn = experiment.parse_points(OVER, SIZE, 3).values
    for name, values in drawn.items():
        np.testing.assert_array_equal(result.settings[name][0], values.astype(np.float32))
    assert result.parents[0].tolist() == list(range(SIZE))


def test_a_member_keeps_its_settings_unless_it_is_replaced(result):
    for generation in range(1, GENERATIONS):
        copied = result.parents[generation] != np.arange(SIZE)
        assert copied.tolist() == [
            member == np.argmin(result.scores[generation - 1]) for member in range(SIZE)
        ]
        for values in result.settings.values():
            changed = values[generation] != values[generation - 1]
            assert not changed[~copied].any()
            assert changed[copied].all()


def test_one_trace_serves_all_generations_and_seeds_bit_for_bit(train, result, traces):
    again = train(seed=3)
    jax.tree.map(np.testing.assert_array_equal, as_arrays(again), as_arrays(result))
    assert not np.array_equal(train(seed=4).scores, result.scores)
    assert len(traces) == 1


def as_arrays(result):
    state = result.state._replace(key=jax.random.key_data(result.state.key))
    return result.settings, result.scores, result.parents, state, result.metrics


def test_copies_have_their_own_keys_and_diverge(result):
    assert len(np.unique(jax.random.key_data(result.state.key), axis=0)) == SIZE
    (copy,) = np.flatnonzero(result.parents[-1] != np.arange(SIZE))
    pair = [int(copy), int(result.parents[-1, copy])]
    returns = result.metrics.episode_return_sum[pair, -UPDATES:]
    assert not np.array_equal(*returns)
    for leaf in jax.tree.leaves(result.state.params):
        assert not np.array_equal(leaf[pair[0]], leaf[pair[1]])


@pytest.mark.slow("bits")
def test_a_replaced_member_has_the_parameters_and_optimizer_of_its_ancestor(untrained, cartpole):
    settings = {"env": cartpole, "total_steps": 16 * 20, "seed": 5, **SMALL}
    result = experiment.population(over=OVER, size=10, generations=8, **settings)
    ancestors = np.arange(10)
    for generation, parents in enumerate(result.parents):
        ancestors = ancestors[parents]
        if generation % 2:  # no episode finished
            scores = result.scores[generation - 1, parents]
            np.testing.assert_array_equal(result.scores[generation], scores)
    assert (ancestors != np.arange(10)).sum() >= 4
    algorithm = presets.build(result.config.settings, cartpole)
    first = jax.jit(jax.vmap(algorithm.init))(result.job.keys)
    for leaf, initial in zip(
        *map(jax.tree.leaves, (result.state.params, first.params)), strict=True
    ):
        np.testing.assert_allclose(leaf, initial[ancestors], rtol=1e-6)
    marks = np.asarray(jax.vmap(sum_of)(first.params))[ancestors]
    for leaf in jax.tree.leaves(result.state.opt_state):
        expected = marks.astype(leaf.dtype)
        np.testing.assert_allclose(leaf.reshape(10, -1)[:, 0], expected, rtol=1e-5)
    np.testing.assert_array_equal(
        *(jax.random.key_data(state.key) for state in (result.state, first))
    )
    np.testing.assert_array_equal(result.state.actors.obs, first.actors.obs)


def test_one_generation_trains_each_member_alone(cartpole):
    """Random search: every member is a run with its first settings and its own seed."""
    settings = {"env": cartpole, "total_steps": 400, "seed": 7, **SMALL}
    result = experiment.population(over=OVER, size=3, generations=1, **settings)
    shared = result.config.settings

    @jax.jit
    def train_alone(key, values):
        return a2c.train(presets.build(settings_at(shared, values), cartpole), key, 20)

    for member in range(3):
        values = {name: each[0, member] for name, each in result.settings.items()}
        alone = train_alone(jax.random.key(7 + member), values)
        returns = result.metrics.episode_return_sum[member]
        np.testing.assert_array_equal(returns, alone.metrics.episode_return_sum)
        ours = jax.tree.map(operator.itemgetter(member), result.state.params)
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-5), ours, alone.state.params
        )
    assert result.scores.shape == (1, 3)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"size": 1}, "size is 1; give a whole number of at least 2."),
        ({"size": 2.5}, "size is 2.5; "),
        ({"generations": 0}, "generations is 0; give a whole number of at least 1."),
        ({"over": ()}, "over is empty; name at least one setting"),
        ({"over": "discount=0.9"}, "over gives discount the values [0.9]; give a range"),
        ({"over": ["discount=0.9,0.99"]}, "over gives discount the values [0.9, 0.99]; give"),
        ({"over": ["discount=0.9:0.99:4"]}, "a range for draws has no number"),
        ({"over": ["discount=0.9:0.8"]}, "the first end must be below the second"),
        ({"over": ["discount=0.9:1.5"]}, "discount is 1.5; give a number from 0 to 1"),
        ({"over": ["learning_rate=0:1"]}, "learning_rate is 0.0; give a finite number above 0"),
        ({"over": ["num_envs=1:8"]}, "over names num_envs, which is static of a2c"),
        ({"over": ["discont=0.9:1"]}, "There is no setting 'discont'; did you mean discount"),
        ({"over": OVER[:1] * 2}, "over names learning_rate more than once"),
        ({"total_steps": 799}, "total_steps is 799, less than two updates of 40 steps in each of"),
        ({"total_steps": 799}, "give at least 800, or fewer generations."),
        ({"preset": "article"}, "preset is 'article', an algorithm of its own"),
        ({"seeds": (1, 2)}, "seeds is (1, 2), but the members of a population"),
        ({"init_from": "runs/a"}, "init_from is 'runs/a', but the members"),
        ({"num_seeds": 4}, "num_seeds is given, but a member is one seed; give size instead."),
        ({"config": experiment.configure(), "seed": 3}, "config is given, and so is seed; give"),
        ({"seed": 2**32 - 1}, "seed is 4294967296; give a whole number from 0 to 4294967295."),
    ],
)
def test_bad_input_is_one_sentence(changes, sentence):
    with pytest.raises(experiment.BadInput) as error:
        experiment.population(**{"over": OVER, **changes})
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_an_algorithm_of_ones_own_cannot_be_perturbed(cartpole, small_algorithm):
    network = a2c.mlp_actor_critic(cartpole, hidden_sizes=(8,))
    own = {"algorithm": small_algorithm, "network": network, "env": cartpole}
    with pytest.raises(experiment.BadInput, match="preset is 'own', an algorithm of its own"):
        experiment.population(over=OVER, total_steps=10_000, **own)
