"""``check_env`` accepts what is right, and names what is wrong."""

import jax
import jax.numpy as jnp
import optax
import pytest
from probe_envs import delayed

import a2c_jax as a2c

ENV = delayed()


def changed(**fields):
    """The probe, whose ``step`` returns other fields."""

    def step(key, state, action):
        timestep = ENV.step(key, state, action)
        return timestep._replace(**{name: change(timestep) for name, change in fields.items()})

    return ENV._replace(step=step)


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ("CartPole-v1", "env is a str; give an Environment, such as make_env"),
        (ENV._replace(observation=(1,)), "has a int in its record; give jax.ShapeDtypeStruct"),
        (ENV._replace(step=lambda *_: (0, 1.0, True, {})), "returns a tuple; return a Timestep"),
        (ENV._replace(observation=jax.ShapeDtypeStruct((3,), jnp.float32)), r"is \(1,\), but its"),
        (changed(terminated=lambda t: t.reward), r"The terminated of delayed is float32\[\]; make"),
        (changed(truncated=lambda t: t.truncated[None]), r"truncated of delayed is bool\[1\]"),
        (changed(reward=lambda t: t.reward[None]), r"reward of delayed is float32\[1\]; make it"),
        (changed(obs=lambda t: t.obs.astype(int)), r"observation of delayed is float32\[1\] after"),
        (changed(obs=lambda t: {"x": t.obs}), r"The observation of delayed is \{'x': \(1,\)\}"),
        (changed(env_state=lambda t: t.env_state[:1]), "The state of delayed is"),
    ],
)
def test_what_is_wrong_is_named(env, sentence):
    with pytest.raises(ValueError, match=sentence):
        a2c.check_env(env)


def test_what_is_right_is_accepted_and_an_algorithm_checks_its_environment():
    a2c.check_env(ENV)
    a2c.check_env(a2c.make_env("Pendulum-v1"))
    broken = changed(truncated=lambda t: t.reward)
    with pytest.raises(ValueError, match="truncated of delayed"):
        a2c.actor_critic(
            broken, a2c.mlp_actor_critic(ENV, (4,)), optax.sgd(0.1), num_envs=1, num_steps=1
        )
