"""A page that plays recorded episodes: one HTML file that needs nothing else."""

import html
import importlib.resources
import json
import math
import re
from typing import Any

import numpy as np
from scipy.special import softmax

from a2c_jax.experiment.replay.recording import (
    ANGLE_LIMIT,
    POLE_LENGTH,
    POSITION_LIMIT,
    STEP_SECONDS,
    RecordedEpisode,
    Recording,
    ending_of,
    episode_of,
    is_cartpole,
)
from a2c_jax.spaces import Box, Discrete, Space

_MOST_LINES = 7  # as many as there are colours to tell actions apart
_MOST_COMPONENTS = 8
_ELSEWHERE = 30  # steps a second, where the environment has no clock

_CARTPOLE = {
    "drawing": {
        "positionLimit": POSITION_LIMIT,
        "angleLimit": ANGLE_LIMIT,
        "poleLength": POLE_LENGTH,
    },
    "stepsPerSecond": round(1 / STEP_SECONDS),
    "realTime": True,
    "actions": ["left", "right"],
    "components": [
        {"label": "Cart position, m", "factor": 1},
        {"label": "Cart velocity, m/s", "factor": 1},
        {"label": "Pole angle, °", "factor": math.degrees(1)},
        {"label": "Angular velocity, °/s", "factor": math.degrees(1)},
    ],
}


def replay_page(recording: Recording, *, title: str, note: str = "") -> str:
    """Makes the page: CartPole drawn, and for every environment policy and value as charts.

    ``#seed=3&episode=0&step=120`` behind its address opens it at that step.

    Args:
        recording: what to play, all seeds and episodes of it.
        title: plain text, the heading.
        note: plain text below it.

    Returns:
        An HTML document in UTF-8 that loads nothing from elsewhere.
    """
    # Inside a script element only "<" could end it, and "&" is left alone.
    data = json.dumps(_data(recording), separators=(",", ":"), allow_nan=False)
    parts = {
        "TITLE": html.escape(title),
        "NOTE": html.escape(note),
        "DATA": data.replace("<", "\\u003c"),
    }
    template = importlib.resources.files("a2c_jax.experiment.replay").joinpath("replay.html")
    # In one pass, so that nothing is put into what was itself put in.
    pattern = r"__(TITLE|NOTE|DATA)__"
    return re.sub(pattern, lambda found: parts[found[1]], template.read_text(encoding="utf-8"))


def _data(recording: Recording) -> dict[str, Any]:
    episodes = range(recording.lengths.shape[1])
    return {
        **(_CARTPOLE if is_cartpole(recording) else _described(recording)),
        "env": recording.env_name,
        "seeds": [
            {
                "seed": seed,
                "episodes": [_episode(recording, episode_of(recording, seed, e)) for e in episodes],
            }
            for seed in recording.seeds
        ],
    }


def _described(recording: Recording) -> dict[str, Any]:
    components = math.prod(recording.final_observations.shape[2:])
    shown = components if components <= _MOST_COMPONENTS else 0
    return {
        "drawing": None,
        "stepsPerSecond": _ELSEWHERE,
        "realTime": False,
        "actions": _action_names(recording.action_space),
        "components": [{"label": f"Observation {i}", "factor": 1} for i in range(shown)],
    }


def _episode(recording: Recording, episode: RecordedEpisode) -> dict[str, Any]:
    """One episode, in columns."""
    observations = episode.observations.reshape(len(episode.observations), -1)
    if observations.shape[1] > _MOST_COMPONENTS:
        observations = observations[:, :0]
    return {
        "ending": ending_of(recording, episode),
        "terminated": episode.terminated,
        "observations": [_numbers(column) for column in observations.T],
        **_policy(recording.action_space, episode),
        # A trained critic's hardly vary, and it is the variation that is looked at.
        "values": _numbers(episode.values, digits=6),
        "rewards": _numbers(episode.rewards),
    }


def _action_names(space: Space) -> list[str]:
    return [f"action {i}" for i in range(space.n)] if isinstance(space, Discrete) else []


def _policy(space: Space, episode: RecordedEpisode) -> dict[str, Any]:
    """The actions, and what the policy made of them: probabilities, or numbers that it controls."""
    if isinstance(space, Discrete):
        probabilities = softmax(episode.outputs, axis=1)
        if probabilities.shape[1] > _MOST_LINES:  # then of the action taken alone
            probabilities = np.take_along_axis(probabilities, episode.actions[:, None], axis=1)
        columns = [_numbers(column) for column in probabilities.T]
        return {"actions": episode.actions.tolist(), "probabilities": columns}
    taken = episode.actions.reshape(len(episode.actions), -1)[:, :_MOST_LINES]
    controls = [{"taken": _numbers(column)} for column in taken.T]
    if isinstance(space, Box):
        mean, log_std = np.split(episode.outputs, 2, axis=1)
        for i, control in enumerate(controls):
            control |= {"mean": _numbers(mean[:, i]), "std": _numbers(np.exp(log_std[:, i]))}
    return {"actions": [_numbers(row) for row in taken], "controls": controls}


def _numbers(values: np.ndarray, digits: int = 4) -> list[float | None]:
    return [_short(value, digits) for value in values.tolist()]


def _short(value: float, digits: int) -> float | None:
    # More digits could not be seen; JSON has neither NaN nor infinity.
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() else rounded
