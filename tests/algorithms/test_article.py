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
CASES = [CORRECTED, a2c.AS_PRINTED, *ALONE]


@pytest.fixture(scope="module")
def env():
    return a2c.make_env("CartPole-v1", max_steps_in_episode=50)


@pytest.fixture(scope="module")
def network(env):
    return a2c.article_network(env, (8,))


@pytest.fixture(scope="module")
def params(network):
    return jax.jit(network.init)(jax.random.key(0))


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


@functools.partial(jax.jit, static_argnames="network")
def losses_and_gradients(params, network, episode, entropy_coef):
    """``(loss, gradient, entropy)`` of the article's loop with each of ``CASES``: one program."""
    agent, results = a2c.feed_forward(network, a2c.categorical(2)), {}
    for defects in CASES:
        loss = defective_loss(0.99, value_coef=0.5, entropy_coef=entropy_coef, defects=defects)
        rollout = falls_as_time_limits(episode) if defects.bootstrap_after_fall else episode
        value, grads, terms = learner.gradient(agent, loss, a2c.AgentState(params), rollout)
        results[defects] = value, grads, terms.entropy
    return results


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


def test_each_defect_changes_its_own_part_of_the_loss(fallen, network, params):
    strong, none = (losses_and_gradients(params, network, fallen, coef) for coef in (1.0, 0.0))
    log_pi = jax.nn.log_softmax(network.policy(params, fallen.transitions.obs))
    entropy = -np.sum(np.exp(log_pi) * log_pi, axis=-1)[fallen.where].mean()
    for defects, (_, gradient, reported) in strong.items():
        assert (optax.tree.norm(gradient["value"]) == 0.0) == defects.detached_critic
        # What is reported is the entropy, whatever takes its place in the loss.
        np.testing.assert_allclose(reported, entropy, rtol=1e-5)
    others = {round(float(strong[defects][0]), 7) for defects in ALONE}
    assert len(others) >= 5, "the switches differ (detached terms are worth the same)"

    def pull(defects):
        """Of the entropy, at the parameters of the policy."""
        return jax.tree.map(jnp.subtract, strong[defects][1], none[defects][1])["policy"]

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
    state = jax.jit(algorithm.init)(jax.random.key(0))
    after, metrics = jax.jit(algorithm.step)(state)
    episode = play_episode(jax.random.fold_in(state.key, 0), env, network, state.params)
    _, grads, _ = losses_and_gradients(state.params, network, episode, 0.001)[defects]
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


def test_by_default_it_is_the_articles_network(env):
    state = jax.eval_shape(a2c.article(env).init, jax.random.key(0))
    sizes = sorted(leaf.size for leaf in jax.tree.leaves(state.params))
    assert sizes == sorted([4 * 256, 256, 256 * 2, 2, 4 * 256, 256, 256, 1])


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
