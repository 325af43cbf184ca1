import gymnasium
import numpy as np
import pytest
from test_metrics import some_metrics

import a2c_jax as a2c
from a2c_jax.experiment import statistics


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


def test_recent_returns_are_those_of_the_last_100_episodes():
    """Against the list of all episodes, one finishing in each update or none."""
    rng = np.random.default_rng(0)
    counts = (rng.random((3, 400)) < 0.6).astype(np.float32)
    sums = counts * rng.normal(100, 50, (3, 400)).astype(np.float32)
    means, sizes = statistics.recent_returns(some_metrics(counts, sums))
    for seed in range(3):
        episodes = []
        for update in range(400):
            if counts[seed, update]:
                episodes.append(sums[seed, update])
            assert sizes[seed, update] == min(100, len(episodes))
            if episodes:
                np.testing.assert_allclose(means[seed, update], np.mean(episodes[-100:]), rtol=1e-5)
            else:
                assert np.isnan(means[seed, update])


def test_steps_to_solve_needs_100_episodes_and_is_infinite_where_never():
    # Seed 0 is perfect from the first episode on: it counts after 100. Seed 1 never is.
    # Seed 2 begins at 0 for 10 episodes, then is perfect: (100 - k) * 500 / 100 >= 475 at
    # k = 5 zeros left among the last 100, after 105 episodes.
    counts = np.ones((3, 200), np.float32)
    sums = np.full((3, 200), 500.0, np.float32)
    sums[1] = 400.0
    sums[2, :10] = 0.0
    steps = statistics.steps_to_solve(some_metrics(counts, sums), 40, 475.0)
    np.testing.assert_array_equal(steps, [100 * 40, np.inf, 105 * 40])


def test_interquartile_mean_by_hand():
    # The middle half of 1 … 8 is 3, 4, 5, 6.
    assert statistics.interquartile_mean(np.arange(1.0, 9.0)) == 4.5
    assert statistics.interquartile_mean(np.array([0.0, 4.0, 5.0, 1e9])) == 4.5


def test_the_bootstrap_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        low, high = statistics.bootstrap_interval(rng.normal(size=40), resamples=300)
        covered += low <= 0.0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_summary_keeps_what_is_missing_as_none():
    nothing = some_metrics(np.zeros((2, 5)), np.zeros((2, 5)))
    summary = statistics.summarize(nothing, 40, 475.0)
    assert summary["final_return_iqm"] is None
    assert summary["fraction_solved"] == 0.0
    assert summary["median_steps_to_solve"] is None
    one_seed = some_metrics(np.ones((1, 120)), np.full((1, 120), 480.0))
    summary = statistics.summarize(one_seed, 40, 475.0)
    assert summary["final_return_iqm"] == 480.0
    assert summary["final_return_interval_95"] is None
    assert summary["median_steps_to_solve"] == 4000.0


def test_the_time_to_solve_is_named_for_its_unit():
    metrics = some_metrics(np.ones((1, 120)), np.full((1, 120), 480.0))
    summary = statistics.summarize(metrics, 1, 475.0, "episodes")
    assert summary["median_episodes_to_solve"] == 100.0
    assert summary["episodes_to_solve"] == [100.0]
    assert not [name for name in summary if "steps" in name]


@pytest.mark.parametrize(("length", "window"), [(35, 10), (10, 10), (9, 10), (1, 10), (7, 1)])
def test_the_rolling_mean_is_that_of_a_loop(length, window):
    values = np.random.default_rng(0).normal(100, 50, (3, length)).astype(np.float32)
    loop = [[row[max(0, n + 1 - window) : n + 1].mean() for n in range(length)] for row in values]
    np.testing.assert_allclose(statistics.rolling_mean(values, window), loop, rtol=1e-5)
    np.testing.assert_allclose(statistics.rolling_mean(values[1], window), loop[1], rtol=1e-5)
