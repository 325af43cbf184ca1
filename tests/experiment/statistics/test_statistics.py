import io
import math

import gymnasium
import numpy as np
import pytest
from comparing import some_metrics
from rich.console import Console
from scipy import stats

import a2c_jax as a2c
from a2c_jax.experiment.statistics import inference, learning as statistics
from a2c_jax.experiment.tables import statistics_table


def test_thresholds_are_gymnasiums():
    for spec_name, name, limit in [
        ("CartPole-v1", "CartPole-v1", 500), ("CartPole-v0", "CartPole-v1", 200),
        ("Acrobot-v1", "Acrobot-v1", 500), ("MountainCar-v0", "MountainCar-v0", 200),
    ]:  # fmt: skip
        env = a2c.make_env(name, max_steps_in_episode=limit)
        spec = gymnasium.spec(spec_name)
        assert spec.max_episode_steps == limit
        assert statistics.solved_threshold(env) == spec.reward_threshold
    assert statistics.solved_threshold(a2c.make_env("Catch-bsuite")) is None


def solving_after(updates, num_updates=300):
    """Seeds with return 0 until 95 updates before these, and 500 from then on."""
    counts = np.ones((len(updates), num_updates), np.float32)
    begin = np.array(updates)[:, None] - 95  # 95 of the last 100 at 500 are 475
    return some_metrics(counts, np.where(np.arange(num_updates) >= begin, 500.0, 0.0))


def recent_by_loop(counts, sums):
    """Of each update, the shortest stretch ending there that holds 100 episodes."""
    means, sizes = np.full(counts.shape, np.nan), np.zeros(counts.shape)
    for seed, update in np.ndindex(counts.shape):
        number = total = 0.0
        for earlier in range(update, -1, -1):
            number += float(counts[seed, earlier])
            total += float(sums[seed, earlier])
            if number >= 100:
                break
        sizes[seed, update] = number
        if number:
            means[seed, update] = total / number
    return means, sizes


@pytest.mark.parametrize("per_update", [0.02, 0.5, 3.0, 40.0, 300.0])
def test_recent_returns_are_those_of_a_loop(per_update):
    rng = np.random.default_rng(1)
    # Seeds of very different pace, and one that never finishes an episode.
    pace = per_update * np.array([1.0, 0.0, 10.0, 0.1, 1.0])[:, None]
    counts = rng.poisson(pace, (5, 60)).astype(np.float32)
    counts[0, 20:40] = 0.0
    sums = counts * rng.integers(-9, 10, (5, 60)).astype(np.float32)
    metrics = some_metrics(counts, sums)
    for array in metrics:
        array.flags.writeable = False
    means, sizes = statistics.recent_returns(metrics)
    expected_means, expected_sizes = recent_by_loop(counts, sums)
    np.testing.assert_array_equal(sizes, expected_sizes)
    np.testing.assert_array_equal(means, expected_means)
    one = a2c.Metrics(*(array[0] for array in metrics))
    np.testing.assert_array_equal(statistics.final_returns(one), expected_means[0, -1])
    points = a2c.Metrics(*(array[:, None] for array in metrics))
    np.testing.assert_array_equal(statistics.final_returns(points), expected_means[:, None, -1])
    reached = (expected_sizes >= 100) & (expected_means >= 1.0)
    steps = np.where(reached.any(axis=1), 1.0 + np.argmax(reached, axis=1), np.inf)
    np.testing.assert_array_equal(statistics.steps_to_solve(metrics, 1, 1.0), steps)


def test_a_summary_has_none_where_a_number_is_undefined_and_names_the_unit():
    nothing = statistics.summarize(some_metrics(*np.zeros((2, 2, 5))), 40, 475.0)
    assert nothing["final_returns"] == [None, None]
    assert nothing["final_return_iqm"] is nothing["median_steps_to_solve"] is None
    assert nothing["fraction_solved"] == 0.0
    one_seed = some_metrics(np.ones((1, 120)), np.full((1, 120), 480.0))
    summary = statistics.summarize(one_seed, 1, 475.0, "episodes")
    assert (summary["final_return_iqm"], summary["final_return_interval_95"]) == (480.0, None)
    assert (summary["median_episodes_to_solve"], summary["episodes_to_solve"]) == (100.0, [100.0])
    assert not [name for name in summary if "steps" in name]


def test_names_with_brackets_are_printed_unchanged():
    run = {**statistics.summarize(solving_after([120]), 40, 475.0), "unit": "steps"}
    pair = {"of": "a[b]", "over": "[/c]", "probability": 0.5, "interval_95": [0.25, 0.75]}
    console = Console(file=io.StringIO(), width=100)
    figures = {"runs": {"a[b]": run, "[/c]": run}, "probability_of_improvement": [pair]}
    console.print(statistics_table(figures))
    text = console.file.getvalue()
    for cell in ("│ a[b] ", "│ [/c] ", "P(a[b] > [/c])", "0.50  (0.25 to 0.75)", "100%", "4,800"):
        assert cell in text


def test_censored_seeds_are_counted_and_move_the_median_to_none():
    # The first is perfect from the first episode on: it counts after 100.
    metrics = solving_after([95, 150, np.inf, np.inf, np.inf])
    summary = statistics.summarize(metrics, 40, 475.0)
    assert summary["steps_to_solve"] == [100 * 40.0, 150 * 40.0, None, None, None]
    assert (summary["num_censored"], summary["fraction_solved"]) == (3, 0.4)
    assert summary["fraction_solved_interval_95"] == pytest.approx(wilson(2, 5))
    assert summary["median_steps_to_solve"] is None
    summary = statistics.summarize(solving_after([120, 150, 130, np.inf, np.inf]), 40, 475.0)
    assert summary["median_steps_to_solve"] == 150 * 40.0
    without = statistics.summarize(metrics, 40, None)
    assert without["num_censored"] is without["fraction_solved_interval_95"] is None


@pytest.mark.parametrize(
    ("solved_at", "times", "fractions"),
    [
        ([30.0, np.inf, 10.0, 30.0], [0, 10, 30, 50], [0, 0.25, 0.75, 0.75]),
        ([np.inf, np.inf], [0, 50], [0, 0]),
        ([50.0], [0, 50], [0, 1]),
        ([20.0, 60.0], [0, 20, 50], [0, 0.5, 0.5]),
    ],
)
def test_the_curve_of_solve_times_steps_up_at_each(solved_at, times, fractions):
    curve = statistics.solve_time_curve(np.array(solved_at), 50.0)
    np.testing.assert_allclose(curve, [times, fractions])


def wilson(successes, trials, z=1.959963984540054):
    p, n = successes / trials, trials
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


@pytest.mark.parametrize("trials", [1, 2, 30, 500])
def test_the_binomial_interval_is_wilsons(trials):
    for successes in {0, 1, trials // 2, trials}:
        interval = inference.binomial_interval(successes, trials)
        assert interval == pytest.approx(wilson(successes, trials), abs=1e-12)
    # At the 68.27 % of one standard deviation z is 1.
    interval = inference.binomial_interval(trials, trials, stats.chi2(1).cdf(1.0))
    assert interval == pytest.approx(wilson(trials, trials, 1.0), abs=1e-12)


def test_the_bootstrap_interval_is_that_of_a_loop():
    rng = np.random.default_rng(3)
    values = np.stack([rng.normal(0, 1, 30), rng.normal(9, 3, 30)], axis=1)
    low_and_high = inference.bootstrap_interval(values, resamples=8000)
    samples = np.sort(values[rng.integers(0, 30, (8000, 30))], axis=1)
    loop = samples[:, 7:-7].mean(axis=1)  # the middle half
    # The standard error of a 2.5 % quantile of 8000 normal draws is 0.03 sigma; of the
    # difference of two 0.042 sigma. Four of these.
    expected = np.quantile(loop, [0.025, 0.975], axis=0)
    assert (np.abs(low_and_high - expected) < 0.17 * loop.std(axis=0)).all()


def test_the_interquartile_mean_is_that_of_the_middle_half():
    assert inference.interquartile_mean(np.array([0.0, 4.0, 5.0, 1e9])) == 4.5


def improvement_of_pairs(first, second):
    return np.mean((first[:, None] > second) + 0.5 * (first[:, None] == second))


def test_the_probability_of_improvement_is_that_of_all_pairs():
    rng = np.random.default_rng(6)
    first = rng.integers(0, 6, 12).astype(float)  # whole numbers tie
    second = rng.integers(1, 8, 17).astype(float)
    first[3] = second[5] = second[6] = np.inf
    ours = inference.probability_of_improvement(first, second, resamples=4000)
    assert ours.value == pytest.approx(improvement_of_pairs(first, second), abs=1e-12)
    u = stats.mannwhitneyu(first, second).statistic
    assert ours.value == pytest.approx(u / (12 * 17), abs=1e-12)
    samples = ((rng.choice(first, 12), rng.choice(second, 17)) for _ in range(1000))
    loop = [improvement_of_pairs(*sample) for sample in samples]
    # Standard error of a 2.5 % quantile of 1000 normal draws: 0.085 sigma. Four of these.
    expected = np.quantile(loop, [0.025, 0.975])
    np.testing.assert_allclose(ours[1:], expected, atol=0.36 * np.std(loop))
    back = inference.probability_of_improvement(second, first)
    assert back.value == pytest.approx(1.0 - ours.value, abs=1e-12)


def test_equal_samples_do_not_improve_on_each_other():
    same = np.random.default_rng(7).normal(size=9)
    value, low, high = inference.probability_of_improvement(same, same[::-1])
    assert value == pytest.approx(0.5)
    assert low < 0.5 < high
    assert inference.probability_of_improvement(np.ones(3), np.ones(4)) == (0.5, 0.5, 0.5)
    assert inference.probability_of_improvement(same + 100, same) == (1.0, 1.0, 1.0)


def test_the_performance_profile_counts_seeds_strictly_above():
    rng = np.random.default_rng(8)
    scores = rng.integers(0, 20, 30).astype(float)
    scores[[2, 9]] = np.nan, np.inf
    thresholds = np.array([-np.inf, -1.0, 0.0, 7.0, 7.5, 19.0, np.inf])
    fractions, low, high = inference.performance_profile(scores, thresholds)
    loop = [sum(score > threshold for score in scores) / 30 for threshold in thresholds]
    np.testing.assert_array_equal(fractions, loop)
    assert fractions[0] == 29 / 30, "nan is above nothing"
    drawn = scores[rng.integers(0, 30, (20000, 30))]
    resampled = (drawn[:, :, None] > thresholds).mean(axis=1)
    bounds = np.quantile(resampled, [0.025, 0.975], axis=0)
    # Both count seeds: where a percentile lies between two counts, they may differ by one.
    np.testing.assert_allclose([low, high], bounds, atol=1 / 30 + 1e-9)
    assert np.isclose([low, high], bounds).mean() > 0.8
    assert ((low <= fractions) & (fractions <= high)).all()


TWO = np.ones(2)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (inference.binomial_interval, (3, 2), "successes is 3; give .* 0 to 2"),
        (inference.binomial_interval, (0.5, 2), "successes is 0.5; give"),
        (inference.binomial_interval, (0, 0), "trials is 0; give"),
        (inference.binomial_interval, (1, 2, 1.0), "confidence is 1.0; give"),
        (inference.bootstrap_interval, (TWO, 2.0), "confidence is 2.0; give"),
        (inference.bootstrap_interval, (TWO, 0.95, 0), "resamples is 0; give"),
        (inference.probability_of_improvement, ([1, np.nan], TWO), r"first\[1\] is nan; leave out"),
        (inference.probability_of_improvement, (TWO, []), r"second has shape \(0,\); give"),
        (inference.performance_profile, ([], TWO), r"scores has shape \(0,\); give"),
        (inference.performance_profile, (TWO, [np.nan]), "thresholds holds nan; give"),
        (statistics.solve_time_curve, (TWO, 0.0), "end is 0.0; give"),
        (statistics.solve_time_curve, ([np.nan], 1.0), "holds nan; give"),
        (statistics.solve_time_curve, ([], 1.0), r"has shape \(0,\); give"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(function, arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        function(*arguments)
    assert str(caught.value).count(". ") == 0


@pytest.mark.parametrize(("length", "window"), [(35, 10), (10, 10), (9, 10), (1, 10), (7, 1)])
def test_the_rolling_mean_is_that_of_a_loop(length, window):
    values = np.random.default_rng(0).normal(100, 50, (3, length)).astype(np.float32)
    loop = [[row[max(0, n + 1 - window) : n + 1].mean() for n in range(length)] for row in values]
    np.testing.assert_allclose(statistics.rolling_mean(values, window), loop, rtol=1e-5)
    np.testing.assert_allclose(statistics.rolling_mean(values[1], window), loop[1], rtol=1e-5)
