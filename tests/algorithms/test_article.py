import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import a2c_jax as a2c
from a2c_jax.algorithms import learner
from a2c_jax.algorithms.article import (
    CORRECTED,
    Defects,
    defective_loss,
    falls_as_time_limits,
)

ALONE = [Defects(**{name: True}) for name in Defects._fields]


@pytest.fixture(scope="module")
def env():
    return a2c.make_env("CartPole-v1", max_steps_in_episode=50)


@pytest.fixture(scope="module")
def network(env):
    return a2c.article_network(env, (8,))


@pytest.fixture(scope="module")
def params(network):
    return network.init(jax.random.key(0))


@functools.partial(jax.jit, static_argnames=("env", "network"))
def play_episode(key, env, network, params):
    """The rollout of one episode, ``[T, 1, ...]``."""
    agent = a2c.feed_forward(network, a2c.categorical(2))
    return a2c.episodes(env, agent).collect(key, a2c.AgentState(params), ())[1]


@pytest.fixture(scope="module")
def fallen(env, network, params):
    """An episode that ends early, so that most of its rows do not count."""
    episode = play_episode(jax.random.key(1), env, network, params)
    assert 5 < episode.where.sum() < 45
    return episode


def parts(network, episode, defects, entropy_coef):
    """The agent, its loss and the rollout that the article's loop takes the gradient of."""
    agent = a2c.feed_forward(network, a2c.categorical(2))
    loss = defective_loss(0.99, value_coef=0.5, entropy_coef=entropy_coef, defects=defects)
    return agent, loss, falls_as_time_limits(episode) if defects.bootstrap_after_fall else episode


@functools.partial(jax.jit, static_argnames=("network", "defects"))
def gradient(params, network, episode, defects=CORRECTED, entropy_coef=0.001):
    agent, loss, rollout = parts(network, episode, defects, entropy_coef)
    return learner.gradient(agent, loss, a2c.AgentState(params), rollout)[1]


def only(episode):
    """The transitions of the only environment, ``[T, ...]``, and how many of them count."""
    return jax.tree.map(lambda x: x[:, 0], episode.transitions), int(episode.where.sum())


def test_an_episode_ends_with_its_first_ending(env, fallen):
    transitions, rows = only(fallen)
    assert fallen.where.shape == (50, 1)
    assert fallen.where[:rows].all()
    ended = transitions.terminated | transitions.truncated
    assert ended[rows - 1]
    assert not ended[: rows - 1].any()
    obs, next_obs = transitions.obs, transitions.next_obs
    np.testing.assert_array_equal(obs[1:rows], next_obs[: rows - 1])
    assert jnp.abs(obs[0]).max() <= 0.05, "it begins with a reset"


def test_an_episode_that_reaches_the_time_limit_is_played_whole(network, params):
    short = a2c.make_env("CartPole-v1", max_steps_in_episode=5)
    episode = play_episode(jax.random.key(1), short, network, params)
    assert episode.where.all()
    assert episode.transitions.truncated[-1]


@pytest.mark.parametrize("defects", [CORRECTED, a2c.AS_PRINTED, *ALONE])
def test_rows_after_the_end_do_not_count(fallen, network, params, defects):
    _, rows = only(fallen)
    garbage = jax.tree.map(
        lambda x: x.at[rows:].set(jnp.asarray(7).astype(x.dtype)), fallen.transitions
    )
    ours = gradient(params, network, fallen, defects=defects)
    theirs = gradient(params, network, fallen._replace(transitions=garbage), defects=defects)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), ours, theirs)


def numpy_loss(params, network, episode, defects):
    """The loss row by row in float64, as one would write it down from the article's table."""
    transitions, rows = only(episode)
    steps = jax.tree.map(lambda x: np.asarray(x[:rows]), transitions)
    logits = np.asarray(network.policy(params, steps.obs), np.float64)
    log_pi = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    values = np.asarray(network.value(params, steps.obs), np.float64)
    follows = float(network.value(params, steps.next_obs[-1]))
    if steps.terminated[-1] and not defects.bootstrap_after_fall:
        follows = 0.0
    returns = np.zeros(rows)
    for t in reversed(range(rows)):
        follows = steps.reward[t] + 0.99 * follows
        returns[t] = follows
    pi = np.exp(log_pi)
    measure = pi.mean(-1, keepdims=True) if defects.cross_entropy else pi
    entropy = -(measure * log_pi).sum(-1)
    term = entropy.sum() if defects.entropy_total else entropy.mean()
    chosen = log_pi[np.arange(rows), steps.action]
    sign = 1 if defects.entropy_penalty else -1
    return (
        (-chosen * (returns - values)).mean()
        + 0.5 * ((returns - values) ** 2).mean()
        + sign * 0.001 * term
    )


@pytest.mark.parametrize("defects", [CORRECTED, a2c.AS_PRINTED, *ALONE])
def test_the_loss_is_what_one_would_write_down(fallen, network, params, defects):
    agent, loss, rollout = parts(network, fallen, defects, 0.001)
    ours, terms = loss(agent.unroll(a2c.AgentState(params), rollout), rollout)
    np.testing.assert_allclose(ours, numpy_loss(params, network, fallen, defects), rtol=1e-4)
    # What is reported is the entropy, whatever takes its place in the loss.
    log_pi = jax.nn.log_softmax(network.policy(params, fallen.transitions.obs))
    entropy = -np.sum(np.exp(log_pi) * log_pi, axis=-1)
    np.testing.assert_allclose(terms.entropy, entropy[fallen.where].mean(), rtol=1e-5)
    others = {round(numpy_loss(params, network, fallen, other), 7) for other in ALONE}
    assert len(others) >= 5, "the switches differ (detached terms are worth the same)"


def test_the_detached_critic_has_no_gradient_and_the_corrected_one_has(fallen, network, params):
    for defects in ALONE:
        critic = gradient(params, network, fallen, defects=defects)["value"]
        assert (optax.tree.norm(critic) == 0.0) == defects.detached_critic


def test_the_detached_entropy_pulls_at_nothing(fallen, network, params):
    def pull(defects):
        strong = gradient(params, network, fallen, entropy_coef=1.0, defects=defects)
        none = gradient(params, network, fallen, entropy_coef=0.0, defects=defects)
        return jax.tree.map(jnp.subtract, strong, none)["policy"]

    ours = pull(CORRECTED)
    assert optax.tree.norm(ours) > 1e-4
    assert optax.tree.norm(pull(Defects(detached_entropy=True))) == 0.0
    other_way = pull(Defects(entropy_penalty=True))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, -y, atol=1e-6), ours, other_way)
    # Summed over the episode instead of averaged: as many times stronger as it has steps.
    summed, steps = pull(Defects(entropy_total=True)), float(fallen.where.sum())
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(steps * x, y, rtol=1e-3, atol=1e-5), ours, summed
    )


@pytest.mark.parametrize("defects", [CORRECTED, a2c.AS_PRINTED])
def test_a_step_is_an_episode_its_loss_and_one_step_of_adam(env, network, defects):
    algorithm = a2c.article(env, network, defects=defects)
    state = algorithm.init(jax.random.key(0))
    after, metrics = jax.jit(algorithm.step)(state)
    episode = play_episode(jax.random.fold_in(state.key, 0), env, network, state.params)
    grads = gradient(state.params, network, episode, defects=defects)
    adam = optax.adam(3e-4)
    updates, _ = adam.update(grads, adam.init(state.params), state.params)
    moved = jax.tree.map(jnp.subtract, after.params, state.params)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=2e-6), moved, updates)
    for part, moves in (("policy", True), ("value", defects is CORRECTED)):
        assert all(np.any(x != 0) == moves for x in jax.tree.leaves(moved[part]))
    assert metrics.episode_count == 1
    assert metrics.episode_length_sum == metrics.steps == episode.where.sum()
    assert metrics.episode_return_sum == episode.where.sum(), "CartPole pays 1 a step"
    np.testing.assert_allclose(metrics.grad_norm, optax.tree.norm(grads), rtol=1e-4)
    assert algorithm.steps_per_update == 50


def test_by_default_it_is_the_articles_network():
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=200)
    state = a2c.article(env).init(jax.random.key(0))
    sizes = sorted(leaf.size for leaf in jax.tree.leaves(state.params))
    assert sizes == sorted([4 * 256, 256, 256 * 2, 2, 4 * 256, 256, 256, 1])
    kernel = state.params["policy"]["params"]["Linear_0"]["kernel"]
    assert 0.45 < jnp.abs(kernel).max() <= 0.5, "PyTorch: uniform within 1 / sqrt(4)"


@pytest.mark.slow("learning")
def test_the_articles_run_solves_cartpole_corrected_and_hardly_as_printed():
    """8 seeds, 3000 episodes: the mean of the last 100 lengths of each."""
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=200)

    def final(defects):
        keys = jax.random.split(jax.random.key(0), 8)
        lengths = a2c.train_seeds(a2c.article(env, defects=defects), keys, 3000)
        return np.asarray(lengths.metrics.episode_length_sum)[:, -100:].mean(axis=1)

    corrected, printed = final(CORRECTED), final(a2c.AS_PRINTED)
    assert np.median(corrected) >= 195.0
    assert np.median(printed) < np.median(corrected)
    assert np.median(printed) > 100.0, "with a fixed random baseline it still learns"


@pytest.mark.parametrize("defects", ["as_printed", True, {"cross_entropy": True}])
def test_defects_that_are_none_are_refused(env, network, defects):
    with pytest.raises(ValueError, match=r"^defects is .*; give a Defects record"):
        a2c.article(env, network, defects=defects)
