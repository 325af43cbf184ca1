"""Seeds whose numbers are no longer finite are counted everywhere, and never solve the task."""

import io
import json
import math

import jax
import numpy as np
import pytest
from rich.console import Console

from a2c_jax import experiment
from a2c_jax.experiment.comparison.compare import Comparison, comparison_tables
from a2c_jax.experiment.run.engine import Outcome
from a2c_jax.experiment.run.evaluate import describe_evaluation
from a2c_jax.experiment.run.folder import describe_outcome
from a2c_jax.experiment.statistics import learning as statistics
from a2c_jax.experiment.sweeps import sweep as sweeping
from a2c_jax.experiment.tables import result_table
from a2c_jax.types import Metrics

TINY = {"num_seeds": 2, "hidden_sizes": (4,), "total_steps": 800}


def text(table):
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def diverged(tmp_path_factory):
    out = tmp_path_factory.mktemp("diverged") / "run"
    return experiment.train_run(**TINY, learning_rate=1e38, out=out)


def test_a_run_counts_them_wherever_it_is_looked_at(diverged, tmp_path, refused):
    summary = json.loads((diverged.folder / "summary.json").read_text())
    assert (summary["num_diverged"], summary["diverged_seeds"]) == (2, [0, 1])
    last = json.loads((diverged.folder / "log.jsonl").read_text().splitlines()[-1])
    assert last["diverged_seeds"] == 2
    assert "2, 2 diverged" in text(result_table(summary))
    evaluated = experiment.evaluate_run(diverged, 2)
    assert describe_evaluation(evaluated)["num_diverged"] == 2
    path, _ = experiment.write_evaluation(
        tmp_path, evaluated._replace(returns=np.full((2, 2), np.nan))
    )
    figures = json.loads(path.read_text())
    assert (figures["return_iqm"], figures["mean_returns"]) == (None, [None, None])
    _, figures = experiment.plot_runs({"run": diverged}, tmp_path)
    assert figures["runs"]["run"]["num_diverged"] == 2
    recording = experiment.record_run(diverged, num_episodes=1)
    (page,) = experiment.write_replay(tmp_path, diverged, recording)
    assert "Diverged: seeds 0, 1." in page.read_text()
    words = ["train", "--hidden-sizes", 4, "--init-from", diverged.folder, "--out", tmp_path / "x"]
    assert "the parameters of its seed 0 have diverged" in refused(*words)


def test_the_parameters_of_the_last_update_count(diverged):
    job, state, metrics = diverged.job, diverged.state, diverged.metrics
    outcome = Outcome([], jax.tree.map(np.zeros_like, metrics), 0.0, 1.0)
    assert describe_outcome(job, outcome, state)["diverged_seeds"] == [0, 1]
    whole = state._replace(agent=jax.tree.map(np.zeros_like, state.agent))
    assert describe_outcome(job, outcome, whole)["num_diverged"] == 0


def solving(num_seeds, diverged=()):
    """The metrics of seeds that solved the task, of which some diverged in the last update."""
    ones = np.ones((num_seeds, 120), np.float32)
    loss = 0 * ones
    loss[list(diverged), -1] = np.nan
    return Metrics(500 * ones, 500 * ones, ones, loss, *[0 * ones] * 5)


def test_a_seed_that_solved_the_task_and_diverged_has_not_solved_it():
    metrics = solving(2, diverged=[1])
    assert statistics.steps_to_solve(metrics, 40, 475.0).tolist() == [4000.0, math.inf]
    summary = statistics.summarize(metrics, 40, 475.0)
    assert (summary["fraction_solved"], summary["num_diverged"]) == (0.5, 1)
    # Parameters may be lost in the very last update, of which no metric speaks.
    assert statistics.summarize(solving(2), 40, 475.0)["fraction_solved"] == 1.0
    last = statistics.summarize(solving(2), 40, 475.0, finite=np.array([True, False]))
    assert (last["fraction_solved"], last["num_diverged"]) == (0.5, 1)


@pytest.fixture
def untrained(monkeypatch):
    """Makes up what sweeps train; the first seeds of several diverge."""

    def trained(job, **kwargs):
        return Outcome([], solving(len(job.seeds), range(len(job.seeds) // 2)), 0.0, 1.0)

    monkeypatch.setattr(sweeping, "train_in_chunks", trained)


def test_a_sweep_ranks_points_that_diverged_last(untrained):
    points = experiment.parse_points(("learning-rate=1e38,1e-3",), None, 0)
    result = experiment.sweep(experiment.configure(**TINY), points)
    assert result.finite.tolist() == [[False, False], [True, True]]
    assert result.scores.tolist() == [-math.inf, 500.0]
    assert result.best.settings.learning_rate == pytest.approx(1e-3)
    assert "(2 diverged)" in text(sweeping.sweep_table(result))


def test_a_comparison_counts_them(diverged):
    assert "a2c (2 diverged)" in text(
        comparison_tables(Comparison(None, {"a2c": diverged}, (), True))[0]
    )
