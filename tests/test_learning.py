"""That it learns: thresholds on the pooled result of many seeds, never on one."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from optional_suites import needs
from scipy import stats

import a2c_jax as a2c
from a2c_jax import experiment, presets
from a2c_jax.experiment.cli import main as cli
from a2c_jax.experiment.statistics.learning import final_returns, steps_to_solve

pytestmark = pytest.mark.slow("learning")
DATA = Path(__file__).parent / "data"


def train(name, preset, num_seeds):
    """Trains seeds of a preset; returns the algorithm and the result."""
    algorithm = presets.build(preset, a2c.make_env(name))
    keys = jax.random.split(jax.random.key(0), num_seeds)
    return algorithm, a2c.train_seeds(algorithm, keys, presets.num_updates(preset))


def test_the_main_job_solves_cartpole_with_every_seed(tmp_path):
    assert cli.main(["train", "--num-seeds", "48", "--out", str(tmp_path / "run")]) == 0
    run = experiment.load_run(tmp_path / "run")
    assert (run.summary["num_seeds"], run.summary["fraction_solved"]) == (48, 1.0)
    assert run.summary["final_return_iqm"] == 500.0
    steps = steps_to_solve(run.metrics, run.job.per_update, 475.0)
    # 100 episodes that average 475 are 47,500 steps, so no method can be sooner than that.
    assert np.median(steps) < 52_000
    assert np.all(final_returns(run.metrics) >= 475.0)
    greedy = experiment.evaluate_run(run, num_episodes=20, seed=1).returns
    assert np.all(np.mean(greedy, axis=1) == 500.0)


def test_stable_baselines3_preset_learns_as_that_library_does():
    theirs = json.loads((DATA / "stable_baselines3_a2c_cartpole.json").read_text())
    their_steps = np.array(list(theirs["steps_to_mean_475_over_100_episodes"].values()), float)
    their_curves = np.array(list(theirs["mean_return_per_5000_steps"].values()), float)

    algorithm, result = train("CartPole-v1", presets.stable_baselines3, 24)
    our_steps = steps_to_solve(result.metrics, algorithm.steps_per_update, 475.0)
    ends, our_curves = a2c.learning_curve(result.metrics, algorithm, num_points=100)
    np.testing.assert_array_equal(ends, np.arange(1, 101) * 5000)

    assert stats.mannwhitneyu(our_steps, their_steps).pvalue > 0.01, "to solve"
    curves = (np.nanmean(curve, axis=1) for curve in (our_curves, their_curves))
    assert stats.mannwhitneyu(*curves).pvalue > 0.01
    assert np.isfinite(our_steps).mean() >= 0.85
    assert np.mean(final_returns(result.metrics) >= 475.0) >= 0.85


@pytest.mark.parametrize(
    ("name", "total_steps", "least"),
    [
        ("acrobot", 60_000, -100.0),  # where it counts as solved; it starts at -500
        ("mountain_car", 500_000, -150.0),  # a random player takes the limit of 200 steps
        ("mountain_car_continuous", 100_000, 80.0),  # a policy that stands still gets 0
        ("pendulum", 500_000, -300.0),  # a random player gets about -1200
        ("minatar", 50_000, 1.5),  # a random player of Breakout gets about 0.5
        ("catch", 100_000, 0.8),  # a random player catches one in five: -0.6 on average
        ("chains", 50_000, 0.8),  # without a memory it gets 0 on average
        # A pole that nobody pushes falls after about 25 steps.
        pytest.param("brax", 100_000, 100.0, marks=needs("brax")),
    ],
)
def test_other_presets_learn(name, total_steps, least):
    preset = dataclasses.replace(presets.PRESETS[name], total_steps=total_steps)
    _, result = train(presets.DEFAULT_FOR[name][0], preset, 8)
    assert np.sort(final_returns(result.metrics))[1] > least, "two of eight seeds fail"
