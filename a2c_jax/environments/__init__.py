"""Environments of other packages as records of pure functions; each suite is one file here."""

from typing import Any

from a2c_jax.types import Environment


def make_env(name: str, **env_params: Any) -> Environment:
    """Makes a gymnax environment.

    ``step`` returns the true successor and never resets, unlike gymnax's own;
    :func:`a2c_jax.rollout` resets.

    Args:
        name: a gymnax name, such as ``"CartPole-v1"``.
        **env_params: fields of the environment's parameters to change, such as
            ``max_steps_in_episode=200`` for the article's CartPole-v0.

    Raises:
        ValueError: if there is no environment or parameter of that name, if the observation is
            not one array, if the action space is not supported, or if the time limit is below
            one step.
    """
    # Imported here, since importing gymnax takes seconds and starts JAX's back end, after which
    # settings such as jax_num_cpu_devices can no longer be changed.
    from a2c_jax.environments.gymnax import make_gymnax

    return make_gymnax(name, env_params)
