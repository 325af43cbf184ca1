"""Environments of other packages as records of pure functions; each suite is one file here.

A suite is imported when an environment of it is made; all but minatar are extras of this package.
:mod:`a2c_jax.environments.wrappers` makes environments from other environments.
"""

import importlib
from typing import Any

from a2c_jax.environments import _common
from a2c_jax.types import Environment

SUITES = ("brax", "craftax", "jumanji", "minatar", "navix")  # files here


def make_env(name: str, **settings: Any) -> Environment:
    """Makes an environment by name.

    ``step`` returns the true successor and never resets, unlike that of most suites;
    :func:`a2c_jax.rollout` resets.

    Args:
        name: a gymnax name, such as ``"CartPole-v1"``, or a suite and a name in it:
            ``"brax/ant"``, ``"craftax/Craftax-Classic-Symbolic-v1"``, ``"jumanji/Snake-v1"``,
            ``"minatar/Breakout"``, ``"navix/Navix-Empty-5x5-v0"``.
        **settings: ``max_steps_in_episode``, the time limit in steps, such as 200 for the
            article's CartPole-v0; fields of the environment's parameters; and arguments of its
            constructor, such as ``size=20`` for ``"DeepSea-bsuite"``.

    Raises:
        ValueError: if there is no suite, environment or parameter of that name, if the suite is
            not installed, if the observation or the action space is not supported, if the suite
            refuses the settings, or if the time limit is below one step.
    """
    suite, slash, task = str(name).partition("/")
    if not slash:
        # Imported here, since importing gymnax takes seconds and starts JAX's back end, after
        # which settings such as jax_num_cpu_devices can no longer be changed.
        from a2c_jax.environments.gymnax import make_gymnax

        return make_gymnax(name, settings)
    if suite not in SUITES:
        raise ValueError(
            f"There is no suite of environments {suite!r}; choose one of {', '.join(SUITES)}, or "
            "a gymnax name without a slash."
        )
    try:
        with _common.quiet():
            return importlib.import_module(f"{__name__}.{suite}").make(name, task, settings)
    except ImportError as error:
        raise ValueError(
            f"The suite {suite} cannot be imported ({error}); install it with "
            f"pip install 'a2c_jax[{suite}]'."
        ) from error


def from_gymnax(env: Any, params: Any = None, name: str | None = None) -> Environment:
    """Makes an environment from an instance: one of gymnax, a subclass, or a wrapper.

    As with :func:`make_env`, ``step`` returns the true successor. For a wrapper or a class with a
    ``step`` of its own, that is gymnax's ``info["final_observation"]``, which a wrapper that
    changes observations has to change too, as gymnax's own do; and after the last step of an
    episode, ``env_state`` is already that of the next.

    Example:
        >>> import a2c_jax as a2c
        >>> from gymnax.environments.classic_control.cartpole import CartPole
        >>> class Centred(CartPole):
        ...     def step_env(self, key, state, action, params):
        ...         obs, state, reward, *rest = super().step_env(key, state, action, params)
        ...         return obs, state, reward - abs(state.x), *rest
        >>> a2c.from_gymnax(Centred()).name
        'Centred'

    Args:
        env: the instance.
        params: its parameters; the instance's ``default_params`` by default.
        name: a name for messages and pictures; by default that of its class, or gymnax's.

    Raises:
        ValueError: if ``env`` is not an instance of gymnax; otherwise as :func:`make_env`.
    """
    from a2c_jax.environments.gymnax import make_from_gymnax

    return make_from_gymnax(env, params, name)
