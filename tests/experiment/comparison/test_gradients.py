"""The measurement of the gradients' variance, with a small network and short episodes."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import a2c_jax as a2c
from a2c_jax import diagnostics, presets
from a2c_jax.diagnostics import GradientNoise
from a2c_jax.experiment.comparison import gradients
from a2c_jax.types import AgentState

LIMIT = 50
PRESET = dataclasses.replace(
    presets.general, normalize_advantages=False, total_steps=20_000, learning_rate=1e-2,
    hidden_sizes=(16,),
)  # fmt: skip
STEPS = {"reinforce-with-baseline": LIMIT, "q-actor-critic": 16, "reinforce": LIMIT, "gae": 5}
SETTINGS = {
    name: dataclasses.replace(PRESET, method=name, num_steps=num_steps)
    for name, num_steps in STEPS.items()
}


def linear(*outputs):
    """A network that is quickly traced."""
    params = {"policy": jnp.zeros((4, 2)), "value": jnp.zeros((4, *outputs))}
    network = a2c.Network(
        lambda key: params, lambda params, x: x @ params["policy"],
        lambda params, x: x @ params["value"],
    )  # fmt: skip
    return network


@pytest.fixture
def program(monkeypatch):
    """The program of a measurement with a changed preset, of networks that ``change`` makes."""

    def program(env, settings, change=lambda network: network, **changes):
        def network(settings, env):
            return change(linear(2) if settings.method == "q-actor-critic" else linear())

        monkeypatch.setattr("a2c_jax.settings._plain_network", network)
        preset = dataclasses.replace(PRESET, **changes)
        settings = {name: dataclasses.replace(one, **changes) for name, one in settings.items()}

        def measure(key):
            return gradients._measure(key, linear().init(key), env, settings, preset, 8)

        return re.sub("0x[0-9a-f]+", "", str(jax.make_jaxpr(measure)(jax.random.key(0))))

    return program


def test_the_networks_are_the_presets_in_its_scales(cartpole, program):
    """The program is that of networks which are scaled by hand."""
    scales = {"observation_scale": (1.0, 1.0, 10.0, 1.0), "value_scale": 10.0}
    settings = {"q": SETTINGS["q-actor-critic"]}
    by_hand = program(cartpole, settings, lambda one: a2c.scaled(one, cartpole, **scales))
    assert program(cartpole, settings, **scales) == by_hand


def test_the_reference_of_every_method_is_reinforce_on_whole_episodes(
    cartpole, program, monkeypatch
):
    def weights(env, network, params, estimator, *rest):
        return estimator.__qualname__, *rest

    compared = []

    def noise(sample, reference):
        compared.append((sample, reference))
        return jnp.zeros(())

    monkeypatch.setattr(diagnostics, "state_value_weights", weights)
    monkeypatch.setattr(diagnostics, "action_value_weights", lambda *args: "action values")
    monkeypatch.setattr(diagnostics, "policy_gradients", lambda *args: args[4])
    monkeypatch.setattr(diagnostics, "gradient_noise", noise)
    program(cartpole, SETTINGS)
    reference = ("reinforce", 0.98, 500)
    assert compared == [
        (("reinforce_with_baseline", 0.98, LIMIT), reference),
        ("action values", reference),
        (("reinforce", 0.98, LIMIT), reference),
        (("gae.<locals>.estimator", 0.98, 5), reference),
    ]


@pytest.mark.slow("measures gradients")
def test_the_gradients_are_measured_along_the_run(monkeypatch):
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=LIMIT)
    monkeypatch.setattr(gradients, "_CRITIC_UPDATES", 300)
    monkeypatch.setattr(gradients, "SEEDS", 2)
    monkeypatch.setattr(gradients, "STAGES", (0.0, 0.4))
    stages = gradients.measure_stages(jax.random.key(0), env, SETTINGS, PRESET, 64)
    assert [stage.name for stage in stages] == ["0%", "40%"]
    assert [stage.steps for stage in stages] == [40, 8000]
    assert 10 < stages[0].mean_return < stages[1].mean_return - 10 < LIMIT, "it has learned"
    for stage in stages:
        assert stage.ratios.keys() == stage.errors.keys() == SETTINGS.keys()
        assert all(0 < ratio < np.inf for ratio in stage.ratios.values())
        assert all(0 <= error < 0.5 for error in stage.errors.values())
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
    algorithm = a2c.Algorithm(  # whose parameter is the number of its updates
        init=lambda key: AgentState(jnp.array(0)),
        step=lambda state: (AgentState(state.params + 1), None),
        steps_per_update=1,
    )
    lengths = jnp.array([2, 3, 20])
    np.testing.assert_array_equal(gradients._snapshots(algorithm, None, lengths), [2, 5, 25])


@pytest.mark.parametrize("answers", [[False] * 3, [False, True]])
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
