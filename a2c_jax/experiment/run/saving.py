"""Saves a run during training, and restores it."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from a2c_jax.experiment.config.config import FREE, TrainConfig, marked, saved_fields
from a2c_jax.experiment.run import checkpoints, series
from a2c_jax.experiment.run.checkpoints import Checkpoint
from a2c_jax.experiment.run.chunks import Outcome
from a2c_jax.experiment.run.evaluation import Evaluations
from a2c_jax.experiment.run.job import Job
from a2c_jax.experiment.run.memory import tree_bytes
from a2c_jax.experiment.run.series import SeriesEnd
from a2c_jax.parallel import gather_groups, split_groups
from a2c_jax.record_checks import by_path

STATE, _EVALUATIONS = "state.", "evaluations."
_ROOM = 2**26  # bytes


class Restored(NamedTuple):
    """A run restored from a checkpoint.

    Attributes:
        state: of every seed, ``[S, ...]``, in NumPy arrays and keys.
        outcome: the result so far, without its state.
        evaluations: evaluations so far.
        series_end: end of the metrics' file.
    """

    state: Any
    outcome: Outcome
    evaluations: Evaluations
    series_end: SeriesEnd

    def on_devices(self, job: Job) -> Outcome:
        """The result so far, with the state of each group of seeds on its device."""
        return self.outcome._replace(state=split_groups(self.state, job.layout))


class Saver:
    """Saves checkpoints of a run, and remembers what has been saved."""

    def __init__(
        self, folder: Path, job: Job, identity: dict[str, Any], every: int, end: SeriesEnd
    ) -> None:
        self._folder, self._job, self._identity = folder, job, identity
        self._every, self._end = every, end
        self._chunks = 0
        self._was_read_back = False

    @property
    def num_updates(self) -> int:
        """Number of updates that are saved on disk."""
        return self._end.num_updates

    def after_chunk(self, outcome: Outcome, evaluations: Evaluations) -> None:
        """Counts chunks, and saves after a given number of them."""
        self._chunks += outcome.num_updates > 0
        if self._every and self._chunks and self._chunks % self._every == 0:
            self.save(outcome, evaluations)

    def save(self, outcome: Outcome, evaluations: Evaluations) -> None:
        """Saves the result so far, unless it is saved already.

        Raises:
            OSError: if it could not be written; earlier saves are intact.
        """
        if outcome.num_updates == self._end.num_updates:
            return
        end = series.append(self._folder, self._end, outcome.metrics)
        self._save_state(end, outcome, evaluations)
        if not self._was_read_back:
            # Better to stop here than to train for hours what cannot be loaded.
            try:
                checkpoints.load(self._folder / checkpoints.FOLDER, end.num_updates)
            except ValueError as error:
                raise OSError(f"the first checkpoint cannot be read back: {error}") from error
            self._was_read_back = True
        self._end = end

    def _save_state(self, end: SeriesEnd, outcome: Outcome, evaluations: Evaluations) -> None:
        state = named_arrays(gather_groups(outcome.state, self._job.layout))
        arrays = {
            **{STATE + name: array for name, array in state.items()},
            **{_EVALUATIONS + name: array for name, array in evaluations._asdict().items()},
        }
        about = {
            "run": self._identity,
            "metrics": end._asdict(),
            "compile_seconds": outcome.compile_seconds,
            "train_seconds": outcome.train_seconds,
        }
        place = self._folder / checkpoints.FOLDER
        checkpoints.save(place, end.num_updates, Checkpoint(arrays, about))


def identity_of(description: dict[str, Any]) -> dict[str, Any]:
    """The properties in which a checkpoint must agree with the run that resumes from it.

    Args:
        description: of the run, from :func:`describe_config`.
    """
    fixed = {*saved_fields(TrainConfig)} - marked(TrainConfig, FREE) - {"num_seeds", "seed"}
    identity = {name: description[name] for name in description if name in fixed}
    identity |= {name: description["about"][name] for name in ("max_episode_steps", "seeds")}
    identity |= description["settings"]
    lengths = ("total_steps", "num_episodes")
    identity = {name: value for name, value in identity.items() if name not in lengths}
    return json.loads(json.dumps(identity))  # as in a checkpoint: lists instead of tuples


def restore(folder: Path, job: Job, identity: dict[str, Any]) -> Restored | None:
    """Loads the newest checkpoint of a run; None if nothing has been saved yet.

    Raises:
        ValueError: if it is damaged or of another run; the message says what is wrong, and
            which older one loads.
    """
    numbers = checkpoints.saved(folder / checkpoints.FOLDER)[::-1]
    if not numbers:
        return None
    newest, *older = numbers
    try:
        return _restore_one(folder, newest, job, identity)
    except ValueError as error:
        wrong = error
    for number in older:
        try:
            _restore_one(folder, number, job, identity)
        except ValueError:
            continue
        remedy = f"move that folder away to resume from checkpoint {number}, which loads."
        break
    else:
        remedy = "no older one loads; train again, with --config and the run's config.json."
    place = folder / checkpoints.FOLDER / str(newest)
    raise ValueError(f"The checkpoint {str(place)!r} cannot be used: {wrong}; {remedy}") from wrong


def _restore_one(folder: Path, number: int, job: Job, identity: dict[str, Any]) -> Restored:
    template = jax.eval_shape(jax.vmap(job.algorithm.init), job.keys)
    checkpoint = checkpoints.load(
        folder / checkpoints.FOLDER, number, _most_bytes(template, folder / series.FILE)
    )
    _check_identity(checkpoint.about["run"], identity)
    state = from_arrays(checkpoint.under(STATE), template)
    end = SeriesEnd(**checkpoint.about["metrics"])
    metrics = series.read(folder, end, len(job.seeds))
    evaluations = Evaluations(**checkpoint.under(_EVALUATIONS))
    seconds = (checkpoint.about["compile_seconds"], checkpoint.about["train_seconds"])
    return Restored(state, Outcome([], metrics, *seconds), evaluations, end)


def _most_bytes(template: Any, metrics: Path) -> int:
    """Generous, so that a checkpoint of another network is refused by name and not by size."""
    evaluations = metrics.stat().st_size if metrics.is_file() else 0  # they are fewer than updates
    return 4 * tree_bytes(template) + evaluations + _ROOM


def named_arrays(state: Any) -> dict[str, np.ndarray]:
    """The leaves of a tree by their paths, with keys as arrays of their data."""
    return {name: np.asarray(_data(leaf)) for name, leaf in by_path(state).items()}


def from_arrays(arrays: dict[str, np.ndarray], template: Any) -> Any:
    """The inverse of :func:`named_arrays`, for a tree with the template's structure.

    Raises:
        ValueError: if an array is missing, unexpected, or of another shape or type.
    """
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


def _check_identity(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        # A setting that its version did not have is at its class's default in the run too.
        if name not in found or found[name] == value:
            continue
        kind = {
            "env": "environment", "max_episode_steps": "environment", "seeds": "seeds",
            "network": "network", "q_network": "network", "hidden_sizes": "network",
        }.get(name, "settings")  # fmt: skip
        raise ValueError(
            f"it is of {'' if kind in ('seeds', 'settings') else 'an'}other {kind}: {name} is "
            f"{_short(found[name])}, and the run's is {_short(value)}"
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"  # noqa: PLR2004
