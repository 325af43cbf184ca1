"""The parameters of a run from which another run starts."""

import functools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from a2c_jax.experiment.config.config import TrainConfig
from a2c_jax.experiment.config.describe import describe_settings
from a2c_jax.experiment.files import read_json
from a2c_jax.experiment.run import checkpoints, saving, series
from a2c_jax.experiment.run.folder import CONFIG, read_about
from a2c_jax.experiment.run.job import Job, row_of
from a2c_jax.experiment.run.series import SeriesEnd
from a2c_jax.experiment.statistics.learning import best_row
from a2c_jax.metrics import finite_seeds
from a2c_jax.types import AgentState

_AGENT = f"{saving.STATE}agent."


def started_from(config: TrainConfig, job: Job) -> Job:
    """The job with seeds that start from the parameters of the run ``config.init_from``.

    Raises:
        ValueError: if there is no such run or seed, or its network is another.
    """
    folder = Path(str(config.init_from))
    _check_same_network(folder, config)
    try:
        state = _agent_state(folder, config.init_seed, job)
    except ValueError as error:
        raise ValueError(
            f"init_from is {str(folder)!r}, which cannot be used: {str(error).rstrip('.')}."
        ) from error
    init = functools.partial(_init, job.algorithm.init, state)
    try:
        jax.eval_shape(init, job.keys[0])
    except TypeError as error:
        raise ValueError(
            "init_from is given, but the init of the algorithm takes only a key; give it a second "
            "argument, params=None."
        ) from error
    return job._replace(algorithm=job.algorithm._replace(init=init))


def _check_same_network(folder: Path, config: TrainConfig) -> None:
    """The same parameters with other scales would be another function, without an error."""
    about = read_json(folder / CONFIG, "init_from").get("settings", {})
    ours = json.loads(json.dumps(describe_settings(config.settings)))
    names = ("network", "q_network", "architecture", "hidden_sizes", "observation_scale")
    more = ("value_scale", "normalize_observations", "normalize_rewards")
    for name in (*names, *more):
        if name in about and name in ours and about[name] != ours[name]:
            raise ValueError(
                f"init_from is {str(folder)!r}, where {name} is {about[name]!r}, and here it is "
                f"{ours[name]!r}; give its preset and network settings, or start from them with "
                f"--config {folder / CONFIG}."
            )


def _init(init: Any, state: AgentState, key: Any, params: Any = None) -> Any:
    return init(key, state if params is None else params)


def _agent_state(folder: Path, seed: int | None, job: Job) -> AgentState:
    seeds = read_about(folder, "init_from").get("seeds", [])
    numbers = checkpoints.saved(folder / checkpoints.FOLDER)
    if not numbers:
        raise ValueError("it has no checkpoint yet")
    checkpoint = checkpoints.load(folder / checkpoints.FOLDER, numbers[-1])
    end = SeriesEnd(**checkpoint.about["metrics"])
    arrays = checkpoint.under(_AGENT)
    finite = np.asarray(finite_seeds(arrays))
    if seed is None:
        row = best_row(series.read(folder, end, len(seeds)), finite)
    else:
        row = row_of("init_seed", seed, seeds)
    if not finite[row]:
        raise ValueError(f"the parameters of its seed {seeds[row]} have diverged")
    template = jax.eval_shape(job.agent.init, job.keys[0])
    return saving.from_arrays({name: array[row] for name, array in arrays.items()}, template)
