"""Stable-Baselines3: its A2C, on a CPU, in as many threads as PyTorch takes.

    python -m venv sb3
    sb3/bin/pip install torch --index-url https://download.pytorch.org/whl/cpu
    sb3/bin/pip install stable-baselines3

CartPole-v1 from its own ``make_vec_env`` (a ``DummyVecEnv``), the network that is asked for. It
trains one seed whatever ``num_seeds`` is: it takes S times as long for S seeds, so steps a second
are comparable. With ``"solve"`` in the settings it trains that many steps with the settings of
a2c_jax's preset ``general`` instead, and tells when 100 episodes had a mean return of 475.
"""

from typing import Any

import stable_baselines3
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from worker import ACTIVATIONS, HIDDEN_SIZES, Run, Settings, serve, total_steps

ARTICLE = {
    "learning_rate": 3e-4, "gamma": 0.99, "ent_coef": 0.001, "max_grad_norm": float("inf"),
    "use_rms_prop": False,
}  # fmt: skip
GENERAL_PRESET = {
    "learning_rate": lambda remaining: 2e-3 * remaining, "gamma": 0.98, "ent_coef": 0.0,
    "normalize_advantage": True,
}  # fmt: skip


def make_model(settings: Settings, seed: int, **changes: Any) -> stable_baselines3.A2C:
    network = settings["network"]
    sizes = list(HIDDEN_SIZES[network])
    return stable_baselines3.A2C(
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=settings["num_envs"], seed=seed),
        n_steps=settings["num_steps"],
        policy_kwargs={
            "net_arch": {"pi": sizes, "vf": sizes},
            "activation_fn": {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[ACTIVATIONS[network]],
            "ortho_init": network != "article",
        },
        device="cpu",
        seed=seed,
        **changes,
    )


class Solved(BaseCallback):
    """Remembers the step at which the last 100 episodes first had a mean return of 475."""

    steps: int | None = None

    def _on_step(self) -> bool:
        episodes = self.model.ep_info_buffer
        if self.steps is None and len(episodes) == 100:
            mean = sum(episode["r"] for episode in episodes) / 100
            self.steps = self.num_timesteps if mean >= 475.0 else None
        return True


def prepare(settings: Settings) -> Run:
    if "solve" in settings:
        return lambda seed: solve(settings["solve"], seed)
    steps = total_steps(settings)
    model = make_model(settings, seed=0, **ARTICLE)  # its making is not timed

    def run(seed: int) -> dict[str, Any]:
        model.learn(steps)
        return {"steps": steps}

    return run


def solve(steps: int, seed: int) -> dict[str, Any]:
    """A whole training run, with the settings of the preset ``general``."""
    solved = Solved()
    size = {"num_envs": 8, "num_steps": 5, "network": "default"}
    make_model(size, seed, **GENERAL_PRESET).learn(steps, callback=solved)
    return {"steps": steps, "steps_to_solve": solved.steps}


if __name__ == "__main__":
    serve(prepare, ("stable-baselines3", "torch", "gymnasium", "numpy"))
