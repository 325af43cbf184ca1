"""Small environments whose values and best policy are known exactly."""

import jax
import jax.numpy as jnp

import a2c_jax as a2c


def _environment(name, observe, reward_of, is_terminal, max_episode_steps):
    """An environment whose state is ``(coin, time)``: a random bit and the steps taken."""

    def reset(key):
        coin = jax.random.bernoulli(key).astype(jnp.float32)
        state = (coin, jnp.zeros((), jnp.int32))
        return state, observe(*state)

    def step(key, state, action):
        coin, time = state
        reward = jnp.asarray(reward_of(coin, time, action), jnp.float32)
        time = time + 1
        return a2c.Timestep(
            env_state=(coin, time),
            obs=observe(coin, time),
            reward=reward,
            terminated=jnp.asarray(is_terminal(time), jnp.bool_),
            truncated=time >= max_episode_steps,
        )

    _, observation = jax.eval_shape(reset, jax.random.key(0))
    return a2c.Environment(name, reset, step, observation, a2c.Discrete(2), max_episode_steps)


def always_surviving(max_episode_steps=10):
    """Reward 1 at every step, and only ever a time limit: V = 1 / (1 - discount)."""
    return _environment(
        "always surviving",
        lambda coin, time: jnp.ones(1, jnp.float32),
        lambda coin, time, action: 1.0,
        lambda time: False,
        max_episode_steps,
    )


def observation_dependent():
    """One step, reward equal to the coin that was seen: V(coin) = coin."""
    return _environment(
        "observation dependent",
        lambda coin, time: coin[None],
        lambda coin, time, action: coin,
        lambda time: time >= 1,
        5,
    )


def delayed():
    """Two steps, reward 1 after the second: V(first) = discount, V(second) = 1."""
    return _environment(
        "delayed",
        lambda coin, time: time.astype(jnp.float32)[None],
        lambda coin, time, action: time == 1,
        lambda time: time >= 2,
        5,
    )


def action_dependent():
    """One step, reward 1 if the action is the coin: the best policy copies it, V = 1."""
    return _environment(
        "action dependent",
        lambda coin, time: coin[None],
        lambda coin, time, action: action == coin,
        lambda time: time >= 1,
        5,
    )


def partly_legal(num_actions=8):
    """One step; a random third of the actions is legal, and the highest legal one is right."""

    def reset(key):
        legal = jax.random.uniform(key, (num_actions,)) < 0.4
        legal = legal | (jnp.arange(num_actions) == jax.random.randint(key, (), 0, num_actions))
        return legal, a2c.MaskedObservation(legal.astype(jnp.float32), legal)

    def step(key, legal, action):
        right = num_actions - 1 - jnp.argmax(legal[::-1])
        reward = jnp.where(legal[action], jnp.where(action == right, 1.0, 0.0), -1.0)
        none = jnp.zeros_like(legal)
        obs = a2c.MaskedObservation(none.astype(jnp.float32), none)
        return a2c.Timestep(none, obs, reward, jnp.array(True), jnp.array(False))

    _, observation = jax.eval_shape(reset, jax.random.key(0))
    return a2c.Environment("partly legal", reset, step, observation, a2c.Discrete(num_actions), 5)
