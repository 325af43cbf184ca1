"""Records passed between stages: names and shapes, no behaviour.

Every part of the library is a record of pure functions. An :class:`Environment` and an
:class:`Agent` make a :class:`Collector`; a collector, an agent, a loss and an optimizer make an
:class:`Algorithm` (:func:`a2c_jax.learner`).

The leading axes of stored data are time and environments: ``[T, N, ...]``. Arrays are float32
unless stated otherwise; flags are bool. An observation, ``*O``, may be any pytree of arrays.
"""

from typing import Any, NamedTuple, Protocol

import jax

from a2c_jax.spaces import Space

Key = jax.Array
Params = Any
EnvState = Any
Observation = Any
Memory = Any
Noise = Any
Scalar = float | jax.Array


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


class ResetFn(Protocol):
    """Starts an episode; returns its first state and observation."""

    def __call__(self, key: Key, /) -> tuple[EnvState, Observation]: ...


class StepFn(Protocol):
    """Takes one step; never resets."""

    def __call__(self, key: Key, env_state: EnvState, action: jax.Array, /) -> Timestep: ...


class Environment(NamedTuple):
    """A single environment as two pure functions; ``vmap`` them for many environments.

    Each file of :mod:`a2c_jax.environments` makes such records for one suite of environments.

    Attributes:
        name: name of the environment, for messages.
        reset: starts an episode.
        step: takes one step.
        observation: shapes and types of one observation, a pytree of ``jax.ShapeDtypeStruct``.
        action_space: the space of one action, see :mod:`a2c_jax.spaces`.
        max_episode_steps: the time limit in steps, at which ``step`` sets ``truncated``.
    """

    name: str
    reset: ResetFn
    step: StepFn
    observation: Any
    action_space: Space
    max_episode_steps: int


class InitFn(Protocol):
    """Draws an initial tree, such as the parameters of a network."""

    def __call__(self, key: Key, /) -> Any: ...


class ApplyFn(Protocol):
    """Maps observations ``[..., *O]`` to outputs ``[..., P]`` or values ``[...]``."""

    def __call__(self, params: Params, obs: Observation, /) -> jax.Array: ...


class Network(NamedTuple):
    """A policy and a value function over one parameter tree.

    Attributes:
        init: draws the parameters.
        policy: outputs ``[..., P]``, the parameters of the action distribution; logits for
            discrete actions.
        value: values ``[...]``, or one for each action, ``[..., A]``, for
            :func:`a2c_jax.q_actor_critic`.
    """

    init: InitFn
    policy: ApplyFn
    value: ApplyFn


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
    """

    transitions: Transition
    memory: Memory = ()
    where: jax.Array | None = None


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
    """

    outputs: jax.Array
    log_probs: jax.Array
    entropy: jax.Array
    values: jax.Array
    next_values: jax.Array


class MemoryFn(Protocol):
    """Makes the memory at the start of N episodes, ``[N, ...]``; ``()`` if there is none."""

    def __call__(self, num_envs: int, /) -> Memory: ...


class NoiseFn(Protocol):
    """Draws the noise of all actions of a rollout at once: ``[*batch_shape, ...]``."""

    def __call__(self, key: Key, batch_shape: tuple[int, ...], /) -> Noise: ...


class ActFn(Protocol):
    """Chooses actions in N environments; returns ``(memory, actions)``, each ``[N, ...]``.

    If the noise is None, the actions are the most probable ones.
    """

    def __call__(
        self, state: AgentState, memory: Memory, obs: Observation, noise: Noise | None, /
    ) -> tuple[Memory, jax.Array]: ...


class UnrollFn(Protocol):
    """Evaluates every row of a rollout; differentiable in ``state.params``."""

    def __call__(self, state: AgentState, rollout: Rollout, /) -> Unrolled: ...


class ObserveFn(Protocol):
    """Updates ``moments``, and only these, with the observations of a rollout."""

    def __call__(self, state: AgentState, rollout: Rollout, /) -> AgentState: ...


class Agent(NamedTuple):
    """A policy and a critic, with an optional memory.

    :mod:`a2c_jax.agents` makes agents: memory, normalisation of observations and action masks
    belong there. The other stages pass a memory on without reading it. ``init`` draws the
    :class:`AgentState`; the types of the other fields document them.
    """

    init: InitFn
    memory: MemoryFn
    noise: NoiseFn
    act: ActFn
    unroll: UnrollFn
    observe: ObserveFn


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


class StartFn(Protocol):
    """Starts the environments from the key of a seed; returns the actors."""

    def __call__(self, key: Key, state: AgentState, /) -> Any: ...


class CollectFn(Protocol):
    """Lets an agent act; returns the actors after the rollout, and the rollout."""

    def __call__(self, key: Key, state: AgentState, actors: Any, /) -> tuple[Any, Rollout]: ...


class Collector(NamedTuple):
    """Gathers experience; see :mod:`a2c_jax.collectors`.

    Attributes:
        init: starts the environments.
        collect: gathers a rollout.
        num_envs: number of environments, N.
        num_steps: number of rows of a rollout, T.
    """

    init: StartFn
    collect: CollectFn
    num_envs: int
    num_steps: int


class AdvantageEstimate(NamedTuple):
    """The result of an estimator, each ``[T, ...]``.

    Attributes:
        advantages: the weights of grad log pi.
        targets: the targets of the value function.
    """

    advantages: jax.Array
    targets: jax.Array


class Estimator(Protocol):
    """Estimates advantages and value targets from five arrays ``[T, ...]``.

    Where a step terminated, its discount is 0 and its ``next_values`` has no meaning. See
    :mod:`a2c_jax.advantages`.
    """

    def __call__(
        self,
        rewards: jax.Array,
        discounts: jax.Array,
        continues: jax.Array,
        values: jax.Array,
        next_values: jax.Array,
        /,
    ) -> AdvantageEstimate: ...


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


class Loss(Protocol):
    """Returns the scalar to minimise, and its terms; see :func:`a2c_jax.combined_loss`."""

    def __call__(self, unrolled: Unrolled, rollout: Rollout, /) -> tuple[jax.Array, LossTerms]: ...


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


class UpdateFn(Protocol):
    """Performs one update; returns the next state, of the same types, and the metrics."""

    def __call__(self, state: Any, /) -> tuple[Any, Metrics]: ...


class Algorithm(NamedTuple):
    """A learning method as a pair of pure functions.

    Attributes:
        init: draws the first state from a key, the only source of randomness.
        step: performs one update.
        steps_per_update: environment steps of one update. If an update is an episode, this is an
            upper bound, and ``Metrics.steps`` has the actual number.
    """

    init: InitFn
    step: UpdateFn
    steps_per_update: int


class TrainResult(NamedTuple):
    """The last state and the metrics of every update, leading axis ``[num_updates]``."""

    state: Any
    metrics: Metrics


class EpisodeStats(NamedTuple):
    """Undiscounted returns, and lengths in steps, of whole episodes, each ``[num_episodes]``."""

    returns: jax.Array
    lengths: jax.Array
