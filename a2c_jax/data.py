"""Records of arrays: what one stage passes to the next.

The leading axes of stored data are time and environments: ``[T, N, ...]``. Arrays are float32
unless stated otherwise; flags are bool. An observation, ``*O``, may be any pytree of arrays.
"""

from typing import Any, NamedTuple

import jax

Key = jax.Array
Params = Any
EnvState = Any
Observation = Any
Memory = Any


class MaskedObservation(NamedTuple):
    """An observation together with the actions that are legal in it; see :func:`a2c_jax.masked`.

    Attributes:
        obs: what the network takes.
        action_mask: bool ``[P]``, a flag for each logit: True where the action is legal.
    """

    obs: Observation
    action_mask: jax.Array


class Timestep(NamedTuple):
    """The response of an environment to one action.

    Attributes:
        env_state: state of the environment after the step, even when the episode ended.
        obs: observation of the true successor, never the first one of the next episode.
        reward: scalar.
        terminated: bool scalar; the task ended, so there is no future to value.
        truncated: bool scalar; the time limit was reached, so later rewards are not observed.
            If both flags are set, the episode has terminated.
    """

    env_state: EnvState
    obs: Observation
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class Transition(NamedTuple):
    """Steps as a rollout stores them, each ``[T, N, ...]``.

    ``next_obs`` is the true successor of ``obs``: where an episode ended, its last observation,
    never the first one of the next episode. ``action`` is the action that the agent drew; the
    environment receives it clipped to its action space.
    """

    obs: Observation
    action: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    next_obs: Observation


class Rollout(NamedTuple):
    """The experience that a collector gathers for one update.

    Attributes:
        transitions: the steps, ``[T, N, ...]``. Where an episode continues, the next row's
            observation is this row's successor.
        memory: what the agent needs besides the transitions to evaluate them, such as its memory
            before the first row, ``[N, ...]``.
        where: bool ``[T, N]``, the rows to include; None for all of them.
        update: number of updates done before, an integer without these axes, which the learner
            sets; schedules of the loss are functions of it.
    """

    transitions: Transition
    memory: Memory = ()
    where: jax.Array | None = None
    update: jax.Array | None = None


class AgentState(NamedTuple):
    """The learned state of an agent.

    Attributes:
        params: the parameters, updated by gradients.
        moments: running statistics, not updated by gradients; ``()`` if there are none.
    """

    params: Params
    moments: Any = ()


class Unrolled(NamedTuple):
    """An agent evaluated at every row of a rollout, each ``[T, N, ...]``.

    Attributes:
        outputs: parameters of the action distributions, ``[T, N, P]``.
        log_probs: log-probabilities of the actions taken, ``[T, N]``.
        entropy: entropies of the distributions in nats, ``[T, N]``.
        values: the critic at the observations, ``[T, N]``.
        next_values: the critic at the true successors, ``[T, N]``; arbitrary but finite where
            the step terminated.
        rewards: the rewards to learn from, ``[T, N]``, if they differ from the rollout's; see
            :func:`a2c_jax.scaled_rewards`.
    """

    outputs: jax.Array
    log_probs: jax.Array
    entropy: jax.Array
    values: jax.Array
    next_values: jax.Array
    rewards: jax.Array | None = None


class Actors(NamedTuple):
    """The state of N environments between two rollouts, each ``[N, ...]``.

    Attributes:
        env_state: states of the environments.
        obs: observations of these states.
        memory: memory of the agent in each environment; a new one where an episode begins.
    """

    env_state: EnvState
    obs: Observation
    memory: Memory


class AdvantageEstimate(NamedTuple):
    """The result of an estimator, each ``[T, ...]``.

    Attributes:
        advantages: the weights of grad log pi.
        targets: the targets of the value function.
    """

    advantages: jax.Array
    targets: jax.Array


class LossTerms(NamedTuple):
    """The terms of a loss: three scalars, then arrays ``[T, N]``.

    Attributes:
        policy_loss: see :func:`a2c_jax.policy_loss`.
        value_loss: see :func:`a2c_jax.value_loss`.
        entropy: mean entropy of the policy, in nats.
        values: the critic at the observations.
        targets: the targets of the critic.
    """

    policy_loss: jax.Array
    value_loss: jax.Array
    entropy: jax.Array
    values: jax.Array
    targets: jax.Array


class Metrics(NamedTuple):
    """Metrics of one update, each a scalar.

    Sums are over the episodes that finished in the update's rollout, so that they can be pooled
    over updates, environments and seeds. Where ``episode_count`` is 0, means are undefined, not
    zero.

    Attributes:
        episode_return_sum: sum of undiscounted returns.
        episode_length_sum: sum of lengths in steps.
        episode_count: number of finished episodes.
        policy_loss: see :func:`a2c_jax.policy_loss`.
        value_loss: see :func:`a2c_jax.value_loss`.
        entropy: mean entropy of the policy, in nats.
        grad_norm: global norm of the gradient, before any clipping.
        explained_variance: see :func:`a2c_jax.explained_variance`.
        steps: environment steps that the update took.
    """

    episode_return_sum: jax.Array
    episode_length_sum: jax.Array
    episode_count: jax.Array
    policy_loss: jax.Array
    value_loss: jax.Array
    entropy: jax.Array
    grad_norm: jax.Array
    explained_variance: jax.Array
    steps: jax.Array


class TrainResult(NamedTuple):
    """The last state and the metrics of every update, leading axis ``[num_updates]``."""

    state: Any
    metrics: Metrics


class EpisodeStats(NamedTuple):
    """Undiscounted returns, and lengths in steps, of whole episodes, each ``[num_episodes]``."""

    returns: jax.Array
    lengths: jax.Array
