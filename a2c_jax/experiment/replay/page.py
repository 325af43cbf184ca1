"""A page that plays recorded episodes: one self-contained HTML file."""

import html
import importlib.resources
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from a2c_jax.experiment.files import write_together
from a2c_jax.experiment.replay.recording import Recording, episode_of
from a2c_jax.experiment.run.folder import Run
from a2c_jax.spaces import Box, Discrete

_MOST_LINES = 7  # of a chart, the number of its colours
_MOST_COMPONENTS = 8
# CartPole's geometry in gymnax and Gymnasium, whose `length` is half the pole's; in metres.
_LIMITS = {"positionLimit": 2.4, "angleLimit": math.radians(12.0)}
_CARTPOLE: dict[str, float] = {"Cart position, m": 1, "Cart velocity, m/s": 1}
_CARTPOLE |= {"Pole angle, °": math.degrees(1), "Angular velocity, °/s": math.degrees(1)}


def write_replay(
    folder: Path | str, run: Run, recording: Recording, *, greedy: bool = True
) -> list[Path]:
    """Writes ``replay.html``, which states if actions were ``greedy``; returns its path in a list.

    An older page stays if it cannot be replaced.
    """
    done = run.summary["num_updates"] * run.job.per_update
    actions = "the most probable action at every step." if greedy else "actions sampled."
    note = f"After {done:,} {run.job.unit} of training; {actions}"
    if diverged := sorted(set(run.summary["diverged_seeds"]) & set(recording.seeds)):
        note += f" Diverged: seeds {', '.join(map(str, diverged))}."
    title = f"{run.job.env.name}, {run.config.label}"
    page = replay_page(recording, title=title, note=note).encode()
    return write_together(Path(folder), {"replay.html": lambda file: file.write(page)})


def replay_page(recording: Recording, *, title: str, note: str = "") -> str:
    """A page of charts and a drawing of CartPole; ``#seed=3&episode=0&step=120`` opens a step."""
    data = json.dumps(_data(recording), separators=(",", ":"), allow_nan=False)
    # Only "<" could end a script element, and "&" has no meaning in one.
    data = data.replace("<", "\\u003c")
    parts = {"TITLE": html.escape(title), "NOTE": html.escape(note), "DATA": data}
    template = importlib.resources.files("a2c_jax.experiment.replay").joinpath("replay.html")
    text = template.read_text(encoding="utf-8")
    # In one pass, so that inserted text is not substituted again.
    return re.sub(r"__(TITLE|NOTE|DATA)__", lambda match: parts[match[1]], text)


def _data(recording: Recording) -> dict[str, Any]:
    numbers = range(recording.lengths.shape[1])
    space, size = recording.action_space, math.prod(recording.final_observations.shape[2:])
    actions = [f"action {i}" for i in range(space.n)] if isinstance(space, Discrete) else []
    factors: dict[str, float] = {f"Observation {i}": 1 for i in range(size)}
    if known := is_cartpole(recording):
        actions, factors = ["left", "right"], _CARTPOLE
    shown = factors if size <= _MOST_COMPONENTS else {}
    return {
        "drawing": {**_LIMITS, "poleLength": 1.0} if known else None,
        "stepsPerSecond": 50 if known else 30,  # of environments without a clock
        "realTime": known,
        "actions": actions,
        "components": [{"label": label, "factor": factor} for label, factor in shown.items()],
        "env": recording.env_name,
        "masked": bool(np.isneginf(recording.outputs).any()),
        "seeds": [
            {"seed": seed, "episodes": [_episode(episode_of(recording, i, e)) for e in numbers]}
            for i, seed in enumerate(recording.seeds)
        ],
    }


def _episode(episode: Recording) -> dict[str, Any]:
    observations = episode.observations.reshape(len(episode.observations), -1)
    return {
        "ending": ending_of(episode),
        "terminated": bool(episode.terminated),
        "observations": _numbers(observations) if observations.shape[1] <= _MOST_COMPONENTS else [],
        **_policy(episode),
        # The values of a trained critic vary little, and their variation matters.
        "values": _numbers(episode.values, digits=6),
        "rewards": _numbers(episode.rewards),
    }


def ending_of(episode: Recording) -> str:
    """How an episode ended, in a few words."""
    if not episode.terminated:
        return "time limit"
    if not is_cartpole(episode):
        return "terminated"
    (position, _, angle, _), (most, most_angle) = np.abs(episode.observations[-1]), _LIMITS.values()
    # Both limits are hardly ever passed in the same step.
    return "left the track" if position / most > angle / most_angle else "pole fell"


def is_cartpole(recording: Recording) -> bool:
    """Whether a recording or an episode is of CartPole, which can be drawn."""
    four = recording.final_observations.shape[-1:] == (4,)
    return four and recording.env_name.startswith("CartPole")


def _policy(episode: Recording) -> dict[str, Any]:
    """The actions, and the policy: probabilities, or the numbers that it controls."""
    if isinstance(episode.action_space, Discrete):
        probabilities = scipy.special.softmax(episode.outputs, axis=1)
        probabilities[np.isneginf(episode.outputs)] = np.nan  # a gap: the action is not legal
        if probabilities.shape[1] > _MOST_LINES:  # only the action taken
            probabilities = np.take_along_axis(probabilities, episode.actions[:, None], axis=1)
        return {"actions": episode.actions.tolist(), "probabilities": _numbers(probabilities)}
    taken = episode.actions.reshape(len(episode.actions), -1)[:, :_MOST_LINES]
    rows = {"taken": taken}
    if isinstance(episode.action_space, Box):
        mean, log_std = np.split(episode.outputs, 2, axis=1)
        rows |= {"mean": mean, "std": np.exp(log_std)}
    columns = zip(*map(_numbers, rows.values()), strict=False)  # only those that taken has
    controls = [dict(zip(rows, each, strict=True)) for each in columns]
    return {"actions": _numbers(taken.T), "controls": controls}


def _numbers(values: np.ndarray, digits: int = 4) -> list[Any]:
    """The numbers as JSON, those of a matrix in columns."""
    if values.ndim > 1:
        return [_numbers(column, digits) for column in values.T]
    # More digits would not be visible; JSON has neither NaN nor infinity.
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in values.tolist()]
