"""Rejax 0.1.3: its PPO with one epoch of one minibatch, which is the work of an A2C update.

    python -m venv rejax && rejax/bin/pip install rejax==0.1.3 gymnax==0.0.9

CartPole-v1, seeds by ``vmap``, two separate networks of the sizes that are asked for (rejax
initialises them in a way of its own), Adam at 3e-4, GAE at 1. Nothing is evaluated: rejax's
evaluation callback is replaced by one that returns zero, and called once, at the end.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from rejax import get_algo, networks
from worker import (
    ACTIVATIONS,
    CONV,
    HIDDEN_SIZES,
    Run,
    Settings,
    env_of,
    over_seeds,
    serve,
    total_steps,
)

MLP = networks.MLP


class ConvThenMLP(nn.Module):
    """MinAtar's convolution before rejax's layers, with the interface of its MLP."""

    hidden_layer_sizes: Any
    activation: Any

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = self.activation(nn.Conv(16, (3, 3), padding="VALID")(x))
        return MLP(self.hidden_layer_sizes, self.activation)(x)


def prepare(settings: Settings) -> Run:
    network = settings["network"]
    if network == CONV:
        networks.MLP = ConvThenMLP
    algorithm = get_algo("ppo").create(
        env=env_of(settings),
        agent_kwargs={
            "hidden_layer_sizes": HIDDEN_SIZES[network],
            "activation": ACTIVATIONS[network],
        },
        num_envs=settings["num_envs"],
        num_steps=settings["num_steps"],
        num_epochs=1,
        num_minibatches=1,
        total_timesteps=total_steps(settings),
        eval_freq=total_steps(settings),
        skip_initial_evaluation=True,
        learning_rate=3e-4,
        gae_lambda=1.0,
        ent_coef=0.001,
    )
    algorithm = algorithm.replace(eval_callback=lambda algorithm, state, key: jnp.zeros(()))
    return over_seeds(lambda key: algorithm.train(key)[0], settings)


if __name__ == "__main__":
    serve(prepare, ("rejax", "gymnax", "jax", "jaxlib", "flax", "optax", "distrax"))
