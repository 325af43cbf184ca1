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


@pytest.fixture
def network(cartpole):
    # Larger heads than the default's, so that every gradient is well away from zero.
    init = a2c.orthogonal(1.0)
    return a2c.mlp_actor_critic(
        cartpole, (16,), hidden_init=init, policy_init=init, value_init=init
    )


def gradient_norms(tree):
    return {name: float(optax_norm(part)) for name, part in tree.items()}


def optax_norm(tree):
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))


def test_policy_loss_by_hand():
    # Uniform over two actions: log π = -ln 2; mean advantage (1 + 3) / 2 = 2; loss 2 ln 2.
    loss = a2c.policy_loss(jnp.zeros((2, 2)), jnp.array([0, 1]), jnp.array([1.0, 3.0]))
    np.testing.assert_allclose(loss, 2 * np.log(2), rtol=1e-6)


def test_value_loss_by_hand():
    # ((3 - 1)² + (2 - 2)²) / 2 = 2
    assert a2c.value_loss(jnp.array([1.0, 2.0]), jnp.array([3.0, 2.0])) == 2.0


def test_entropy_loss_is_least_at_uniform():
    np.testing.assert_allclose(a2c.entropy_loss(jnp.zeros((5, 2))), -np.log(2), rtol=1e-6)
    assert a2c.entropy_loss(jnp.array([[3.0, 0.0]])) > -np.log(2)


def test_policy_loss_sends_nothing_to_the_critic_and_value_loss_nothing_to_the_actor(network):
    params = network.init(jax.random.key(0))

    def term(name):
        def loss(params):
            _, terms = a2c.actor_critic_loss(params, network, some_transitions(), discount=0.9)
            return getattr(terms, name)

        return gradient_norms(jax.grad(loss)(params))

    policy, value, entropy = term("policy_loss"), term("value_loss"), term("entropy")
    assert policy["value"] == 0.0
    assert policy["policy"] > 1e-3
    assert value["policy"] == 0.0
    assert value["value"] > 1e-3
    assert entropy["value"] == 0.0
    assert entropy["policy"] > 1e-4


def test_no_gradient_flows_through_targets_whatever_the_estimator(network):
    params = network.init(jax.random.key(0))
    transitions = some_transitions()

    def leaky(rewards, discounts, continues, values, next_values):
        return a2c.AdvantageEstimate(next_values * values, 10.0 * next_values + values)

    fixed = leaky(
        None, None, None, network.value(params, transitions.obs),
        network.value(params, transitions.next_obs),
    )  # fmt: skip
    through = jax.grad(
        lambda p: a2c.actor_critic_loss(
            p, network, transitions, discount=0.9, estimator=leaky, value_coef=1.0
        )[0]
    )(params)
    constant = jax.grad(
        lambda p: (
            a2c.policy_loss(
                network.policy(p, transitions.obs), transitions.action, fixed.advantages
            )
            + a2c.value_loss(network.value(p, transitions.obs), fixed.targets)
        )
    )(params)
    for got, want in zip(jax.tree.leaves(through), jax.tree.leaves(constant), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_total_gradient_against_finite_differences_in_float64(network):
    with jax.enable_x64(True):
        params = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float64), network.init(jax.random.key(1))
        )
        transitions = some_transitions(dtype=jnp.float64)
        # Advantages and targets are constants of the loss, so they are here as well.
        estimate = a2c.gae(0.7)(
            transitions.reward,
            0.9 * (1.0 - transitions.terminated),
            1.0 - (transitions.terminated | transitions.truncated),
            network.value(params, transitions.obs),
            network.value(params, transitions.next_obs),
        )

        @jax.jit
        def loss(params):
            return a2c.actor_critic_loss(
                params, network, transitions, discount=0.9, value_coef=0.5, entropy_coef=0.1,
                estimator=lambda *arrays: estimate,
            )[0]  # fmt: skip

        real = jax.grad(
            lambda p: a2c.actor_critic_loss(
                p,
                network,
                transitions,
                discount=0.9,
                value_coef=0.5,
                entropy_coef=0.1,
                estimator=a2c.gae(0.7),
            )[0]
        )(params)
        flat, unravel = jax.flatten_util.ravel_pytree(params)
        flat_real = jax.flatten_util.ravel_pytree(real)[0]
        step = 1e-6
        for index in range(0, flat.size, 7):
            up, down = flat.at[index].add(step), flat.at[index].add(-step)
            slope = (loss(unravel(up)) - loss(unravel(down))) / (2 * step)
            np.testing.assert_allclose(flat_real[index], slope, rtol=1e-5, atol=1e-9)


def test_the_combined_loss_rewards_entropy(network):
    params = network.init(jax.random.key(0))
    loss, terms = a2c.actor_critic_loss(
        params, network, some_transitions(), discount=0.9, value_coef=0.5, entropy_coef=0.1
    )
    log_probs = np.asarray(jax.nn.log_softmax(network.policy(params, some_transitions().obs)))
    entropy = -np.mean(np.sum(np.exp(log_probs) * log_probs, axis=-1))
    np.testing.assert_allclose(terms.entropy, entropy, rtol=1e-5)
    np.testing.assert_allclose(
        loss, terms.policy_loss + 0.5 * terms.value_loss - 0.1 * entropy, rtol=1e-5
    )


def test_a_fall_has_no_future_and_a_time_limit_has_one(network):
    params = network.init(jax.random.key(0))
    base = some_transitions()
    never = jnp.zeros((6, 3), bool)

    def targets(terminated, truncated):
        transitions = base._replace(terminated=terminated, truncated=truncated)
        return a2c.actor_critic_loss(params, network, transitions, discount=0.9)[1].targets

    next_values = network.value(params, base.next_obs)
    np.testing.assert_allclose(targets(~never, never), base.reward, rtol=1e-6)
    np.testing.assert_allclose(targets(~never, ~never), base.reward, rtol=1e-6)
    np.testing.assert_allclose(
        targets(never, ~never), base.reward + 0.9 * next_values, rtol=1e-5, atol=1e-6
    )


def test_normalized_advantages_ignore_the_scale_of_rewards(network):
    params = network.init(jax.random.key(0))
    transitions = some_transitions()

    def policy_term(scale):
        scaled = transitions._replace(reward=transitions.reward * scale)
        return a2c.actor_critic_loss(
            params, network, scaled, discount=0.9,
            estimator=a2c.normalized_advantages(a2c.reinforce),
        )[1].policy_loss  # fmt: skip

    np.testing.assert_allclose(policy_term(1.0), policy_term(50.0), rtol=1e-4)


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


@pytest.mark.parametrize(("limit", "num_steps"), [(7, 20), (7, 7), (500, 7), (500, 40)])
def test_next_values_are_those_of_the_true_successors(limit, num_steps):
    """Also where a time limit cut an episode off, in the middle of a rollout or at its end."""
    env = a2c.make_env("CartPole-v1", max_steps_in_episode=limit)
    network = a2c.mlp_actor_critic(env)
    params = network.init(jax.random.key(0))
    env_state, obs = a2c.reset_envs(jax.random.key(1), env, num_envs=3)
    *_, transitions = a2c.rollout(
        jax.random.key(2), lambda obs: network.policy(params, obs), env, env_state, obs, num_steps
    )
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
