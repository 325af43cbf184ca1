"""Records of functions: the parts of the library, and how they fit together.

Every part of the library is a record of pure functions. An :class:`Environment` and an
:class:`Agent` make a :class:`Collector`; a collector, an agent, a loss and an optimizer make an
:class:`Algorithm` (:func:`a2c_jax.learner`). The records of arrays that they pass on are those of
:mod:`a2c_jax.data`, and networks are those of :mod:`a2c_jax.network_types`; both are names of this
module too.
"""

from typing import Any, NamedTuple, Protocol

import jax

from a2c_jax.data import (
    Actors as Actors,
    AdvantageEstimate as AdvantageEstimate,
    AgentState as AgentState,
    EnvState as EnvState,
    EpisodeStats as EpisodeStats,
    Key as Key,
    LossTerms as LossTerms,
    MaskedObservation as MaskedObservation,
    Memory as Memory,
    Metrics as Metrics,
    Observation as Observation,
    Params as Params,
    Rollout as Rollout,
    Timestep as Timestep,
    TrainResult as TrainResult,
    Transition as Transition,
    Unrolled as Unrolled,
)
from a2c_jax.network_types import (
    ApplyFn as ApplyFn,
    InitFn as InitFn,
    MemoryFn as MemoryFn,
    Network as Network,
    NetworkT as NetworkT,
    RecallFn as RecallFn,
    RecurrentNetwork as RecurrentNetwork,
)
from a2c_jax.spaces import Space

Noise = Any
Scalar = float | jax.Array


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


class Loss(Protocol):
    """Returns the scalar to minimise, and its terms; see :func:`a2c_jax.combined_loss`."""

    def __call__(self, unrolled: Unrolled, rollout: Rollout, /) -> tuple[jax.Array, LossTerms]: ...


class BeginFn(Protocol):
    """Draws the first state from a key; with ``params``, training starts from these parameters."""

    def __call__(self, key: Key, params: Params | AgentState | None = None, /) -> Any: ...


class UpdateFn(Protocol):
    """Performs one update; returns the next state, of the same types, and the metrics."""

    def __call__(self, state: Any, /) -> tuple[Any, Metrics]: ...


class Algorithm(NamedTuple):
    """A learning method as a pair of pure functions.

    Attributes:
        init: draws the first state from a key, the only source of randomness; parameters may be
            given instead of drawn.
        step: performs one update.
        steps_per_update: environment steps of one update. If an update is an episode, this is an
            upper bound, and ``Metrics.steps`` has the actual number.
    """

    init: BeginFn
    step: UpdateFn
    steps_per_update: int
