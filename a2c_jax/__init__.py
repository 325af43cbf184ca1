"""Advantage actor-critic in JAX, as pure functions.

Every stage can be imported alone, jit-compiled, and vmapped over environments and seeds. Names are
listed in the order in which data flows: records, environment, network, agent, rollout, returns and
advantages, losses, algorithm, training, evaluation. Nothing here has side effects or compiles,
except :func:`train_seeds`, :func:`run_seeds` and :func:`train_split`, which compile.
"""

from a2c_jax.spaces import Box as Box, Discrete as Discrete, MultiDiscrete as MultiDiscrete
from a2c_jax.types import (
    AdvantageEstimate as AdvantageEstimate,
    Actors as Actors,
    Agent as Agent,
    AgentState as AgentState,
    Algorithm as Algorithm,
    Collector as Collector,
    Environment as Environment,
    EpisodeStats as EpisodeStats,
    Estimator as Estimator,
    LossTerms as LossTerms,
    MaskedObservation as MaskedObservation,
    Metrics as Metrics,
    Network as Network,
    RecurrentNetwork as RecurrentNetwork,
    Rollout as Rollout,
    Timestep as Timestep,
    TrainResult as TrainResult,
    Transition as Transition,
    Unrolled as Unrolled,
)
from a2c_jax.record_checks import check_env as check_env
from a2c_jax.environments import from_gymnax as from_gymnax, make_env as make_env
from a2c_jax.environments.wrappers import (
    flatten_observation as flatten_observation,
    scale_rewards as scale_rewards,
    stack_frames as stack_frames,
    sticky_actions as sticky_actions,
    time_limit as time_limit,
)
from a2c_jax.distributions import (
    Distribution as Distribution,
    categorical as categorical,
    diagonal_gaussian as diagonal_gaussian,
    distribution_for as distribution_for,
    multi_categorical as multi_categorical,
)
from a2c_jax.layers import (
    Convolution as Convolution,
    Perceptron as Perceptron,
    LayerInit as LayerInit,
    orthogonal as orthogonal,
    uniform_fan_in as uniform_fan_in,
)
from a2c_jax.networks import (
    article_network as article_network,
    article_q_network as article_q_network,
    mlp_actor_critic as mlp_actor_critic,
    mlp_q_actor_critic as mlp_q_actor_critic,
    scaled as scaled,
)
from a2c_jax.torsos import (
    conv_actor_critic as conv_actor_critic,
    gru_actor_critic as gru_actor_critic,
    torso_actor_critic as torso_actor_critic,
)
from a2c_jax.masking import masked as masked, unmasked as unmasked
from a2c_jax.rollout import reset_envs as reset_envs, rollout as rollout
from a2c_jax.agents import (
    as_agent as as_agent,
    feed_forward as feed_forward,
    recurrent as recurrent,
)
from a2c_jax.normalization import normalized as normalized, scaled_rewards as scaled_rewards
from a2c_jax.collectors import episodes as episodes, rollouts as rollouts
from a2c_jax.returns import (
    discounted_returns as discounted_returns,
    lambda_returns as lambda_returns,
)
from a2c_jax.advantages import (
    gae as gae,
    n_step as n_step,
    normalize as normalize,
    normalized_advantages as normalized_advantages,
    reinforce as reinforce,
    reinforce_with_baseline as reinforce_with_baseline,
    sarsa as sarsa,
    td_actor_critic as td_actor_critic,
)
from a2c_jax.losses import (
    actor_critic_loss as actor_critic_loss,
    combined_loss as combined_loss,
    entropy_loss as entropy_loss,
    policy_loss as policy_loss,
    value_loss as value_loss,
)
from a2c_jax.metrics import (
    count_episodes as count_episodes,
    explained_variance as explained_variance,
    finite_seeds as finite_seeds,
    learning_curve as learning_curve,
    open_episodes as open_episodes,
    update_metrics as update_metrics,
)
from a2c_jax.algorithms.learner import LearnerState as LearnerState, learner as learner
from a2c_jax.algorithms.actor_critic import actor_critic as actor_critic
from a2c_jax.algorithms.q_actor_critic import q_actor_critic as q_actor_critic
from a2c_jax.algorithms.a3c import (
    a3c as a3c,
    random_order as random_order,
    round_robin as round_robin,
)
from a2c_jax.algorithms.article import (
    AS_PRINTED as AS_PRINTED,
    CORRECTED as CORRECTED,
    Defects as Defects,
    article as article,
)
from a2c_jax.train import run as run, train as train
from a2c_jax.evaluate import evaluate as evaluate
from a2c_jax.seeds import run_seeds as run_seeds, train_seeds as train_seeds
from a2c_jax.sharding import split_network as split_network, train_split as train_split
from a2c_jax import diagnostics as diagnostics, presets as presets
