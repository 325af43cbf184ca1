"""The measurement of the gradients' variance, with a small network and short episodes."""

import dataclasses
import functools
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import a2c_jax as a2c
from a2c_jax import presets
from a2c_jax.diagnostics import GradientNoise
from a2c_jax.experiment.comparison import gradients
from a2c_jax.methods import METHODS

LIMIT = 50
PRESET = dataclasses.replace(
    presets.general, normalize_advantages=False, total_steps=20_000, learning_rate=1e-2,
    hidden_sizes=(16,),
)  # fmt: skip
SETTINGS = {
    name: dataclasses.replace(PRESET, method=METHODS[name], num_steps=num_steps)
    for name, num_steps in [
        ("reinforce-with-baseline", LIMIT),
        ("q-actor-critic", 16),
        ("reinforce", LIMIT),
        ("gae", 5),
    ]
}


@pytest.fixture(scope="module", autouse=True)
def _quick_compilation():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


class Counted(NamedTuple):
    params: jax.Array


@pytest.fixture(scope="module")
def stages():
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=LIMIT)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(gradients, "_CRITIC_UPDATES", 300)
        monkeypatch.setattr(gradients, "SEEDS", 2)
        monkeypatch.setattr(gradients, "STAGES", (0.0, 0.4))
        return gradients.measure_stages(jax.random.key(0), env, SETTINGS, PRESET, 64)


def test_the_networks_are_the_presets_in_its_scales(cartpole):
    """The program is that of networks which are scaled by hand."""
    scales = {"observation_scale": (1.0, 1.0, 10.0, 1.0), "value_scale": 10.0}

    def by_hand(make):
        return lambda env, sizes: a2c.scaled(make(env, sizes), env, **scales)

    def program(**changes):
        preset = dataclasses.replace(PRESET, **changes)
        settings = {"q": dataclasses.replace(preset, method=METHODS["q-actor-critic"])}
        key = jax.random.key(0)
        params = presets.make_network(preset, cartpole).init(key)
        measure = functools.partial(
            gradients._measure, env=cartpole, settings=settings, preset=preset, num_episodes=8
        )
        return re.sub("0x[0-9a-f]+", "", str(jax.make_jaxpr(measure)(key, params)))

    by_name = {"network": a2c.mlp_actor_critic, "q_network": a2c.mlp_q_actor_critic}
    scaled_by_hand = program(**{name: by_hand(make) for name, make in by_name.items()})
    assert program(**scales) == scaled_by_hand


def test_the_gradients_are_measured_along_the_run(stages):
    assert [stage.name for stage in stages] == ["0%", "40%"]
    assert [stage.steps for stage in stages] == [40, 8000]
    assert 10 < stages[0].mean_return < stages[1].mean_return - 10 < LIMIT, "it has learned"
    for stage in stages:
        assert stage.ratios.keys() == stage.errors.keys() == SETTINGS.keys()
        for name in SETTINGS:
            assert 0 < stage.ratios[name] < np.inf
            assert 0 <= stage.errors[name] < 0.5
        # REINFORCE on whole episodes is the reference.
        np.testing.assert_allclose(stage.ratios["reinforce"], 1.0, rtol=1e-5)
        assert stage.errors["reinforce"] < 1e-6
    # While episodes end with a fall, a fitted baseline removes a good part of the variance, and
    # bootstrapping more still. At a time limit returns end and values do not, so there this need
    # not hold.
    early = stages[0]
    assert early.ratios["reinforce-with-baseline"] < 0.6
    assert 1e-4 < early.errors["reinforce-with-baseline"] < 0.2
    assert early.ratios["gae"] < early.ratios["reinforce-with-baseline"]


def test_the_policies_are_those_of_the_run_at_its_stages():
    """With an algorithm whose parameter is the number of its updates."""
    algorithm = a2c.Algorithm(
        init=lambda key: Counted(params=jnp.array(0)),
        step=lambda state: (Counted(state.params + 1), None),
        steps_per_update=1,
    )
    lengths = jnp.array([2, 3, 20])
    np.testing.assert_array_equal(gradients._snapshots(algorithm, None, lengths), [2, 5, 25])


@pytest.mark.parametrize("answers", [[False] * 3, [False, True], [True]])
def test_each_stage_has_its_policy_and_a_stop_keeps_the_stages_done(cartpole, monkeypatch, answers):
    """With the number of updates in place of a policy, and of its return."""

    def measure(key, updates, *rest):
        return {"a2c": GradientNoise(*jnp.array([0.0, 0.0, 0.25, 0.1]))}, updates

    monkeypatch.setattr(gradients, "STAGES", (0.005, 0.1, 0.25))
    monkeypatch.setattr(gradients, "_snapshots", lambda _, key, lengths: jnp.cumsum(lengths))
    monkeypatch.setattr(gradients, "_measure", measure)
    asked = iter(answers)
    stages = gradients.measure_stages(
        jax.random.key(0), cartpole, {}, presets.general, 50, lambda: next(asked)
    )
    # 37.5, 750 and 1875 of 7500 updates of 40 steps; four seeds have half the error of one
    expected = [("0.5%", 1520, 38.0), ("10%", 30_000, 750.0), ("25%", 75_000, 1875.0)]
    done = answers.count(False)
    assert [(stage.name, stage.steps, stage.mean_return) for stage in stages] == expected[:done]
    for stage in stages:
        np.testing.assert_allclose(stage.ratios["a2c"], 0.25, rtol=1e-6)
        np.testing.assert_allclose(stage.errors["a2c"], 0.05, rtol=1e-6)
