"""The games of MinAtar as published: sticky actions, and all six actions in every game.

gymnax's own versions, such as ``"Breakout-MinAtar"``, differ: no action is sticky, actions without
an effect are left out, and episodes end after 1000 steps (2500 in Freeway, as published).
"""

from typing import Any

from a2c_jax.environments import _common
from a2c_jax.environments.wrappers import sticky_actions
from a2c_jax.types import Environment

GAMES = ("Breakout", "Asterix", "Freeway", "Seaquest", "SpaceInvaders")
_STICKY = "sticky_probability"
_LIMIT = 5000  # steps; published games have none, except Freeway, whose limit gymnax has


def make(name: str, task: str, settings: dict[str, Any]) -> Environment:
    """Makes a game of MinAtar.

    Args:
        name: full name, for messages.
        task: name of the game, such as ``"Breakout"``.
        settings: ``sticky_probability``, with which the previous action is repeated, by default
            0.1; ``max_steps_in_episode``, by default 5000, and 2500 for Freeway; and gymnax's
            settings of the game.

    Raises:
        ValueError: as :func:`a2c_jax.make_env` does.

    Source: Young & Tian (2019), "MinAtar", arXiv:1903.03176.
    """
    from a2c_jax.environments.gymnax import make_gymnax  # slow; see a2c_jax.make_env

    _common.known_name(task, GAMES, "minatar/")
    published = {"use_minimal_action_set": False, _STICKY: 0.1}
    if task != "Freeway":
        published[_common.LIMIT] = _LIMIT
    others = {**published, **settings}
    probability = others.pop(_STICKY)
    env = make_gymnax(f"{task}-MinAtar", others)
    return sticky_actions(env, probability)._replace(name=name)
