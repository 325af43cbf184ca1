"""The yardstick: A2C in JAX as one would write it without thinking about speed.

flax Dense, autodiff, gymnax's own ``step`` with its auto-reset inside the scan, one vmap over
seeds. Same network, optimizer and arithmetic of the update as ``actor_critic`` with ``n_step``,
apart from time limits, which gymnax's auto-reset hides. ``bench.py`` runs it in its own process.
"""

import math

import flax.linen as nn
import gymnax
import jax
import jax.numpy as jnp
import optax


class ArticleNetwork(nn.Module):
    """Two separate networks with one hidden layer of 256 ReLU units."""

    @nn.compact
    def __call__(self, obs):
        logits = nn.Dense(2)(nn.relu(nn.Dense(256)(obs)))
        value = nn.Dense(1)(nn.relu(nn.Dense(256)(obs)))
        return logits, value[..., 0]


class DefaultNetwork(nn.Module):
    """Two separate networks with two hidden layers of 64 tanh units, initialised orthogonally."""

    @nn.compact
    def __call__(self, obs):
        def perceptron(features, gain):
            x = obs
            for _ in range(2):
                x = nn.tanh(nn.Dense(64, kernel_init=nn.initializers.orthogonal(math.sqrt(2)))(x))
            return nn.Dense(features, kernel_init=nn.initializers.orthogonal(gain))(x)

        return perceptron(2, 0.01), perceptron(1, 1.0)[..., 0]


NETWORKS = {"article": ArticleNetwork, "default": DefaultNetwork}


def make_train(num_envs, num_steps, num_updates, network):
    """Returns ``train(key) -> (params, mean rewards [num_updates])``."""
    env, env_params = gymnax.make("CartPole-v1")
    network = NETWORKS[network]()
    optimizer = optax.adam(3e-4)

    def loss_fn(params, obs, actions, returns):
        logits, values = network.apply(params, obs)
        log_probs = jax.nn.log_softmax(logits)
        chosen = jnp.take_along_axis(log_probs, actions[..., None], axis=-1)[..., 0]
        entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
        advantages = returns - values
        policy_loss = -jnp.mean(chosen * jax.lax.stop_gradient(advantages))
        return policy_loss + 0.5 * jnp.mean(advantages**2) - 0.001 * jnp.mean(entropy)

    def train(key):
        key, init_key, reset_key = jax.random.split(key, 3)
        params = network.init(init_key, jnp.zeros(4))
        obs, env_state = jax.vmap(env.reset, (0, None))(
            jax.random.split(reset_key, num_envs), env_params
        )

        def env_step(carry, key):
            params, env_state, obs = carry
            action_key, step_key = jax.random.split(key)
            logits, _ = network.apply(params, obs)
            action = jax.random.categorical(action_key, logits)
            next_obs, env_state, reward, terminated, truncated, _ = jax.vmap(
                env.step, (0, 0, 0, None)
            )(jax.random.split(step_key, num_envs), env_state, action, env_params)
            done = terminated | truncated
            return (params, env_state, next_obs), (obs, action, reward, done)

        def update(carry, key):
            params, opt_state, env_state, obs = carry
            (params, env_state, obs), (all_obs, actions, rewards, dones) = jax.lax.scan(
                env_step, (params, env_state, obs), jax.random.split(key, num_steps)
            )
            _, last_value = network.apply(params, obs)

            def backward(later, row):
                reward, done = row
                now = reward + 0.99 * (1.0 - done) * later
                return now, now

            _, returns = jax.lax.scan(backward, last_value, (rewards, dones), reverse=True)
            grads = jax.grad(loss_fn)(params, all_obs, actions, returns)
            updates, opt_state = optimizer.update(grads, opt_state)
            params = optax.apply_updates(params, updates)
            return (params, opt_state, env_state, obs), jnp.mean(rewards)

        carry = (params, optimizer.init(params), env_state, obs)
        (params, *_), rewards = jax.lax.scan(update, carry, jax.random.split(key, num_updates))
        return params, rewards

    return train
