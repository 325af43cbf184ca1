"""Evaluation of the trained policies of a run on disk."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from a2c_jax import checks
from a2c_jax.experiment.files import json_writer, npz_writer, write_together
from a2c_jax.experiment.run.engine import evaluation_program
from a2c_jax.experiment.run.folder import Run, load_run
from a2c_jax.experiment.statistics.inference import bootstrap_interval, interquartile_mean
from a2c_jax.metrics import finite_seeds
from a2c_jax.parallel import split_groups

_BEHIND_TRAINING = 1 << 31  # evaluations during training have smaller numbers: those of updates


class EvaluatedRun(NamedTuple):
    """A run of S seeds, and undiscounted returns and lengths ``[S, E]`` of E episodes of each.

    Actions were the most probable ones if ``greedy``, and sampled otherwise.
    """

    run: Run
    greedy: bool
    returns: np.ndarray
    lengths: np.ndarray


def evaluate_run(
    run: Run | Path | str, num_episodes: int = 100, greedy: bool = True, seed: int = 0
) -> EvaluatedRun:
    """Plays episodes of the newest policies of a run (or its folder); writes nothing.

    Actions are the most probable ones if ``greedy``, or sampled. ``seed`` is that of the episodes.
    """
    check_episodes(num_episodes, seed)
    run = run if isinstance(run, Run) else load_run(run)
    play = evaluation_program(run.job, num_episodes, greedy)
    stats = play(split_groups(run.state.agent, run.job.layout), _BEHIND_TRAINING + seed)
    return EvaluatedRun(run, greedy, np.asarray(stats.returns), np.asarray(stats.lengths))


def check_episodes(num_episodes: int, seed: int) -> None:
    """Checks the number and the seed of episodes to play."""
    checks.positive_int("num_episodes", num_episodes)
    if not 0 <= seed < _BEHIND_TRAINING:
        raise ValueError(f"seed is {seed}; give a whole number from 0 to {_BEHIND_TRAINING - 1}.")


def describe_evaluation(evaluated: EvaluatedRun) -> dict[str, Any]:
    """Figures of an evaluation: each seed's mean, their interquartile mean and 95 % interval."""
    run, greedy, returns, lengths = evaluated
    means = returns.mean(axis=1, dtype=np.float64)
    known = len(means) > 1 and np.isfinite(means).all()
    interval = np.array(bootstrap_interval(means)).tolist() if known else None
    return {
        "run": str(run.folder),
        "num_updates": run.summary["num_updates"],
        "greedy": greedy,
        "num_seeds": len(means),
        "num_diverged": int((~finite_seeds((run.metrics, run.state.params, returns))).sum()),
        "num_episodes": returns.shape[1],
        "return_iqm": float(interquartile_mean(means)),
        "return_interval_95": interval,
        "mean_returns": means.tolist(),
        "mean_length": float(lengths.mean()),
        "lowest_return": float(returns.min()),
        "highest_return": float(returns.max()),
    }


def write_evaluation(folder: Path | str, evaluated: EvaluatedRun) -> list[Path]:
    """Writes ``evaluation.json`` (null for NaN) and ``evaluation.npz``; returns their paths."""
    arrays = {"seeds": np.asarray(evaluated.run.job.seeds)}
    arrays |= {"returns": evaluated.returns, "lengths": evaluated.lengths}
    files = {
        "evaluation.json": json_writer(describe_evaluation(evaluated)),
        "evaluation.npz": npz_writer(arrays, compress=True),
    }
    return write_together(Path(folder), files)
