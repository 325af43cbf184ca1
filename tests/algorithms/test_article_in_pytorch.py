"""The article's loop here against the same loop in PyTorch, fed the same actions.

``article_torch.py``, among the yardsticks, made the recording. An error that PyTorch's autograd or
Adam would not make, or a defect that is not the printed one, shows here and nowhere else.
"""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import a2c_jax as a2c
from a2c_jax.algorithms.article import (
    AS_PRINTED,
    CORRECTED,
    Defects,
    defective_loss,
    falls_as_time_limits,
)

RECORDED = json.loads((Path(__file__).parents[1] / "data/article_in_pytorch.json").read_text())
LIMIT = 200
RUNS = {  # entropy_coef, defects
    "printed": (0.001, AS_PRINTED),
    "corrected": (0.001, CORRECTED),
    "corrected, entropy_coef 10": (10.0, CORRECTED),
}

# What float32 cannot tell apart: weights up to 0.5, rounded to 6e-8 at each of six updates, and
# means over up to 200 rows. The weights change by 1.6e-3 in six updates; that far off, a
# comparison of the weights themselves would still look good.
CHANGE_ATOL = 5e-7
LOSS_RTOL = 2e-6


@functools.cache
def cartpole_v0():
    return a2c.make_env("CartPole-v1", max_steps_in_episode=LIMIT)


@functools.cache
def episodes():
    """The recorded episodes, played again on the environment here: rollouts ``[6, 200, 1, ...]``.

    In float64, as gymnasium computes: within 200 steps that do not depend on the state, the pole
    multiplies a rounding error by millions.
    """
    starts = np.array([episode["start"] for episode in RECORDED["episodes"]])
    padded = [episode["actions"].ljust(LIMIT, "0") for episode in RECORDED["episodes"]]
    actions = np.array([[int(action) for action in row] for row in padded], np.int32)
    with jax.enable_x64(True):
        rows = jax.tree.map(np.asarray, jax.jit(jax.vmap(replay))(starts, actions))
    ended = rows.terminated | rows.truncated
    where = np.cumsum(ended, axis=1) - ended == 0
    return jax.tree.map(lambda x: x[:, :, None], a2c.Rollout(rows, where=where))


def replay(start, actions):
    """One episode's rows, and what follows if nobody stops at its end."""
    env, key = cartpole_v0(), jax.random.key(0)
    x, x_dot, theta, theta_dot = start
    env_state = env.reset(key)[0].replace(x=x, x_dot=x_dot, theta=theta, theta_dot=theta_dot)

    def body(carry, action):
        env_state, obs = carry
        step = env.step(key, env_state, action)
        row = a2c.Transition(obs, action, step.reward, step.terminated, step.truncated, step.obs)
        return (step.env_state, step.obs), row

    return jax.lax.scan(body, (env_state, start.astype(jnp.float32)), actions)[1]


def network():
    return a2c.article_network(cartpole_v0(), hidden_sizes=(8,))


def params_of(weights):
    """Recorded weights ``[out, in]`` as the parameters here, ``[in, out]``."""
    arrays = {
        name: jnp.asarray(np.reshape(weights[name], shape), jnp.float32)
        for name, shape in RECORDED["shapes"].items()
    }

    def layer(name):
        return {"kernel": arrays[f"{name}.weight"].T, "bias": arrays[f"{name}.bias"]}

    def perceptron(name):
        layers = {f"Linear_{i}": layer(f"{name}_linear{i + 1}") for i in range(2)}
        return {"params": layers}

    return {"policy": perceptron("actor"), "value": perceptron("critic")}


@functools.partial(jax.jit, static_argnames="defects")
def updates_here(initial, episodes, entropy_coef, defects):
    """The loss of each update, and the parameters after it.

    The printed loss also has the entropy of all earlier episodes, ``total``: a constant, which
    the loss here leaves out, and which is added to compare the numbers.
    """
    optimizer = optax.adam(3e-4)
    agent = a2c.feed_forward(network(), a2c.categorical(2))
    loss = defective_loss(0.99, value_coef=0.5, entropy_coef=entropy_coef, defects=defects)

    def loss_and_entropy(params, rollout):
        unrolled = agent.unroll(a2c.AgentState(params), rollout)
        entropy = unrolled.entropy
        if defects.cross_entropy:
            entropy = -jnp.mean(jax.nn.log_softmax(unrolled.outputs), axis=-1)
        return loss(unrolled, rollout)[0], jnp.sum(entropy, where=rollout.where)

    def update(carry, rollout):
        params, opt_state, total = carry
        if defects.bootstrap_after_fall:
            rollout = falls_as_time_limits(rollout)
        grad = jax.value_and_grad(loss_and_entropy, has_aux=True)
        (value, entropy), grads = grad(params, rollout)
        if defects.entropy_total:
            value += entropy_coef * total * (1 if defects.entropy_penalty else -1)
        change, opt_state = optimizer.update(grads, opt_state, params)
        params = optax.apply_updates(params, change)
        return (params, opt_state, total + entropy), (value, params)

    carry = (initial, optimizer.init(initial), jnp.zeros(()))
    return jax.lax.scan(update, carry, episodes)[1]


def updates_recorded(updates):
    """The same of recorded updates."""
    params = [params_of(update["weights"]) for update in updates]
    losses = np.array([update["loss"] for update in updates])
    return losses, jax.tree.map(lambda *x: jnp.stack(x), *params)


def distance(left, right):
    """How far two courses of updates lie apart, in tolerances; 1 is just equal."""
    (losses, params), (other_losses, other_params) = left, right
    initial = params_of(RECORDED["initial"])

    def apart(after, other_after, before):
        change, other_change = np.asarray(after - before), np.asarray(other_after - before)
        return np.max(np.abs(change - other_change)) / CHANGE_ATOL

    of_losses = np.max(np.abs(losses / other_losses - 1)) / LOSS_RTOL
    of_changes = jax.tree.leaves(jax.tree.map(apart, params, other_params, initial))
    return np.max([of_losses, *of_changes])  # NaN if any is


def distance_from_pytorch(run, defects):
    entropy_coef, _ = RUNS[run]
    here = updates_here(params_of(RECORDED["initial"]), episodes(), entropy_coef, defects)
    return distance(here, updates_recorded(RECORDED["updates"][run]))


def test_replayed_episodes_end_where_the_recorded_ones_do():
    transitions, where = (jax.tree.map(lambda x: x[:, :, 0], part) for part in episodes()[::2])
    lengths = [len(episode["actions"]) for episode in RECORDED["episodes"]]
    fell = [episode["terminated"] for episode in RECORDED["episodes"]]
    np.testing.assert_array_equal(where.sum(axis=1), lengths)
    np.testing.assert_array_equal(np.any(transitions.terminated & where, axis=1), fell)
    assert True in fell
    assert (LIMIT, False) in zip(lengths, fell, strict=True), "no time limit in the recording"


@pytest.mark.parametrize("run", RUNS)
def test_every_update_is_pytorchs(run):
    _, defects = RUNS[run]
    assert distance_from_pytorch(run, defects) <= 1


@pytest.mark.parametrize("defect", Defects._fields)
@pytest.mark.parametrize(
    "run",
    [
        "corrected, entropy_coef 10",
        pytest.param("printed", marks=pytest.mark.slow("compiles six more programs")),
    ],
)
def test_one_defect_more_or_less_is_seen(run, defect):
    _, defects = RUNS[run]
    other = defects._replace(**{defect: not getattr(defects, defect)})
    assert distance_from_pytorch(run, other) > 5


def test_pytorch_still_does_what_was_recorded():
    pytest.importorskip("torch")
    from yardsticks.article_torch import record  # needs torch

    again = record()
    assert again["episodes"] == RECORDED["episodes"]
    assert again["initial"] == RECORDED["initial"]
    for run in RUNS:
        courses = (updates_recorded(source["updates"][run]) for source in (again, RECORDED))
        assert distance(*courses) <= 1
