"""Seeds whose numbers are no longer finite are counted everywhere, and never solve the task."""

import io
import json
import math

import jax
import numpy as np
import pytest
from rich.console import Console

from a2c_jax import experiment
from a2c_jax.experiment.cli import main as cli
from a2c_jax.experiment.comparison.compare import CompareConfig, resolve_all
from a2c_jax.experiment.comparison.report import comparison_tables
from a2c_jax.experiment.run.chunks import Outcome
from a2c_jax.experiment.run.evaluate import describe_evaluation
from a2c_jax.experiment.run.folder import describe_outcome
from a2c_jax.experiment.statistics import learning as statistics
from a2c_jax.experiment.sweeps.report import sweep_table
from a2c_jax.types import Metrics

SMALL = {"num_seeds": 2, "total_steps": 800, "hidden_sizes": (4,)}


def text(table):
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def diverged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diverged") / "run"
    flags = ["--num-seeds", "2", "--total-steps", "800", "--hidden-sizes", "4"]
    assert cli.main(["train", *flags, "--learning-rate", "1e38", "--out", str(folder)]) == 0
    return folder


def test_training_counts_them(diverged, capsys):
    summary = json.loads((diverged / "summary.json").read_text())
    assert (summary["num_diverged"], summary["diverged_seeds"]) == (2, [0, 1])
    last = json.loads((diverged / "log.jsonl").read_text().splitlines()[-1])
    assert last["diverged_seeds"] == 2
    assert cli.main(["train", "--resume", str(diverged), "--total-steps", "1200"]) == 0
    shown = capsys.readouterr().out
    assert "2, 2 diverged" in shown


def test_looking_at_them_counts_them(diverged, tmp_path, capsys):
    run = experiment.load_run(diverged)
    assert describe_evaluation(experiment.evaluate_run(run, 2))["num_diverged"] == 2
    for command in (["plot"], ["replay", "--num-episodes", "1"]):
        assert cli.main([*command, str(diverged), "--out", str(tmp_path / command[0])]) == 0
    assert "2, 2 diverged" in capsys.readouterr().out
    assert "Diverged: seeds 0, 1." in (tmp_path / "replay" / "replay.html").read_text()


def test_a_sweep_ranks_points_that_diverged_last(tmp_path):
    config = experiment.configure(**SMALL)
    points = experiment.parse_points(("learning-rate=1e38,1e-3",), None, 0)
    result = experiment.sweep(config, points)
    assert result.finite.tolist() == [[False, False], [True, True]]
    assert result.scores[0] == -math.inf < result.scores[1]
    assert result.best.settings.learning_rate == pytest.approx(1e-3)
    assert "(2 diverged)" in text(sweep_table(result))


def test_a_comparison_counts_them():
    settings = experiment.configure("general", **SMALL, learning_rate=1e38).settings
    config = CompareConfig(settings, algorithms=("a2c",), num_seeds=2)
    result = experiment.compare(resolve_all(config), Console(quiet=True))
    assert result.summaries["a2c"]["num_diverged"] == 2
    assert "a2c (2 diverged)" in text(comparison_tables(result)[0])


def test_a_seed_that_solved_the_task_and_diverged_has_not_solved_it():
    shape = (2, 120)
    zeros = np.zeros(shape, np.float32)
    fields = dict.fromkeys(Metrics._fields, zeros)
    fields |= {"episode_count": zeros + 1, "episode_return_sum": zeros + 500}
    loss = zeros.copy()
    loss[1, -1] = np.nan
    metrics = Metrics(**{**fields, "policy_loss": loss})
    assert statistics.steps_to_solve(metrics, 40, 475.0).tolist() == [4000.0, math.inf]
    summary = statistics.summarize(metrics, 40, 475.0)
    assert (summary["fraction_solved"], summary["num_diverged"]) == (0.5, 1)
    # Parameters may be lost in the very last update, of which no metric speaks.
    fine = Metrics(**fields)
    assert statistics.summarize(fine, 40, 475.0)["fraction_solved"] == 1.0
    last = statistics.summarize(fine, 40, 475.0, finite=np.array([True, False]))
    assert (last["fraction_solved"], last["num_diverged"]) == (0.5, 1)


def test_the_parameters_of_the_last_update_count(diverged):
    run = experiment.load_run(diverged)
    fine = run.metrics._replace(
        **{name: np.zeros_like(field) for name, field in run.metrics._asdict().items()}
    )
    outcome = Outcome([], fine, 0.0, 1.0)
    described = describe_outcome(run.job, outcome, run.state)
    assert described["diverged_seeds"] == [0, 1]
    whole = run.state._replace(agent=jax.tree.map(np.zeros_like, run.state.agent))
    assert describe_outcome(run.job, outcome, whole)["num_diverged"] == 0
