"""Advantage actor-critic in JAX, as pure functions.

Every stage can be imported alone, jit-compiled, and vmapped over environments and seeds.
The names stand in the order data flows: records, environment, network, rollout, returns and
advantages, losses, algorithm, training, evaluation. Nothing here compiles or has a side
effect, except that :func:`train_seeds` and :func:`train_split` compile.
"""

from a2c_jax.types import (
    AdvantageEstimate,
    Algorithm,
    Environment,
    EpisodeStats,
    Estimator,
    Metrics,
    Network,
    QNetwork,
    Timestep,
    TrainResult,
    Transition,
)
from a2c_jax.environments import make_env, num_actions
from a2c_jax.distributions import Distribution, categorical
from a2c_jax.layers import LayerInit, orthogonal, uniform_fan_in
from a2c_jax.networks import (
    article_network,
    article_q_network,
    mlp_actor_critic,
    mlp_q_actor_critic,
    scaled,
)
from a2c_jax.rollout import reset_envs, rollout, rollout_with_next_action
from a2c_jax.returns import discounted_returns, lambda_returns
from a2c_jax.advantages import (
    gae,
    n_step,
    normalize,
    reinforce,
    reinforce_with_baseline,
    td_actor_critic,
)
from a2c_jax.losses import LossTerms, actor_critic_loss, entropy_loss, policy_loss, value_loss
from a2c_jax.metrics import (
    count_episodes,
    explained_variance,
    learning_curve,
    open_episodes,
    update_metrics,
)
from a2c_jax.actor_critic import ActorCriticState, actor_critic
from a2c_jax.q_actor_critic import QActorCriticState, q_actor_critic, q_actor_critic_loss
from a2c_jax.a3c import A3CState, a3c
from a2c_jax.article import AS_PRINTED, CORRECTED, ArticleState, Defects, article, article_loss
from a2c_jax.train import run, train
from a2c_jax.evaluate import evaluate
from a2c_jax.parallel import process_share, train_seeds
from a2c_jax.sharding import split_network, train_split
from a2c_jax import diagnostics, presets

__all__ = [
    "AdvantageEstimate",
    "Algorithm",
    "Environment",
    "EpisodeStats",
    "Estimator",
    "Metrics",
    "Network",
    "QNetwork",
    "Timestep",
    "TrainResult",
    "Transition",
    "make_env",
    "num_actions",
    "Distribution",
    "categorical",
    "LayerInit",
    "orthogonal",
    "uniform_fan_in",
    "article_network",
    "article_q_network",
    "mlp_actor_critic",
    "mlp_q_actor_critic",
    "scaled",
    "reset_envs",
    "rollout",
    "rollout_with_next_action",
    "discounted_returns",
    "lambda_returns",
    "gae",
    "n_step",
    "normalize",
    "reinforce",
    "reinforce_with_baseline",
    "td_actor_critic",
    "LossTerms",
    "actor_critic_loss",
    "entropy_loss",
    "policy_loss",
    "value_loss",
    "count_episodes",
    "explained_variance",
    "learning_curve",
    "open_episodes",
    "update_metrics",
    "ActorCriticState",
    "actor_critic",
    "QActorCriticState",
    "q_actor_critic",
    "q_actor_critic_loss",
    "A3CState",
    "a3c",
    "AS_PRINTED",
    "CORRECTED",
    "ArticleState",
    "Defects",
    "article",
    "article_loss",
    "run",
    "train",
    "evaluate",
    "process_share",
    "train_seeds",
    "split_network",
    "train_split",
    "diagnostics",
    "presets",
]
