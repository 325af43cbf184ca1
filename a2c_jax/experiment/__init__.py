"""Runs on disk, and everything that the command line does, as functions.

>>> from a2c_jax import experiment
>>> config = experiment.configure(num_seeds=4, total_steps=10_000, learning_rate=1e-3)
>>> config.settings.learning_rate
0.001

``run = experiment.train_run(config)`` trains a run and writes it to a folder under ``runs/``.

- Runs: ``train_run``, ``resume_run``, ``load_run``, ``join_runs``, ``evaluate_run``,
  ``record_run`` and ``write_replay``.
- Policies: ``run.policy(seed)``, ``make_policy``, ``save_policy`` and ``load_policy``.
- Pictures: ``plot_curve`` on axes of your own, ``plot_runs``.
- Many settings and methods: ``sweep``, ``default_comparison`` and ``compare``.
- Statistics: ``final_returns``, ``steps_to_solve``, ``interquartile_mean``,
  ``bootstrap_interval``, ``probability_of_improvement`` and others.
"""

from a2c_jax.experiment.comparison.compare import (
    Comparison,
    compare,
    default_comparison,
    resolve_all,
    write_comparison,
)
from a2c_jax.experiment.config import TrainConfig, configure
from a2c_jax.experiment.figures.curves import plot_curve
from a2c_jax.experiment.files import BadInput, WriteError
from a2c_jax.experiment.replay.page import write_replay
from a2c_jax.experiment.replay.recording import record_run
from a2c_jax.experiment.run.evaluate import EvaluatedRun, evaluate_run, write_evaluation
from a2c_jax.experiment.run.folder import Run, load_run
from a2c_jax.experiment.run.join import join_runs
from a2c_jax.experiment.run.plot import load_runs, plot_runs, statistics_of
from a2c_jax.experiment.run.policy import Policy, load_policy, make_policy, save_policy
from a2c_jax.experiment.run.train import resume_run, train_run
from a2c_jax.experiment.statistics.inference import (
    Estimate,
    Profile,
    binomial_interval,
    bootstrap_interval,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)
from a2c_jax.experiment.statistics.learning import (
    final_returns,
    recent_returns,
    solve_time_curve,
    steps_to_solve,
    summarize,
)
from a2c_jax.experiment.sweeps.points import Points, Range, grid, parse_points, random_draws
from a2c_jax.experiment.sweeps.sweep import Sweep, sweep, write_sweep

__all__ = [  # the functions and types, and not the modules
    "BadInput", "Comparison", "Estimate", "EvaluatedRun", "Points", "Policy", "Profile", "Range",
    "Run", "Sweep", "TrainConfig", "WriteError", "binomial_interval", "bootstrap_interval",
    "compare", "configure", "default_comparison", "evaluate_run", "final_returns", "grid",
    "interquartile_mean", "join_runs", "load_policy", "load_run", "load_runs", "make_policy",
    "parse_points", "performance_profile", "plot_curve", "plot_runs",
    "probability_of_improvement", "random_draws", "recent_returns", "record_run", "resolve_all",
    "resume_run", "save_policy", "solve_time_curve", "statistics_of", "steps_to_solve",
    "summarize", "sweep", "train_run", "write_comparison", "write_evaluation", "write_replay",
    "write_sweep",
]  # fmt: skip
