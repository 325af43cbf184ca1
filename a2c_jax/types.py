"""The records that pass between stages: names and shapes, no behaviour.

Time is the leading axis of stored data, then environments: ``[T, N, ...]``.
Arrays are float32 unless said otherwise; flags are bool.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax

if TYPE_CHECKING:
    from gymnax.environments.spaces import Box, Discrete

Key = jax.Array
Params = Any
EnvState = Any
Scalar = float | jax.Array


class Timestep(NamedTuple):
    """What one environment answers to one action.

    Attributes:
        env_state: the environment's state after the step, even when it ended.
        obs: the true successor's observation, never the next episode's first.
        reward: scalar.
        terminated: bool scalar, the task ended; there is no future to value.
        truncated: bool scalar, the time limit was reached; the future goes on unseen.
            Both flags can be set at once, and then the episode has terminated.
    """

    env_state: EnvState
    obs: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class Environment(NamedTuple):
    """An environment as two pure functions of one stream; ``vmap`` them for many.

    Attributes:
        name: the name it was made by.
        reset: ``reset(key) -> (env_state, obs)``.
        step: ``step(key, env_state, action) -> Timestep``. It never resets by itself.
        observation_shape: shape of one observation.
        action_space: the space of one action.
        max_episode_steps: time limit, in steps.
    """

    name: str
    reset: Callable[[Key], tuple[EnvState, jax.Array]]
    step: Callable[[Key, EnvState, jax.Array], Timestep]
    observation_shape: tuple[int, ...]
    action_space: "Discrete | Box"
    max_episode_steps: int


class Network(NamedTuple):
    """A policy and a value function over one parameter tree.

    Attributes:
        init: ``init(key) -> params``.
        policy: ``policy(params, obs [..., *O]) -> logits [..., A]``.
        value: ``value(params, obs [..., *O]) -> values [...]``.
    """

    init: Callable[[Key], Params]
    policy: Callable[[Params, jax.Array], jax.Array]
    value: Callable[[Params, jax.Array], jax.Array]


class QNetwork(NamedTuple):
    """A policy and an action-value function over one parameter tree.

    Attributes:
        init: ``init(key) -> params``.
        policy: ``policy(params, obs [..., *O]) -> logits [..., A]``.
        action_values: ``action_values(params, obs [..., *O]) -> Q(s, ·) [..., A]``.
    """

    init: Callable[[Key], Params]
    policy: Callable[[Params, jax.Array], jax.Array]
    action_values: Callable[[Params, jax.Array], jax.Array]


class Transition(NamedTuple):
    """Steps as a rollout stores them, each ``[T, N, ...]``.

    ``next_obs`` is the true successor of ``obs``: the last observation of an ended
    episode, never the first of the next.
    """

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    next_obs: jax.Array


class AdvantageEstimate(NamedTuple):
    """What an estimator makes of a rollout, each ``[T, ...]``.

    Attributes:
        advantages: the weights of grad log pi.
        targets: what the value function is drawn to.
    """

    advantages: jax.Array
    targets: jax.Array


class Estimator(Protocol):
    """Any function of these five arrays ``[T, ...]``; see :mod:`a2c_jax.advantages`."""

    def __call__(
        self,
        rewards: jax.Array,
        discounts: jax.Array,
        continues: jax.Array,
        values: jax.Array,
        next_values: jax.Array,
        /,
    ) -> AdvantageEstimate:
        """Estimates advantages and value targets.

        Where a step terminated its discount is 0 and ``next_values`` is of no meaning.
        """
        ...


class Metrics(NamedTuple):
    """What one update reports, each a scalar.

    The sums run over the episodes that finished in this update's rollout, so that means
    can be pooled over updates, environments and seeds; where ``episode_count`` is 0 the
    mean is missing, not zero.

    Attributes:
        episode_return_sum: sum of undiscounted returns.
        episode_length_sum: sum of lengths, in steps.
        episode_count: number of finished episodes.
        policy_loss: see :func:`a2c_jax.policy_loss`.
        value_loss: see :func:`a2c_jax.value_loss`.
        entropy: mean entropy of the policy, in nats.
        grad_norm: global norm of the gradient, before any clipping.
        explained_variance: see :func:`a2c_jax.explained_variance`.
    """

    episode_return_sum: jax.Array
    episode_length_sum: jax.Array
    episode_count: jax.Array
    policy_loss: jax.Array
    value_loss: jax.Array
    entropy: jax.Array
    grad_norm: jax.Array
    explained_variance: jax.Array


class Algorithm(NamedTuple):
    """A whole learning method as a pair of pure functions.

    Attributes:
        init: ``init(key) -> state``.
        step: ``step(state) -> (state, metrics)``, one update.
        steps_per_update: environment steps that one update consumes; at most so many, where
            an update is an episode.
    """

    init: Callable[[Key], Any]
    step: Callable[[Any], tuple[Any, Metrics]]
    steps_per_update: int


class TrainResult(NamedTuple):
    """The last state and the metrics of every update, leading axis ``[num_updates]``."""

    state: Any
    metrics: Metrics


class EpisodeStats(NamedTuple):
    """Whole episodes, each ``[num_episodes]``: undiscounted returns, and lengths in steps."""

    returns: jax.Array
    lengths: jax.Array
