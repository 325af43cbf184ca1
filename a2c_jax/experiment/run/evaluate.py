"""Evaluation of the trained policies of a run on disk."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from a2c_jax import checks
from a2c_jax.experiment.files import json_writer, npz_writer, write_together
from a2c_jax.experiment.run.evaluations import evaluation_program
from a2c_jax.experiment.run.folder import Run, load_run
from a2c_jax.experiment.statistics.inference import bootstrap_interval, interquartile_mean
from a2c_jax.metrics import finite_seeds
from a2c_jax.parallel import split_groups

_BEHIND_TRAINING = 1 << 31  # evaluations during training have smaller numbers: those of updates


class EvaluatedRun(NamedTuple):
    """The result of evaluating S seeds of a run on E episodes each.

    Attributes:
        run: the evaluated run.
        greedy: whether actions were the most probable ones; otherwise they were sampled.
        returns: undiscounted returns, ``[S, E]``.
        lengths: lengths in steps, ``[S, E]``.
    """

    run: Run
    greedy: bool
    returns: np.ndarray
    lengths: np.ndarray


def evaluate_run(
    run: Run | Path | str, num_episodes: int = 100, greedy: bool = True, seed: int = 0
) -> EvaluatedRun:
    """Plays episodes of every seed's newest policy, all in one program; writes nothing.

    Args:
        run: a run, or its folder.
        num_episodes: number of episodes of each seed.
        greedy: take the most probable action if true, else one sampled from the policy.
        seed: seed of the episodes.

    Raises:
        ValueError: if there is no such run, or a number is out of range.
    """
    check_episodes(num_episodes, seed)
    run = run if isinstance(run, Run) else load_run(run)
    states = split_groups(run.state.agent, run.job.layout)
    play = evaluation_program(run.job, num_episodes, greedy)
    stats = play(states, _BEHIND_TRAINING + seed)
    return EvaluatedRun(run, greedy, np.asarray(stats.returns), np.asarray(stats.lengths))


def check_episodes(num_episodes: int, seed: int) -> None:
    """Checks the number and the seed of episodes to play.

    Raises:
        ValueError: if a number is out of range.
    """
    checks.positive_int("num_episodes", num_episodes)
    if not 0 <= seed < _BEHIND_TRAINING:
        raise ValueError(f"seed is {seed}; give a whole number from 0 to {_BEHIND_TRAINING - 1}.")


def describe_evaluation(evaluated: EvaluatedRun) -> dict[str, Any]:
    """Figures of an evaluation: each seed's mean, their interquartile mean and 95 % interval."""
    means = evaluated.returns.mean(axis=1, dtype=np.float64)
    finite = finite_seeds((evaluated.run.metrics, evaluated.run.state.params, evaluated.returns))
    interval = bootstrap_interval(means) if len(means) > 1 else None
    return {
        "run": str(evaluated.run.folder),
        "num_updates": evaluated.run.summary["num_updates"],
        "greedy": evaluated.greedy,
        "num_seeds": len(means),
        "num_diverged": int((~finite).sum()),
        "num_episodes": evaluated.returns.shape[1],
        "return_iqm": float(interquartile_mean(means)),
        "return_interval_95": [float(bound) for bound in interval] if interval else None,
        "mean_returns": means.tolist(),
        "mean_length": float(evaluated.lengths.mean()),
        "lowest_return": float(evaluated.returns.min()),
        "highest_return": float(evaluated.returns.max()),
    }


def write_evaluation(folder: Path | str, evaluated: EvaluatedRun) -> list[Path]:
    """Writes ``evaluation.json`` and ``evaluation.npz`` into a folder; returns their paths.

    Raises:
        OSError: if a file could not be written; then neither has changed.
    """
    folder = Path(folder)
    arrays: dict[str, Any] = {
        "seeds": np.asarray(evaluated.run.job.seeds),
        "returns": evaluated.returns,
        "lengths": evaluated.lengths,
    }
    files = {
        "evaluation.json": json_writer(describe_evaluation(evaluated)),
        "evaluation.npz": npz_writer(arrays, compress=True),
    }
    write_together(folder, files)
    return [folder / name for name in files]
