import jax
import jax.numpy as jnp
import numpy as np
import pytest

import a2c_jax as a2c


def some_transitions(seed=0, dtype=jnp.float32):
    """Random CartPole-shaped transitions [6, 3] with endings of every kind."""
    rng = np.random.default_rng(seed)
    obs, next_obs = rng.normal(size=(2, 6, 3, 4))
    terminated, truncated = rng.random((2, 6, 3)) < 0.25
    return a2c.Transition(
        obs=jnp.asarray(obs, dtype),
        action=jnp.asarray(rng.integers(0, 2, (6, 3))),
        reward=jnp.asarray(rng.normal(size=(6, 3)), dtype),
        terminated=jnp.asarray(terminated),
        truncated=jnp.asarray(truncated),
        next_obs=jnp.asarray(next_obs, dtype),
    )


@pytest.fixture(scope="module")
def network(cartpole):
    # Larger heads than the default's, so that every gradient is well away from zero.
    init = a2c.orthogonal(1.0)
    return a2c.mlp_actor_critic(
        cartpole, (16,), hidden_init=init, policy_init=init, value_init=init
    )


def test_each_loss_by_hand():
    # Uniform over two actions: log π = -ln 2; mean advantage (1 + 3) / 2 = 2; loss 2 ln 2.
    loss = a2c.policy_loss(jnp.zeros((2, 2)), jnp.array([0, 1]), jnp.array([1.0, 3.0]))
    np.testing.assert_allclose(loss, 2 * np.log(2), rtol=1e-6)
    # ((3 - 1)² + (2 - 2)²) / 2 = 2
    assert a2c.value_loss(jnp.array([1.0, 2.0]), jnp.array([3.0, 2.0])) == 2.0
    np.testing.assert_allclose(a2c.entropy_loss(jnp.zeros((5, 2))), -np.log(2), rtol=1e-6)
    assert a2c.entropy_loss(jnp.array([[3.0, 0.0]])) > -np.log(2)


def leaky(rewards, discounts, continues, values, next_values):
    """An estimator that stops no gradient, as the loss must."""
    advantages = a2c.gae(0.7)(rewards, discounts, continues, values, next_values).advantages
    return a2c.AdvantageEstimate(advantages * next_values, advantages + 10.0 * values)


def test_the_gradient_is_that_of_finite_differences_with_constant_targets(network):
    with jax.enable_x64(True):
        params = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float64), network.init(jax.random.key(1))
        )
        transitions = some_transitions(dtype=jnp.float64)
        # Advantages and targets are constants of the loss, so they are here as well.
        estimate = leaky(
            transitions.reward,
            0.9 * (1.0 - transitions.terminated),
            1.0 - (transitions.terminated | transitions.truncated),
            network.value(params, transitions.obs),
            network.value(params, transitions.next_obs),
        )

        def loss(params, estimator=lambda *arrays: estimate):
            return a2c.actor_critic_loss(
                params, network, transitions, discount=0.9, value_coef=0.5, entropy_coef=0.1,
                estimator=estimator,
            )[0]  # fmt: skip

        flat, unravel = jax.flatten_util.ravel_pytree(params)
        steps = 1e-6 * jnp.eye(flat.size)[::7]
        at = jax.jit(jax.vmap(lambda flat: loss(unravel(flat))))
        slopes = (at(flat + steps) - at(flat - steps)) / 2e-6
        real = jax.jit(jax.grad(lambda flat: loss(unravel(flat), leaky)))(flat)
        np.testing.assert_allclose(real[::7], slopes, rtol=1e-5, atol=1e-9)


@pytest.fixture(scope="module")
def evaluate(network):
    """The parameters and, compiled, the loss and its terms for transitions."""
    params = network.init(jax.random.key(0))
    settings = {"discount": 0.9, "value_coef": 0.5, "entropy_coef": 0.1}
    return params, jax.jit(lambda rows: a2c.actor_critic_loss(params, network, rows, **settings))


def test_the_combined_loss_rewards_entropy(network, evaluate):
    params, loss_of = evaluate
    loss, terms = loss_of(some_transitions())
    log_probs = np.asarray(jax.nn.log_softmax(network.policy(params, some_transitions().obs)))
    entropy = -np.mean(np.sum(np.exp(log_probs) * log_probs, axis=-1))
    np.testing.assert_allclose(terms.entropy, entropy, rtol=1e-5)
    np.testing.assert_allclose(
        loss, terms.policy_loss + 0.5 * terms.value_loss - 0.1 * entropy, rtol=1e-5
    )


def test_a_schedule_weighs_the_entropy_by_the_number_of_updates():
    entropy = jnp.full((6, 3), 0.7)
    unrolled = a2c.Unrolled(*[entropy] * 5)
    loss = a2c.combined_loss(0.9, a2c.n_step, value_coef=0.5, entropy_coef=lambda n: 0.1 / (1 + n))
    for update, weight in ((0, 0.1), (4, 0.02)):
        rollout = a2c.Rollout(some_transitions(), update=jnp.int32(update))
        total, terms = loss(unrolled, rollout)
        np.testing.assert_allclose(
            total, terms.policy_loss + 0.5 * terms.value_loss - weight * 0.7, rtol=1e-6
        )
    with pytest.raises(ValueError, match=r"^rollout\.update is None; give"):
        loss(unrolled, a2c.Rollout(some_transitions()))


def test_a_fall_has_no_future_and_a_time_limit_has_one(network, evaluate):
    params, loss_of = evaluate
    base = some_transitions()
    never = jnp.zeros((6, 3), bool)

    def targets(terminated, truncated):
        return loss_of(base._replace(terminated=terminated, truncated=truncated))[1].targets

    next_values = network.value(params, base.next_obs)
    np.testing.assert_allclose(targets(~never, never), base.reward, rtol=1e-6)
    np.testing.assert_allclose(targets(~never, ~never), base.reward, rtol=1e-6)
    np.testing.assert_allclose(
        targets(never, ~never), base.reward + 0.9 * next_values, rtol=1e-5, atol=1e-6
    )


def test_a_single_advantage_cannot_be_normalized(network):
    single = jax.tree.map(lambda x: x[:1, :1], some_transitions())
    with pytest.raises(
        ValueError, match=r"^normalized_advantages is given a single advantage.*\.$"
    ):
        a2c.actor_critic_loss(
            network.init(jax.random.key(0)), network, single, discount=0.9,
            estimator=a2c.normalized_advantages(a2c.n_step),
        )  # fmt: skip


def test_rows_that_are_excluded_enter_no_term():
    rng = np.random.default_rng(0)
    logits, actions = (
        jnp.asarray(rng.normal(size=(6, 3, 2))),
        jnp.asarray(rng.integers(0, 2, (6, 3))),
    )
    values, targets = jnp.asarray(rng.normal(size=(2, 6, 3)))
    where = jnp.asarray(rng.random((6, 3)) < 0.5)
    for loss, *arrays in [
        (a2c.policy_loss, logits, actions, targets),
        (a2c.value_loss, values, targets),
        (a2c.entropy_loss, logits),
    ]:
        expected = loss(*(array[where] for array in arrays))
        np.testing.assert_allclose(loss(*arrays, where=where), expected, rtol=1e-5)
        with pytest.raises(ValueError, match=r"^where has shape \(3,\), but the masked array has"):
            loss(*arrays, where=where[0])
        with pytest.raises(ValueError, match=r"^where is False everywhere; give"):
            loss(*arrays, where=jnp.zeros_like(where))


def test_misshaped_arrays_are_named():
    with pytest.raises(ValueError, match="advantages has shape"):
        a2c.policy_loss(jnp.zeros((3, 2)), jnp.zeros(3, int), jnp.zeros((3, 1)))
    with pytest.raises(ValueError, match="targets has shape"):
        a2c.value_loss(jnp.zeros(3), jnp.zeros((3, 3)))


@pytest.mark.parametrize(("limit", "num_steps"), [(7, 20), (7, 7), (500, 40)])
def test_next_values_are_those_of_the_true_successors(limit, num_steps):
    """Also where a time limit cut an episode off, in the middle of a rollout or at its end."""
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=limit)
    network = a2c.mlp_actor_critic(env)
    params = network.init(jax.random.key(0))
    env_state, obs = a2c.reset_envs(jax.random.key(1), env, num_envs=3)
    *_, transitions = jax.jit(
        lambda key: a2c.rollout(
            key, lambda obs: network.policy(params, obs), env, env_state, obs, num_steps
        )
    )(jax.random.key(2))
    given = []

    def estimator(rewards, discounts, continues, values, next_values):
        given.append(next_values)
        return a2c.AdvantageEstimate(values, values)

    a2c.actor_critic_loss(params, network, transitions, discount=0.9, estimator=estimator)
    matters = ~np.asarray(transitions.terminated)
    cut_off = matters & np.asarray(transitions.truncated)
    assert cut_off[:-1].any() == (limit < num_steps)
    expected = np.asarray(network.value(params, transitions.next_obs))
    np.testing.assert_allclose(np.asarray(given[0])[matters], expected[matters], atol=1e-6)
