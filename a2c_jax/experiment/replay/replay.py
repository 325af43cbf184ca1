"""A replay of the trained policies of a run on disk."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from a2c_jax.experiment.files import write_together
from a2c_jax.experiment.replay.page import replay_page
from a2c_jax.experiment.replay.recording import Recording, record
from a2c_jax.experiment.run.evaluate import check_episodes
from a2c_jax.experiment.run.folder import Run, load_run
from a2c_jax.experiment.run.job import row_of

_SEEDS = 8  # more would make a page of megabytes


def record_run(
    run: Run | Path | str,
    seeds: Sequence[int] | None = None,
    num_episodes: int = 2,
    greedy: bool = True,
    seed: int = 0,
) -> Recording:
    """Plays and records episodes of the newest policies of a run; writes nothing.

    By default these are the policies of the first eight seeds. Actions are the most probable ones,
    or sampled if not ``greedy``. ``seed`` is that of the episodes.
    """
    check_episodes(num_episodes, seed)
    run = run if isinstance(run, Run) else load_run(run)
    seeds = checked_seeds(run, seeds)
    rows = np.array([run.job.seeds.index(each) for each in seeds])
    states = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], run.state.agent)
    key = jax.random.key(seed)
    return record(run.job.env, run.job.agent, states, seeds, key, num_episodes, greedy)


def checked_seeds(run: Run, seeds: Sequence[int] | None) -> tuple[int, ...]:
    """Returns the seeds, by default the first eight of the run."""
    if seeds is None:
        return run.job.seeds[:_SEEDS]
    if not seeds:
        raise ValueError("seeds is empty; name at least one seed of the run.")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds is {tuple(seeds)}; name every seed once.")
    for each in seeds:
        row_of("seeds", each, run.job.seeds)
    return tuple(seeds)


def write_replay(
    folder: Path | str, run: Run, recording: Recording, *, greedy: bool = True
) -> list[Path]:
    """Writes the recording of a run to ``replay.html``; returns its path in a list.

    The page states whether actions were ``greedy``. An older page stays if it cannot be replaced.
    """
    path = Path(folder) / "replay.html"
    done = run.summary["num_updates"] * run.job.per_update
    actions = "the most probable action at every step." if greedy else "actions sampled."
    note = f"After {done:,} {run.job.unit} of training; {actions}"
    if diverged := sorted(set(run.summary["diverged_seeds"]) & set(recording.seeds)):
        note += f" Diverged: seeds {', '.join(map(str, diverged))}."
    title = f"{run.job.env.name}, {run.config.label}"
    page = replay_page(recording, title=title, note=note).encode()
    write_together(path.parent, {path.name: lambda file: file.write(page)})
    return [path]
