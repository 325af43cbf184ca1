"""The environment of a configuration: a name, or a custom one.

A custom one is an :class:`a2c_jax.Environment`, or ``"package.module:function"``, a function
without arguments that returns one. A file never decides what is imported: whoever loads, resumes or
starts from a file with a custom environment names it again.
"""

import importlib
import inspect
import os
import sys
from typing import TYPE_CHECKING, TypeAlias

import jax

from a2c_jax import check_env, checks
from a2c_jax.environments import make_env
from a2c_jax.masking import is_masked
from a2c_jax.types import Environment

EnvName: TypeAlias = str | Environment
if not TYPE_CHECKING:  # the command line takes names only
    EnvName = str

_CUSTOM = "custom"


def env_name(env: EnvName) -> str:
    """What files and messages call an environment."""
    return f"{_CUSTOM}:{env.name}" if isinstance(env, Environment) else env


def env_label(env: EnvName) -> str:
    """Its name in the name of a folder."""
    return env_name(env).rpartition(":")[2].replace("/", "-")


def resolve_saved_env(saved: str, env: EnvName | None) -> EnvName:
    """Reconciles the name of an environment in a file with the caller's environment."""
    if env is None and ":" in saved:
        again = "package.module:function" if saved.startswith(f"{_CUSTOM}:") else saved
        raise ValueError(
            f"env is {saved!r}, a custom environment, which no file imports; name it again, "
            f"with --env {again} or, in Python, env."
        )
    if isinstance(env, str) and ":" in env and saved.startswith(f"{_CUSTOM}:"):
        env = _imported(env, {})  # trained from Python, and known by its name only
    if env is not None and env_name(env) != saved:
        raise ValueError(f"env is {saved!r}, not {env_name(env)!r}; give the run's own.")
    return saved if env is None else env


def resolve_env(env: EnvName, max_episode_steps: int | None) -> Environment:
    """Makes and checks the environment, with a time limit if one is given."""
    limit: dict[str, int] = {}
    if max_episode_steps is not None:
        limit["max_episode_steps"] = checks.positive_int("max_episode_steps", max_episode_steps)
        if max_episode_steps >= 2**31:  # the environment would call it by another name
            raise ValueError(f"max_episode_steps is {max_episode_steps}; give 2147483647 at most.")
    if isinstance(env, Environment):
        if limit:
            raise ValueError(
                f"max_episode_steps is {max_episode_steps}, but env is an Environment, whose limit "
                f"is {env.max_episode_steps}; leave it out, or make the environment with another."
            )
        made = env
    elif ":" in env:
        made = _imported(env, limit)
    else:
        made = make_env(env, **({"max_steps_in_episode": max_episode_steps} if limit else {}))
    check_env(made)
    if is_masked(made) and not jax.jit(made.reset)(jax.random.key(0))[1].action_mask.any():
        raise ValueError(
            f"env is {made.name!r}, whose action_mask forbids every action of its first state; "
            "make at least one action legal."
        )
    return made


def _imported(env: str, arguments: dict[str, int]) -> Environment:
    module, _, function = env.partition(":")
    if os.getcwd() not in sys.path:  # as `python -m` has it; last, so that it hides nothing
        sys.path.append(os.getcwd())
    try:
        make = vars(importlib.import_module(module))[function]
        inspect.signature(make).bind(**arguments)
    except (ImportError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"env is {env!r}, but {type(error).__name__}: {error}; give package.module:function, "
            "a function that can be called without arguments, or with max_episode_steps."
        ) from error
    made = make(**arguments)
    if not isinstance(made, Environment):
        raise ValueError(
            f"env is {env!r}, which returns a {type(made).__name__}; return an "
            "a2c_jax.Environment, such as a2c_jax.from_gymnax makes."
        )
    return made
