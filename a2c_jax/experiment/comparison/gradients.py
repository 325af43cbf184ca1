"""Variance of each method's gradient at the same policies, at several stages of a training run.

A2C trains a few seeds. At each stage a critic of states and one of actions are fitted to the policy
on equally many steps, and the gradients of all methods, without normalised advantages, are computed
from the same whole episodes: see :mod:`a2c_jax.diagnostics`. The reference is REINFORCE. Where most
episodes reach the time limit, a critic that looks beyond it can have more variance.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from a2c_jax import diagnostics, parallel, presets
from a2c_jax.advantages import gae
from a2c_jax.algorithms.actor_critic import actor_critic
from a2c_jax.algorithms.q_actor_critic import q_actor_critic
from a2c_jax.diagnostics import GradientNoise, Weights
from a2c_jax.evaluate import evaluate
from a2c_jax.experiment.run.engine import aside
from a2c_jax.settings import Settings, method_estimator
from a2c_jax.train import run
from a2c_jax.types import AgentState, Algorithm, Environment, Key, Params

# Fractions of the training run. Returns no longer vary once every episode reaches the limit.
STAGES, SEEDS = (0.005, 0.02, 0.05), 4
_CRITIC_UPDATES, _CRITIC_RATE = 4_000, 3e-3

_Methods = Mapping[str, Settings]


class StageNoise(NamedTuple):
    """The variance of each method's gradient after some steps of A2C, a stage such as "10%".

    ``ratios`` are, by method, the means over seeds of the total variance over that of REINFORCE,
    with their standard ``errors``. ``mean_return`` is that of the policy, sampled.
    """

    name: str
    steps: int
    mean_return: float
    ratios: dict[str, float]
    errors: dict[str, float]


def measure_stages(
    key: Key,
    env: Environment,
    settings: _Methods,
    preset: Settings,
    num_episodes: int,
    should_stop: Callable[[], object] = lambda: False,
) -> tuple[StageNoise, ...]:
    """Measures the gradients along an A2C run; stops before a stage if ``should_stop`` is true."""
    preset = dataclasses.replace(preset, method="a2c")
    algorithm, num_updates = presets.build(preset, env), presets.num_updates(preset)
    ends = [max(1, round(stage * num_updates)) for stage in STAGES]
    lengths = jnp.diff(jnp.array(ends), prepend=0)
    measure = _each_seed(lambda x: _measure(x[0], x[1], env, settings, preset, num_episodes))
    run_keys, stage_keys = jax.random.split(key, (2, SEEDS))
    params = _each_seed(lambda key: _snapshots(algorithm, key, lengths))(run_keys)
    stages: list[StageNoise] = []
    for i, (stage, end) in enumerate(zip(STAGES, ends, strict=True)):
        if should_stop():
            break
        keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(stage_keys, i)
        noise, returns = measure((keys, jax.tree.map(lambda x, i=i: x[:, i], params)))
        variances = {name: np.square(each.ratio_standard_error) for name, each in noise.items()}
        ratios = {name: float(np.mean(each.ratio)) for name, each in noise.items()}
        errors = {name: float(np.sqrt(np.sum(v)) / SEEDS) for name, v in variances.items()}
        steps, mean_return = end * algorithm.steps_per_update, float(np.mean(returns))
        stages.append(StageNoise(f"{100 * stage:g}%", steps, mean_return, ratios, errors))
    return tuple(stages)


def _each_seed(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """Compiles a function of a seed's tree, and maps it over trees ``[SEEDS, ...]``."""
    layout = parallel.seed_layout(SEEDS)
    program = parallel.over_seeds(function, layout)
    split, join, run = parallel.split_groups, parallel.join_groups, parallel.run_groups
    return lambda tree: aside(lambda: join(run(program, split(tree, layout)), layout))


def _snapshots(algorithm: Algorithm, key: Key, lengths: jax.Array) -> Params:
    """The parameters after each stretch of training, ``[stages, ...]``."""

    def stretch(state: Any, length: jax.Array) -> tuple[Any, Params]:
        state = jax.lax.fori_loop(0, length, lambda _, state: algorithm.step(state)[0], state)
        return state, state.params

    return jax.lax.scan(stretch, algorithm.init(key), lengths)[1]


def _measure(
    key: Key, params: Params, env: Environment, settings: _Methods, preset: Settings, episodes: int
) -> tuple[dict[str, GradientNoise], jax.Array]:
    """The noise of each method's gradient at a policy, and the policy's mean return."""
    value_key, q_key, gradient_key, return_key = jax.random.split(key, 4)
    network: Any = presets.make_network(preset, env)
    training: Any = _critic_training(preset)
    values = actor_critic(env, network, estimator=gae(0.95), **training)
    value_params = _fit(values, value_key, params)

    def weights(one: Settings) -> Weights:
        if one.method != "q-actor-critic":
            rollout = method_estimator(one), preset.discount, one.num_steps
            return diagnostics.state_value_weights(env, network, value_params, *rollout)
        q: Any = presets.make_network(dataclasses.replace(preset, method=one.method), env)
        critic = q_actor_critic(env, q, expected=True, **training)
        return diagnostics.action_value_weights(
            q, _fit(critic, q_key, {"policy": params["policy"]})
        )

    full_returns = dataclasses.replace(preset, method="reinforce", num_steps=env.max_episode_steps)
    ways = {name: weights(one) for name, one in {"": full_returns, **settings}.items()}
    samples = diagnostics.policy_gradients(gradient_key, env, network, params, ways, episodes)
    reference = samples.pop("")
    noise = {name: diagnostics.gradient_noise(own, reference) for name, own in samples.items()}
    returns = evaluate(env, network, params, return_key, 32, greedy=False).returns
    return noise, jnp.mean(returns)


def _critic_training(preset: Settings) -> dict[str, Any]:
    """Arguments of an algorithm that trains the critic and not the policy."""
    rate = optax.linear_schedule(_CRITIC_RATE, 0.0, _CRITIC_UPDATES)
    transforms: dict[Any, Any] = {"policy": optax.set_to_zero(), "value": optax.adam(rate)}
    optimizer = optax.partition(transforms, {name: name for name in transforms})
    return {"optimizer": optimizer, "discount": preset.discount, "num_envs": 8, "num_steps": 16}


def _fit(algorithm: Algorithm, key: Key, params: Params) -> Params:
    """Trains from these parameters; those that are missing are the initial ones."""
    state: Any = algorithm.init(key)
    state = state._replace(agent=AgentState({**state.params, **params}))
    return run(algorithm, state, _CRITIC_UPDATES).state.params
