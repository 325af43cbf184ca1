"""Rejax 0.1.3: its PPO with one epoch of one minibatch, which is the work of an A2C update.

    python -m venv rejax && rejax/bin/pip install rejax==0.1.3 gymnax==0.0.9

CartPole-v1, seeds by ``vmap``, two separate networks of the sizes that are asked for (rejax
initialises them in a way of its own), Adam at 3e-4, GAE at 1. Nothing is evaluated: rejax's
evaluation callback is replaced by one that returns zero, and called once, at the end.
"""

import jax.numpy as jnp
from rejax import get_algo
from worker import ACTIVATIONS, HIDDEN_SIZES, Run, Settings, over_seeds, serve, total_steps


def prepare(settings: Settings) -> Run:
    network = settings["network"]
    algorithm = get_algo("ppo").create(
        env="CartPole-v1",
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
