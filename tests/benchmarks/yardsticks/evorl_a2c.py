"""EvoRL 0.1.1: the ``step`` of its A2CWorkflow, scanned over updates and vmapped over seeds.

    python -m venv evorl
    evorl/bin/pip install gymnax==0.0.9 distrax orbax-checkpoint omegaconf pandas brax
    evorl/bin/pip install --no-deps evorl-jax==0.1.1

Without ``--no-deps`` its trackers come too, which nothing here imports. CartPole-v1 of gymnax in
its ``create_env``, with the reset that its A2C asks for, which takes a step of its own; that step
is counted. Two separate networks of the sizes that are asked for (EvoRL initialises them in a way
of its own), its Adam at 3e-4, GAE at 1. Nothing is evaluated or recorded.
"""

import functools

import jax
from worker import ACTIVATIONS, HIDDEN_SIZES, Run, Settings, over_seeds, serve


def prepare(settings: Settings) -> Run:
    # Imported once the output is not the answers' any more: brax prints what it does not find.
    from evorl.algorithms import a2c
    from omegaconf import OmegaConf

    network = settings["network"]
    activation = getattr(jax.nn, ACTIVATIONS[network])
    for name in ("make_policy_network", "make_v_network"):  # its configuration names none
        setattr(a2c, name, functools.partial(getattr(a2c, name), activation=activation))
    sizes = list(HIDDEN_SIZES[network])
    config = {
        "env": {"env_type": "gymnax", "env_name": "CartPole-v1", "max_episode_steps": 500},
        "agent_network": {
            **{f"{half}_hidden_layer_sizes": sizes for half in ("actor", "critic")},
            **{f"{half}_obs_key": "" for half in ("policy", "value")},
        },
        "num_envs": settings["num_envs"],
        "num_eval_envs": 1,
        "rollout_length": settings["num_steps"],
        "normalize_obs": False,
        "discount": 0.99,
        "gae_lambda": 1.0,
        "optimizer": {"lr": 3e-4, "grad_clip_norm": None},
        "loss_weights": {"actor_loss": 1.0, "critic_loss": 0.5, "actor_entropy": -0.001},
        "checkpoint": {"enable": False},
    }
    workflow = a2c.A2CWorkflow.build_from_config(OmegaConf.create(config), enable_jit=False)

    def train(key):
        def update(state, _):
            return workflow.step(state)[::-1]  # the state and metrics

        return jax.lax.scan(update, workflow.init(key), length=settings["num_updates"])

    return over_seeds(train, settings)


if __name__ == "__main__":
    serve(prepare, ("evorl-jax", "gymnax", "jax", "jaxlib", "flax", "optax"))
