"""Advantage actor-critic in JAX, as pure functions.

Every stage can be imported alone, jit-compiled, and vmapped over environments and seeds. The
names stand in the order data flows: records, environment, network, agent, rollout, returns and
advantages, losses, algorithm, training, evaluation. Nothing here compiles or has a side effect,
except that :func:`train_seeds` and :func:`train_split` compile.
"""

from a2c_jax.spaces import Box, Discrete, MultiDiscrete
from a2c_jax.types import (
    AdvantageEstimate,
    Actors,
    Agent,
    AgentState,
    Algorithm,
    Collector,
    Environment,
    EpisodeStats,
    Estimator,
    LossTerms,
    Metrics,
    Network,
    Rollout,
    Timestep,
    TrainResult,
    Transition,
    Unrolled,
)
from a2c_jax.environments import make_env
from a2c_jax.distributions import (
    Distribution,
    categorical,
    diagonal_gaussian,
    distribution_for,
    multi_categorical,
)
from a2c_jax.layers import LayerInit, orthogonal, uniform_fan_in
from a2c_jax.networks import (
    article_network,
    article_q_network,
    mlp_actor_critic,
    mlp_q_actor_critic,
    scaled,
)
from a2c_jax.agents import feed_forward
from a2c_jax.rollout import reset_envs, rollout
from a2c_jax.collectors import episodes, rollouts
from a2c_jax.returns import discounted_returns, lambda_returns
from a2c_jax.advantages import (
    gae,
    n_step,
    normalize,
    normalized_advantages,
    reinforce,
    reinforce_with_baseline,
    sarsa,
    td_actor_critic,
)
from a2c_jax.losses import actor_critic_loss, combined_loss, entropy_loss, policy_loss, value_loss
from a2c_jax.metrics import (
    count_episodes,
    explained_variance,
    learning_curve,
    open_episodes,
    update_metrics,
)
from a2c_jax.algorithms.learner import LearnerState, learner
from a2c_jax.algorithms.actor_critic import actor_critic
from a2c_jax.algorithms.q_actor_critic import q_actor_critic
from a2c_jax.algorithms.a3c import a3c, random_order, round_robin
from a2c_jax.algorithms.article import AS_PRINTED, CORRECTED, Defects, article
from a2c_jax.train import run, train
from a2c_jax.evaluate import evaluate
from a2c_jax.parallel import process_share, train_seeds
from a2c_jax.sharding import split_network, train_split
from a2c_jax import diagnostics, presets

__all__ = [
    "Box",
    "Discrete",
    "MultiDiscrete",
    "AdvantageEstimate",
    "Actors",
    "Agent",
    "AgentState",
    "Algorithm",
    "Collector",
    "Environment",
    "EpisodeStats",
    "Estimator",
    "LossTerms",
    "Metrics",
    "Network",
    "Rollout",
    "Timestep",
    "TrainResult",
    "Transition",
    "Unrolled",
    "make_env",
    "Distribution",
    "categorical",
    "diagonal_gaussian",
    "distribution_for",
    "multi_categorical",
    "LayerInit",
    "orthogonal",
    "uniform_fan_in",
    "article_network",
    "article_q_network",
    "mlp_actor_critic",
    "mlp_q_actor_critic",
    "scaled",
    "feed_forward",
    "reset_envs",
    "rollout",
    "episodes",
    "rollouts",
    "discounted_returns",
    "lambda_returns",
    "gae",
    "n_step",
    "normalize",
    "normalized_advantages",
    "reinforce",
    "reinforce_with_baseline",
    "sarsa",
    "td_actor_critic",
    "actor_critic_loss",
    "combined_loss",
    "entropy_loss",
    "policy_loss",
    "value_loss",
    "count_episodes",
    "explained_variance",
    "learning_curve",
    "open_episodes",
    "update_metrics",
    "LearnerState",
    "learner",
    "actor_critic",
    "q_actor_critic",
    "a3c",
    "random_order",
    "round_robin",
    "AS_PRINTED",
    "CORRECTED",
    "Defects",
    "article",
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
