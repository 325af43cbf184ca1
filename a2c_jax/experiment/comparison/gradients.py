"""How noisy each method's gradient is at the same policies, stage by stage of a training run.

A2C trains a few seeds. At each stage the policy is held, a critic of states and one of actions
are fitted to it, each on as many steps as the other, and the gradients of all methods are taken
from the same whole episodes: see :mod:`a2c_jax.diagnostics`. The reference is REINFORCE. How
gradients are applied does not enter, so A3C has the variance of A2C; nor does the normalisation
of advantages. Where most episodes reach the time limit, a critic that looks beyond it can have
more variance than REINFORCE, whose returns end there.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from a2c_jax import presets
from a2c_jax.advantages import gae
from a2c_jax.algorithms.actor_critic import actor_critic
from a2c_jax.algorithms.q_actor_critic import q_actor_critic
from a2c_jax.diagnostics import (
    Weights,
    action_value_weights,
    gradient_noise,
    policy_gradients,
    state_value_weights,
)
from a2c_jax.evaluate import evaluate
from a2c_jax.methods import METHODS
from a2c_jax.parallel import join_groups, over_seeds, run_groups, seed_layout, split_groups
from a2c_jax.presets import Preset
from a2c_jax.train import run
from a2c_jax.types import AgentState, Algorithm, Environment, Key, Params

STAGES = (0.005, 0.02, 0.05)
"""Fractions of the training run. Later, a policy that never falls has returns that do not vary."""

SEEDS = 4
_CRITIC_UPDATES, _CRITIC_ENVS, _CRITIC_STEPS, _CRITIC_RATE = 4_000, 8, 16, 3e-3


class StageNoise(NamedTuple):
    """The variance of each method's gradient at one stage of training.

    Attributes:
        name: of the stage, such as "10%".
        steps: environment steps that A2C had trained for.
        mean_return: of the policy, sampled.
        ratios: by method, the total variance over that of REINFORCE, mean of the seeds.
        errors: and their standard errors, of the measurement at these seeds.
    """

    name: str
    steps: int
    mean_return: float
    ratios: dict[str, float]
    errors: dict[str, float]


def measure_stages(
    key: Key,
    env: Environment,
    settings: Mapping[str, Preset],
    preset: Preset,
    num_episodes: int,
    should_stop: Callable[[], object] = lambda: False,
) -> tuple[StageNoise, ...]:
    """Measures the methods' gradients along an A2C run.

    Args:
        key: one key for everything.
        env: the environment.
        settings: of each method, by name; its ``num_steps`` decide where it bootstraps.
        preset: settings of the A2C run.
        num_episodes: of each measurement.
        should_stop: asked before each stage; those done by then are returned.
    """
    reference = dataclasses.replace(preset, method=METHODS["a2c"])
    algorithm, num_updates = presets.build(reference, env), presets.num_updates(reference)
    ends = np.array([max(1, round(stage * num_updates)) for stage in STAGES])
    run_keys, stage_keys = jax.random.split(key, (2, SEEDS))
    layout = seed_layout(len(run_keys))
    lengths = jnp.diff(jnp.array(ends), prepend=0)
    snapshots = over_seeds(lambda key: _snapshots(algorithm, key, lengths), layout)
    measure = over_seeds(
        lambda pair: _measure(pair[0], pair[1], env, settings, reference, num_episodes), layout
    )
    params = join_groups(run_groups(snapshots, split_groups(run_keys, layout)), layout)
    stages: list[StageNoise] = []
    for i, stage in enumerate(STAGES):
        if should_stop():
            break
        keys = jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(stage_keys)
        of_stage = (keys, jax.tree.map(lambda x, i=i: x[:, i], params))
        results = run_groups(measure, split_groups(of_stage, layout))
        noise, returns = join_groups(results, layout)
        stages.append(
            StageNoise(
                name=f"{100 * stage:g}%",
                steps=int(ends[i]) * algorithm.steps_per_update,
                mean_return=float(np.mean(returns)),
                ratios={name: float(np.mean(n.ratio)) for name, n in noise.items()},
                errors={
                    name: float(np.sqrt(np.sum(np.square(n.ratio_standard_error))) / SEEDS)
                    for name, n in noise.items()
                },
            )
        )
    return tuple(stages)


def _snapshots(algorithm: Algorithm, key: Key, lengths: jax.Array) -> Params:
    """The parameters after each stretch of training, ``[stages, ...]``."""

    def stretch(state: Any, length: jax.Array) -> tuple[Any, Params]:
        state = jax.lax.fori_loop(0, length, lambda _, state: algorithm.step(state)[0], state)
        return state, state.params

    return jax.lax.scan(stretch, algorithm.init(key), lengths)[1]


def _measure(
    key: Key,
    params: Params,
    env: Environment,
    settings: Mapping[str, Preset],
    preset: Preset,
    num_episodes: int,
) -> Any:
    """The noise of each method's gradient at a policy, and the policy's mean return."""
    value_key, q_key, gradient_key, return_key = jax.random.split(key, 4)
    network = presets.make_network(preset, env)
    rate = optax.linear_schedule(_CRITIC_RATE, 0.0, _CRITIC_UPDATES)
    held: dict[str, Any] = {
        "optimizer": optax.partition(
            {"policy": optax.set_to_zero(), "value": optax.adam(rate)},
            {"policy": "policy", "value": "value"},
        ),
        "num_envs": _CRITIC_ENVS,
        "num_steps": _CRITIC_STEPS,
        "discount": preset.discount,
    }
    of_states = actor_critic(env, network, estimator=gae(0.95), **held)
    value_params = _fit(of_states, value_key, params)

    def action_weights() -> Weights:
        q_preset = dataclasses.replace(preset, method=METHODS["q-actor-critic"])
        q_network = presets.make_network(q_preset, env)
        of_actions = q_actor_critic(env, q_network, expected=True, **held)
        q_value = of_actions.init(q_key).params["value"]
        q_params = _fit(of_actions, q_key, {"policy": params["policy"], "value": q_value})
        return action_value_weights(q_network, q_params)

    def weights(one: Preset) -> Weights:
        if one.method.values_actions:
            return action_weights()
        return state_value_weights(
            env, network, value_params, one.method.estimator(), preset.discount, one.num_steps
        )

    whole = dataclasses.replace(
        preset, method=METHODS["reinforce"], num_steps=env.max_episode_steps
    )
    gradients = policy_gradients(
        gradient_key,
        env,
        network,
        params,
        {"": weights(whole)} | {name: weights(one) for name, one in settings.items()},
        num_episodes,
    )
    reference = gradients.pop("")
    noise = {name: gradient_noise(sample, reference) for name, sample in gradients.items()}
    returns = evaluate(env, network, params, return_key, 32, greedy=False).returns
    return noise, jnp.mean(returns)


def _fit(algorithm: Algorithm, key: Key, params: Params) -> Params:
    state = algorithm.init(key)._replace(agent=AgentState(params))
    return run(algorithm, state, _CRITIC_UPDATES).state.params
