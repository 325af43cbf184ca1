"""gymnax environments as records of pure functions: ``reset`` and ``step``, no auto-reset.

gymnax is imported where it is used: importing it takes seconds and starts JAX's back end,
after which settings such as ``jax_num_cpu_devices`` can no longer be made.
"""

import dataclasses
import difflib
from typing import Any

import jax
import jax.numpy as jnp

from a2c_jax import checks
from a2c_jax.threefry import rolled, unrolled
from a2c_jax.types import Environment, EnvState, Key, Timestep

_MAX_INT32 = 2**31 - 1  # environments count their steps in int32


def make_env(name: str, **env_params: Any) -> Environment:
    """Makes a gymnax environment.

    gymnax's own ``step`` resets by itself and returns the next episode's first
    observation; here ``step`` returns the true successor, and :func:`a2c_jax.rollout`
    does the resetting.

    Args:
        name: a gymnax name, such as ``"CartPole-v1"``.
        **env_params: fields of the environment's parameters to change, such as
            ``max_steps_in_episode=200``, the article's CartPole-v0.

    Raises:
        ValueError: if there is no environment or parameter of that name, if the
            observation is not one array, or if the time limit is not at least one step.
    """
    gym_env, params = _make_gymnax(name, env_params)
    limit = checks.positive_int("max_steps_in_episode", params.max_steps_in_episode)
    if limit > _MAX_INT32:
        raise ValueError(f"max_steps_in_episode is {limit}; give {_MAX_INT32} at most.")

    def reset(key: Key) -> tuple[EnvState, jax.Array]:
        obs, env_state = gym_env.reset_env(unrolled(key), params)
        return rolled(_strongly_typed(env_state)), jnp.asarray(obs, jnp.float32)

    def step(key: Key, env_state: EnvState, action: jax.Array) -> Timestep:
        obs, env_state, reward, terminated, _ = gym_env.step_env(
            unrolled(key), env_state, action, params
        )
        return Timestep(
            env_state=rolled(_strongly_typed(env_state)),
            obs=jnp.asarray(obs, jnp.float32),
            reward=jnp.asarray(reward, jnp.float32),
            terminated=jnp.asarray(terminated, jnp.bool_),
            truncated=jnp.asarray(gym_env.is_truncated(env_state, params), jnp.bool_),
        )

    return Environment(
        name=name,
        reset=reset,
        step=step,
        observation_shape=_observation_shape(name, gym_env, params),
        action_space=gym_env.action_space(params),
        max_episode_steps=limit,
    )


def num_actions(env: Environment) -> int:
    """The number of actions of an environment with discrete actions.

    Raises:
        ValueError: if the action space is continuous.
    """
    from gymnax.environments.spaces import Discrete

    # gymnax has `num_actions` on continuous environments too, so the space decides.
    if not isinstance(env.action_space, Discrete):
        raise ValueError(
            f"{env.name} has the continuous action space {env.action_space}, which is not "
            "supported yet; choose an environment with discrete actions, such as CartPole-v1."
        )
    return env.action_space.n


def _make_gymnax(name: str, env_params: dict[str, Any]) -> tuple[Any, Any]:
    import gymnax

    if name not in gymnax.registered_envs:
        near = difflib.get_close_matches(str(name), gymnax.registered_envs, n=3, cutoff=0.3)
        known = ", ".join(near or gymnax.registered_envs)
        raise ValueError(f"There is no environment {name!r}; the nearest names are: {known}.")
    try:
        gym_env, params = gymnax.make(name)
    except OSError as error:  # MNISTBandit-bsuite downloads its data
        raise ValueError(
            f"{name} could not be made ({error}); choose another environment, or make its data "
            "reachable."
        ) from error
    fields = [field.name for field in dataclasses.fields(params)]
    for field in env_params:
        if field not in fields:
            raise ValueError(
                f"{name} has no parameter {field!r}; it has these: {', '.join(fields)}."
            )
    return gym_env, params.replace(**env_params)


def _observation_shape(name: str, gym_env: Any, params: Any) -> tuple[int, ...]:
    obs, _ = jax.eval_shape(gym_env.reset_env, jax.random.key(0), params)
    if not isinstance(obs, jax.ShapeDtypeStruct):
        raise ValueError(
            f"{name} observes a {type(obs).__name__}; choose an environment whose observation "
            "is one array."
        )
    return obs.shape


def _strongly_typed(tree: Any) -> Any:
    # Some reset states hold Python numbers; left weakly typed, they would differ from the
    # state that a step returns, and a scan refuses a carry whose type changes.
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), tree)
