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
    Comparison as Comparison,
    compare as compare,
    default_comparison as default_comparison,
    resolve_all as resolve_all,
)
from a2c_jax.experiment.comparison.report import write_comparison as write_comparison
from a2c_jax.experiment.config import TrainConfig as TrainConfig, configure as configure
from a2c_jax.experiment.errors import (
    BadInput as BadInput,
    WriteError as WriteError,
)
from a2c_jax.experiment.figures.curves import plot_curve as plot_curve
from a2c_jax.experiment.replay.replay import (
    record_run as record_run,
    write_replay as write_replay,
)
from a2c_jax.experiment.run.evaluate import (
    EvaluatedRun as EvaluatedRun,
    evaluate_run as evaluate_run,
    write_evaluation as write_evaluation,
)
from a2c_jax.experiment.run.folder import (
    Run as Run,
    load_run as load_run,
)
from a2c_jax.experiment.run.join import join_runs as join_runs
from a2c_jax.experiment.run.plot import (
    load_runs as load_runs,
    plot_runs as plot_runs,
    statistics_of as statistics_of,
)
from a2c_jax.experiment.run.policy import (
    Policy as Policy,
    load_policy as load_policy,
    make_policy as make_policy,
    save_policy as save_policy,
)
from a2c_jax.experiment.run.train import (
    resume_run as resume_run,
    train_run as train_run,
)
from a2c_jax.experiment.statistics.inference import (
    Estimate as Estimate,
    Profile as Profile,
    binomial_interval as binomial_interval,
    bootstrap_interval as bootstrap_interval,
    interquartile_mean as interquartile_mean,
    performance_profile as performance_profile,
    probability_of_improvement as probability_of_improvement,
)
from a2c_jax.experiment.statistics.learning import (
    final_returns as final_returns,
    recent_returns as recent_returns,
    solve_time_curve as solve_time_curve,
    steps_to_solve as steps_to_solve,
    summarize as summarize,
)
from a2c_jax.experiment.sweeps.points import (
    Points as Points,
    Range as Range,
    grid as grid,
    parse_points as parse_points,
    random_draws as random_draws,
)
from a2c_jax.experiment.sweeps.report import write_sweep as write_sweep
from a2c_jax.experiment.sweeps.sweep import (
    Sweep as Sweep,
    sweep as sweep,
)

# For help(): the functions and types, and not the modules.
__all__ = sorted(name for name, value in globals().items() if callable(value))  # noqa: PLE0605
