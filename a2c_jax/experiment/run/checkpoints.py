"""Checkpoints of a run, each file complete or absent, and verified when it is read.

``checkpoints/<updates>.npz`` holds the states of all seeds, the evaluations so far and, as JSON,
the run that it belongs to; the newest two are kept. ``metrics/<updates>.npz`` holds the metrics of
the updates since the checkpoint before, :class:`a2c_jax.Metrics` by name, each ``[S, K]``. A
checkpoint lists the files of metrics up to its update with their checksums; others, left by an
unfinished save, are ignored and removed by the next.
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from a2c_jax.experiment.config import TrainConfig, differences
from a2c_jax.experiment.files import checksums_of, npz_writer, read_npz, write_together
from a2c_jax.experiment.run.engine import Evaluations, Outcome
from a2c_jax.experiment.run.job import Job, job_identity, tree_bytes
from a2c_jax.parallel import gather_groups
from a2c_jax.record_checks import by_path
from a2c_jax.types import Metrics

FOLDER, METRICS = "checkpoints", "metrics"
_KEPT = 2
_ABOUT, _STATE, _EVALUATIONS = "about", "state.", "evaluations."
_ROOM, _HEADER = 2**26, 2**10  # bytes

Parts = list[tuple[int, list[int]]]
"""The files of metrics: the updates at their ends, and the checksums of their arrays."""


class Saver:
    """Saves checkpoints of a run, and remembers what has been saved."""

    def __init__(self, folder: Path, config: TrainConfig, job: Job, parts: Parts) -> None:
        self._folder, self._job, self._parts = folder, job, parts
        self._identity, self._every = job_identity(config, job), config.checkpoint_every
        self._chunks = 0

    @property
    def num_updates(self) -> int:
        """Number of updates that are saved on disk."""
        return self._parts[-1][0] if self._parts else 0

    def after_chunk(self, outcome: Outcome, evaluations: Evaluations) -> None:
        """Counts chunks, and saves after a given number of them."""
        self._chunks += 1
        if self._every and self._chunks % self._every == 0:
            self.save(outcome, evaluations)

    def save(self, outcome: Outcome, evaluations: Evaluations) -> None:
        """Saves the result so far, unless it is saved; if that fails, earlier saves are intact."""
        saved, done = self.num_updates, outcome.num_updates
        if done == saved:
            return
        name = f"{done}.npz"
        fresh = {key: x[:, saved:] for key, x in outcome.metrics._asdict().items()}
        write_together(self._folder / METRICS, {name: npz_writer(fresh)})
        parts = [*self._parts, (done, checksums_of(self._folder / METRICS / name))]
        about = {
            "run": self._identity,
            "metrics": parts,
            "compile_seconds": outcome.compile_seconds,
            "train_seconds": outcome.train_seconds,
        }
        state = named_arrays(gather_groups(outcome.state, self._job.layout))
        arrays = {
            **{_STATE + key: array for key, array in state.items()},
            **{_EVALUATIONS + key: array for key, array in evaluations._asdict().items()},
            _ABOUT: np.array(json.dumps(about)),
        }
        write_together(self._folder / FOLDER, {name: npz_writer(arrays)})
        self._parts = parts
        kept = {METRICS: [end for end, _ in parts], FOLDER: saved_numbers(self._folder)[-_KEPT:]}
        for kind, numbers in kept.items():
            for number in {*saved_numbers(self._folder, kind)}.difference(numbers):
                (self._folder / kind / f"{number}.npz").unlink(missing_ok=True)


def saved_numbers(folder: Path, kind: str = FOLDER) -> list[int]:
    """The numbers of updates of a run's checkpoints, or its files of metrics, in order."""
    stems = (path.stem for path in (folder / kind).glob("*.npz"))
    return sorted(int(stem) for stem in stems if stem.isdecimal() and stem.isascii())


def restore(
    folder: Path, config: TrainConfig, job: Job
) -> tuple[Outcome, Evaluations, Parts] | None:
    """Loads the newest checkpoint of a run; None if nothing has been saved yet.

    If it is damaged or of another run, the error says what is wrong, and which older one loads.
    """
    numbers = saved_numbers(folder)[::-1]
    if not numbers:
        return None
    newest, *older = numbers
    try:
        return _restore_one(folder, newest, config, job)
    except (ValueError, KeyError, TypeError) as error:
        wrong = error
    remedy = "no older one loads; train again, with --config and the run's config.json."
    for number in older:
        try:
            _restore_one(folder, number, config, job)
        except (ValueError, KeyError, TypeError):
            continue
        remedy = f"move that file away to resume from checkpoint {number}, which loads."
        break
    place = str(folder / FOLDER / f"{newest}.npz")
    raise ValueError(f"The checkpoint {place!r} cannot be used: {wrong}; {remedy}") from wrong


def _restore_one(
    folder: Path, number: int, config: TrainConfig, job: Job
) -> tuple[Outcome, Evaluations, Parts]:
    template = jax.eval_shape(jax.vmap(job.algorithm.init), job.keys)
    about = read_description(folder, number)
    for name, (theirs, ours) in differences(about["run"], job_identity(config, job)).items():
        raise ValueError(
            f"it is of another run: {name} is {_short(theirs)}, and the run's is {_short(ours)}"
        )
    path, num_seeds = folder / FOLDER / f"{number}.npz", len(job.seeds)
    state = from_arrays(read_npz(path, _most_bytes(template), _STATE), template)
    metrics = read_metrics(folder, about, num_seeds)
    evaluations = Evaluations(**read_npz(path, _ROOM + 16 * num_seeds * number, _EVALUATIONS))
    outcome = Outcome(state, metrics, about["compile_seconds"], about["train_seconds"])
    return outcome, evaluations, [(end, checksums) for end, checksums in about["metrics"]]


def _most_bytes(template: Any) -> int:
    # Generous, so that a checkpoint of another network is refused by name and not by size.
    return 4 * tree_bytes(template) + _ROOM


def read_description(folder: Path, number: int) -> dict[str, Any]:
    """Reads the description in a run's checkpoint."""
    arrays = read_npz(folder / FOLDER / f"{number}.npz", _ROOM, _ABOUT)
    try:
        about = json.loads(str(arrays[""]))
        (*_, (end, _)) = about["metrics"]
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError("it is damaged: its description is missing") from error
    if end != number:
        raise ValueError(f"it is checkpoint {end} under another name")
    return about


def read_agents(folder: Path, number: int, agent: Any, num_seeds: int) -> dict[str, np.ndarray]:
    """Reads the states of the agents ``[S, ...]`` in a run's checkpoint, by their paths."""
    path = folder / FOLDER / f"{number}.npz"
    return read_npz(path, num_seeds * _most_bytes(agent), f"{_STATE}agent.")


def read_metrics(folder: Path, about: dict[str, Any], num_seeds: int) -> Metrics:
    """Reads the metrics up to a checkpoint, each ``[S, U]``."""
    parts, start = [], 0
    for end, checksums in about["metrics"]:
        path = folder / METRICS / f"{end}.npz"
        try:
            size = len(Metrics._fields) * (4 * num_seeds * (end - start) + _HEADER)
            arrays: Any = read_npz(path, size)
            if checksums_of(path) != checksums:
                raise ValueError("it is of another run")
            parts.append(Metrics(**arrays))
        except (ValueError, TypeError) as error:
            raise ValueError(f"of {METRICS}/{path.name}, {error}") from error
        start = end
    return jax.tree.map(lambda *each: np.concatenate(each, axis=1), *parts)


def named_arrays(state: Any) -> dict[str, np.ndarray]:
    """The leaves of a tree by their paths, with keys as arrays of their data."""
    return {name: np.asarray(_data(leaf)) for name, leaf in by_path(state).items()}


def from_arrays(arrays: dict[str, np.ndarray], template: Any) -> Any:
    """The inverse of :func:`named_arrays`, for a tree like the template; checks every array."""
    leaves = by_path(template)
    if leaves.keys() != arrays.keys():
        name = min(leaves.keys() ^ arrays.keys())
        raise ValueError(
            f"it is of another network or optimizer: either it or the run lacks {name}"
        )
    filled = [_like(name, arrays[name], leaf) for name, leaf in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(template), filled)


def _like(name: str, array: np.ndarray, like: Any) -> Any:
    expected = jax.eval_shape(_data, like)
    if array.dtype.kind == "V" and array.dtype.itemsize == expected.dtype.itemsize:
        array = array.view(expected.dtype)  # NumPy stores bfloat16, for one, as raw bytes
    if (array.shape, array.dtype) != (expected.shape, expected.dtype):
        is_wide = array.dtype.itemsize == 2 * expected.dtype.itemsize
        hint = " (it was trained with JAX_ENABLE_X64=1)" if is_wide else ""
        raise ValueError(
            f"it is of another network or environment: {name} is {array.dtype} of shape "
            f"{array.shape}, not {expected.dtype} of shape {expected.shape}{hint}"
        )
    if jax.dtypes.issubdtype(like.dtype, jax.dtypes.prng_key):
        impl = jax.random.key_impl(jax.random.key(0, dtype=like.dtype))
        return jax.random.wrap_key_data(jnp.asarray(array), impl=impl)
    return array


def _data(leaf: Any) -> Any:
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"  # noqa: PLR2004
