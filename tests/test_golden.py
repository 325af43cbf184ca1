"""Metrics of twenty updates of every preset, every method and every kind of agent.

The numbers were first recorded at f9c26d1, where all slow tests passed: every preset learned its
task, the article's loop was PyTorch's, and Q actor-critic was the printed algorithm. A change that
moves no number needs no learning run.

After a change that has to move numbers, run the slow tests. Then record all numbers anew with
``pip install -e '.[brax]' && python tests/test_golden.py``, and say in the commit which numbers
moved and why.
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import probe_envs
import pytest
from optional_suites import for_each

import a2c_jax as a2c
from a2c_jax import presets
from a2c_jax.presets import METHODS, PRESETS

FILE = Path(__file__).parent / "data" / "golden.npz"
UPDATES, SEEDS = 20, (0, 1)
# Between AVX2 and AVX-512, XLA's older and newer emitters, most optimisations and all, and jax
# 0.10.2 and 0.11.2, numbers differ by up to 1.3 times 1e-5 + 1e-4 |x|, and by up to 52 and 180
# times where a step of these presets amplifies rounding. Each is allowed four times as much.
TOLERANCE = {"rtol": 5e-4, "atol": 5e-5}
LOOSER = {"preset default": 40.0, "preset pendulum": 140.0}
COMPARED = {"preset brax": 3}  # updates: then another rounding has led to other episodes


def with_two_actions():
    """CartPole that takes two actions, of which the second one changes nothing."""
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=30)
    step = lambda key, state, action: env.step(key, state, action[0])  # noqa: E731
    return env._replace(action_space=a2c.MultiDiscrete((2, 3)), step=step)


BOTH = {"normalize_observations": True, "normalize_rewards": True}
SMALL = dataclasses.replace(presets.general, hidden_sizes=(16,), **BOTH)
AGENTS = {  # an environment, and settings
    "recurrent": ("CartPole-v1", dataclasses.replace(SMALL, network="gru", memory_size=8)),
    "recurrent workers": (
        "CartPole-v1",
        dataclasses.replace(SMALL, network="gru", memory_size=8, method="a3c"),
    ),
    "masked": (probe_envs.partly_legal(), dataclasses.replace(SMALL, normalize_rewards=False)),
    "several actions": (with_two_actions(), SMALL),
    "action values": ("CartPole-v1", dataclasses.replace(SMALL, method="q-actor-critic")),
    "separate convolutions": (
        "Breakout-MinAtar",
        dataclasses.replace(
            presets.minatar,
            num_resets=4,
            conv_features=4,
            shared_torso=False,
        ),
    ),
}


def cases():
    """Each case's name, environment and settings, with schedules that end at the last update."""
    for name in PRESETS:
        yield f"preset {name}", presets.DEFAULT_FOR.get(name, ["CartPole-v1"])[0], PRESETS[name]
    for name in METHODS:
        yield f"method {name}", "CartPole-v1", presets.with_choices(presets.general, name)
    for name, (env, settings) in AGENTS.items():
        yield f"agent {name}", env, settings


CASES = {name: rest for name, *rest in cases()}


def metrics_of(name):
    """Every metric, ``[9, seeds, updates]``; episodes are short enough to reach time limits."""
    env, settings = CASES[name]
    if isinstance(env, str):
        limit = {} if name.startswith("preset") else {"max_steps_in_episode": 30}
        env = a2c.make_env(env, **limit)
    if settings.method == "article":
        settings = dataclasses.replace(settings, num_episodes=UPDATES)
    else:
        steps = presets.build(settings, env).steps_per_update
        settings = dataclasses.replace(settings, total_steps=UPDATES * steps)
    algorithm = presets.build(settings, env)
    train = jax.jit(lambda key: a2c.train(algorithm, key, UPDATES).metrics)
    return np.stack([np.stack(train(jax.random.key(seed))) for seed in SEEDS], axis=1)


@pytest.mark.parametrize("name", for_each(CASES))
def test_the_numbers_are_the_recorded_ones(name):
    with np.load(FILE) as recorded:
        tolerance = {kind: LOOSER.get(name, 1.0) * least for kind, least in TOLERANCE.items()}
        wanted = recorded[name]
        got = metrics_of(name)[..., : wanted.shape[-1]]
        np.testing.assert_allclose(got, wanted, **tolerance)


if __name__ == "__main__":
    np.savez_compressed(
        FILE, **{name: metrics_of(name)[..., : COMPARED.get(name, UPDATES)] for name in CASES}
    )
