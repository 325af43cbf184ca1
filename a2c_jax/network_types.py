"""Records of functions that networks consist of."""

from typing import Any, NamedTuple, Protocol, TypeVar

import jax

from a2c_jax.data import Key, Memory, Observation, Params


class InitFn(Protocol):
    """Draws an initial tree, such as the parameters of a network."""

    def __call__(self, key: Key, /) -> Any: ...


class ApplyFn(Protocol):
    """Maps observations ``[..., *O]`` to outputs ``[..., P]`` or values ``[...]``."""

    def __call__(self, params: Params, obs: Observation, /) -> jax.Array: ...


class BothFn(Protocol):
    """Maps observations ``[..., *O]`` to outputs ``[..., P]`` and values ``[...]``."""

    def __call__(self, params: Params, obs: Observation, /) -> tuple[jax.Array, jax.Array]: ...


class Network(NamedTuple):
    """A policy and a value function over one parameter tree.

    Attributes:
        init: draws the parameters.
        policy: outputs ``[..., P]``, the parameters of the action distribution; logits for
            discrete actions.
        value: values ``[...]``, or one for each action, ``[..., A]``, for
            :func:`a2c_jax.q_actor_critic`.
        both: ``policy`` and ``value`` at once, for networks that share layers between them; if
            None, the two are called.
    """

    init: InitFn
    policy: ApplyFn
    value: ApplyFn
    both: BothFn | None = None

    def outputs_and_values(self, params: Params, obs: Observation) -> tuple[jax.Array, jax.Array]:
        """The policy's outputs and the values of observations."""
        if self.both is not None:
            return self.both(params, obs)
        return self.policy(params, obs), self.value(params, obs)


class MemoryFn(Protocol):
    """Makes the memory at the start of N episodes, ``[N, ...]``; ``()`` if there is none."""

    def __call__(self, num_envs: int, /) -> Memory: ...


class RememberFn(Protocol):
    """Returns the memories ``[..., *M]`` after inputs ``[..., F]``."""

    def __call__(self, params: Params, memory: Memory, inputs: Any, /) -> Memory: ...


class RecallFn(Protocol):
    """Maps memories ``[..., *M]`` and observations ``[..., *O]`` to outputs or values."""

    def __call__(self, params: Params, memory: Memory, obs: Observation, /) -> jax.Array: ...


class RecurrentNetwork(NamedTuple):
    """A policy and a value function that depend on the episode so far.

    ``mₜ = remember(mₜ₋₁, encode(sₜ))``; then the outputs are ``policy(mₜ, sₜ)`` and the value is
    ``value(mₜ, sₜ)``. Only ``remember`` is called row by row; the others take whole rollouts.

    Attributes:
        init: draws the parameters.
        memory: the memory before the first observation of an episode.
        encode: inputs ``[..., F]`` of the memory, from observations ``[..., *O]``.
        remember: updates the memory.
        policy: outputs ``[..., P]``.
        value: values ``[...]``.
    """

    init: InitFn
    memory: MemoryFn
    encode: ApplyFn
    remember: RememberFn
    policy: RecallFn
    value: RecallFn


NetworkT = TypeVar("NetworkT", Network, RecurrentNetwork)
