"""The records that pass between stages: names and shapes, no behaviour.

Every part of the library is a record of pure functions. An :class:`Environment` and an
:class:`Agent` make a :class:`Collector`; a collector, an agent, a loss and an optimizer make an
:class:`Algorithm` (:func:`a2c_jax.learner`).

Time is the leading axis of stored data, then environments: ``[T, N, ...]``. Arrays are float32
unless said otherwise; flags are bool. An observation, ``*O``, may be any pytree of arrays.
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
        obs: observation of the true successor, never of the next episode's first state.
        reward: scalar.
        terminated: bool scalar; the task ended, so there is no future to value.
        truncated: bool scalar; the time limit was reached, so the future is cut off unseen.
            Both flags can be set at once; then the episode has terminated.
    """

    env_state: EnvState
    obs: Observation
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class ResetFn(Protocol):
    """Starts an episode: its first state, and the observation of it."""

    def __call__(self, key: Key, /) -> tuple[EnvState, Observation]: ...


class StepFn(Protocol):
    """Takes one step; it never resets by itself."""

    def __call__(self, key: Key, env_state: EnvState, action: jax.Array, /) -> Timestep: ...


class Environment(NamedTuple):
    """An environment as two pure functions of one stream; ``vmap`` them for many.

    Each suite of environments is one file of :mod:`a2c_jax.environments` that makes this record.

    Attributes:
        name: name of the environment, for messages.
        reset: starts an episode.
        step: takes one step.
        observation: shapes and types of one observation, a pytree of ``jax.ShapeDtypeStruct``.
        action_space: the space of one action, see :mod:`a2c_jax.spaces`.
        max_episode_steps: the time limit in steps, after which ``step`` says ``truncated``.
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

    ``next_obs`` is the true successor of ``obs``: the last observation of an ended episode,
    never the first of the next. ``action`` is as the agent drew it; the environment receives it
    clipped to its action space.
    """

    obs: Observation
    action: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    next_obs: Observation


class Rollout(NamedTuple):
    """What a collector gathers for one update.

    Attributes:
        transitions: the steps, ``[T, N, ...]``. Where an episode continues, the next row's
            observation is this row's successor.
        memory: what the agent needs besides the steps to evaluate them again; its memory before
            the first row, ``[N, ...]``.
        where: bool ``[T, N]``, which rows count; None if all of them do.
    """

    transitions: Transition
    memory: Memory = ()
    where: jax.Array | None = None


class AgentState(NamedTuple):
    """What an agent has learned.

    Attributes:
        params: the parameters, which follow the gradient.
        moments: running statistics, which no gradient reaches; ``()`` if there are none.
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
        next_values: the critic at the true successors, ``[T, N]``; anything finite where the
            step terminated.
    """

    outputs: jax.Array
    log_probs: jax.Array
    entropy: jax.Array
    values: jax.Array
    next_values: jax.Array


class MemoryFn(Protocol):
    """Makes the memory with which episodes begin, ``[N, ...]``; ``()`` if there is none."""

    def __call__(self, num_envs: int, /) -> Memory: ...


class NoiseFn(Protocol):
    """Draws what makes actions random, for a whole rollout at once: ``[*batch_shape, ...]``."""

    def __call__(self, key: Key, batch_shape: tuple[int, ...], /) -> Noise: ...


class ActFn(Protocol):
    """Chooses actions in N environments: ``(memory, actions)``, each ``[N, ...]``.

    Without noise (None) it takes the most probable actions.
    """

    def __call__(
        self, state: AgentState, memory: Memory, obs: Observation, noise: Noise | None, /
    ) -> tuple[Memory, jax.Array]: ...


class UnrollFn(Protocol):
    """Evaluates every row of a rollout; differentiable in ``state.params``."""

    def __call__(self, state: AgentState, rollout: Rollout, /) -> Unrolled: ...


class ObserveFn(Protocol):
    """Updates ``moments``, and nothing else, with the observations of a rollout."""

    def __call__(self, state: AgentState, rollout: Rollout, /) -> AgentState: ...


class Agent(NamedTuple):
    """What acts and is trained: a network, an action distribution, and what it remembers.

    :mod:`a2c_jax.agents` makes agents: memory, normalisation of observations and action masks
    belong there. The other stages carry a memory along, and do not look into it.
    ``init`` draws the :class:`AgentState`; each field's type says what it does.
    """

    init: InitFn
    memory: MemoryFn
    noise: NoiseFn
    act: ActFn
    unroll: UnrollFn
    observe: ObserveFn


class Actors(NamedTuple):
    """The environments between two rollouts, each ``[N, ...]``.

    Attributes:
        env_state: states of the environments.
        obs: observations of these states.
        memory: memory of the agent there; a new one where an episode begins.
    """

    env_state: EnvState
    obs: Observation
    memory: Memory


class StartFn(Protocol):
    """Starts the environments, from the key of a seed: actors."""

    def __call__(self, key: Key, state: AgentState, /) -> Any: ...


class CollectFn(Protocol):
    """Lets an agent act: the actors after the rollout, and the rollout."""

    def __call__(self, key: Key, state: AgentState, actors: Any, /) -> tuple[Any, Rollout]: ...


class Collector(NamedTuple):
    """How experience is gathered; see :mod:`a2c_jax.collectors`.

    Attributes:
        init: starts the environments.
        collect: gathers a rollout.
        num_envs: environments, N.
        num_steps: rows of a rollout, T.
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

    Where a step terminated its discount is 0 and ``next_values`` has no meaning. See
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
    """The scalar to descend, and its terms; see :func:`a2c_jax.combined_loss`."""

    def __call__(self, unrolled: Unrolled, rollout: Rollout, /) -> tuple[jax.Array, LossTerms]: ...


class Metrics(NamedTuple):
    """What one update reports, each a scalar.

    The sums run over the episodes that finished in the update's rollout, so that means can be
    pooled over updates, environments and seeds; where ``episode_count`` is 0 the mean is missing,
    not zero.

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
    """Performs one update: the next state, of the same types, and what happened."""

    def __call__(self, state: Any, /) -> tuple[Any, Metrics]: ...


class Algorithm(NamedTuple):
    """A learning method as a pair of pure functions.

    Attributes:
        init: draws the first state from a key, which decides everything that follows.
        step: performs one update.
        steps_per_update: environment steps of one update; an upper bound where an update is an
            episode, whose own number is in ``Metrics.steps``.
    """

    init: InitFn
    step: UpdateFn
    steps_per_update: int


class TrainResult(NamedTuple):
    """The last state and the metrics of every update, leading axis ``[num_updates]``."""

    state: Any
    metrics: Metrics


class EpisodeStats(NamedTuple):
    """Whole episodes, each ``[num_episodes]``: undiscounted returns, and lengths in steps."""

    returns: jax.Array
    lengths: jax.Array
