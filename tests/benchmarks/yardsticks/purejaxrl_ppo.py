"""PureJaxRL: the ``make_train`` of its ``ppo.py``, with one epoch of one minibatch.

    git clone https://github.com/luchris429/purejaxrl purejaxrl-checkout
    python -m venv purejaxrl && purejaxrl/bin/pip install gymnax==0.0.9 distrax

It is no package: ``purejaxrl-checkout/purejaxrl``, which holds ``ppo.py``, has to stand on
PYTHONPATH. CartPole-v1, seeds by ``vmap``, GAE at 1, its
own Adam and clipping. Its network has two tanh layers of 64 in both halves; for the article's
and MinAtar's, its class is replaced by one of the same interface. Its
``wrappers.py`` imports brax and navix, which CartPole does not need and recent versions of JAX
do not go with; where they are missing, mocks stand in for them.
"""

import importlib.util
import sys
from typing import Any
from unittest.mock import MagicMock

import distrax
import flax.linen as nn
import jax.numpy as jnp
from worker import CONV, Run, Settings, env_of, over_seeds, serve, total_steps

MAYBE_MISSING = {
    "brax": ("brax", "brax.envs", "brax.envs.wrappers", "brax.envs.wrappers.training"),
    "navix": ("navix",),
}


class ArticleActorCritic(nn.Module):
    """The article's network with PureJaxRL's interface."""

    action_dim: int
    activation: str = "tanh"

    @nn.compact
    def __call__(self, x: Any) -> Any:
        logits = nn.Dense(self.action_dim)(nn.relu(nn.Dense(256)(x)))
        value = nn.Dense(1)(nn.relu(nn.Dense(256)(x)))
        return distrax.Categorical(logits=logits), jnp.squeeze(value, axis=-1)


class ConvActorCritic(nn.Module):
    """The network of MinAtar, shared by policy and value, with PureJaxRL's interface."""

    action_dim: int
    activation: str = "tanh"

    @nn.compact
    def __call__(self, x: Any) -> Any:
        image = x.reshape((-1, 10, 10, x.shape[-1] // 100))
        filtered = nn.relu(nn.Conv(16, (3, 3), padding="VALID")(image))
        features = nn.relu(nn.Dense(128)(filtered.reshape((*x.shape[:-1], -1))))
        logits, value = nn.Dense(self.action_dim)(features), nn.Dense(1)(features)
        return distrax.Categorical(logits=logits), jnp.squeeze(value, axis=-1)


def prepare(settings: Settings) -> Run:
    for package, names in MAYBE_MISSING.items():
        if importlib.util.find_spec(package) is None:
            sys.modules |= {name: MagicMock() for name in names}
    import ppo

    if settings["network"] == "article":
        ppo.ActorCritic = ArticleActorCritic
    if settings["network"] == CONV:
        ppo.ActorCritic = ConvActorCritic
    config = {
        "ENV_NAME": env_of(settings), "NUM_ENVS": settings["num_envs"],
        "NUM_STEPS": settings["num_steps"], "TOTAL_TIMESTEPS": total_steps(settings),
        "UPDATE_EPOCHS": 1, "NUM_MINIBATCHES": 1, "GAMMA": 0.99, "GAE_LAMBDA": 1.0,
        "CLIP_EPS": 0.2, "ENT_COEF": 0.001, "VF_COEF": 0.5, "MAX_GRAD_NORM": 0.5, "LR": 3e-4,
        "ANNEAL_LR": False, "ACTIVATION": "tanh", "DEBUG": False,
    }  # fmt: skip
    return over_seeds(ppo.make_train(config), settings)


if __name__ == "__main__":
    serve(prepare, ("gymnax", "jax", "jaxlib", "flax", "optax", "distrax"))
