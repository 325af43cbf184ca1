"""Action spaces: the sets of actions that environments accept."""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp


class Space(Protocol):
    """A set of actions."""

    @property
    def action(self) -> jax.ShapeDtypeStruct:
        """The shape and the type of one action."""
        ...

    def clip(self, action: jax.Array, /) -> jax.Array:
        """Returns the nearest member of the set; applied to every action before a step."""
        ...


class Discrete(NamedTuple):
    """The integers 0 to ``n - 1``."""

    n: int

    @property
    def action(self) -> jax.ShapeDtypeStruct:
        """The shape and the type of one action."""
        return jax.ShapeDtypeStruct((), jnp.int32)

    def clip(self, action: jax.Array) -> jax.Array:
        """Returns the action unchanged: the space's distribution draws only members."""
        return action


class MultiDiscrete(NamedTuple):
    """Several integers at once, ``[len(sizes)]``, the i-th from 0 to ``sizes[i] - 1``."""

    sizes: tuple[int, ...]

    @property
    def action(self) -> jax.ShapeDtypeStruct:
        """The shape and the type of one action."""
        return jax.ShapeDtypeStruct((len(self.sizes),), jnp.int32)

    def clip(self, action: jax.Array) -> jax.Array:
        """Returns the action unchanged: the space's distribution draws only members."""
        return action


class Box(NamedTuple):
    """Arrays of a shape, between ``low`` and ``high``, which broadcast to that shape."""

    low: Any
    high: Any
    shape: tuple[int, ...]

    @property
    def action(self) -> jax.ShapeDtypeStruct:
        """The shape and the type of one action."""
        return jax.ShapeDtypeStruct(self.shape, jnp.float32)

    def clip(self, action: jax.Array) -> jax.Array:
        """Returns the action with every number moved into its bounds."""
        return jnp.clip(
            action, *(jnp.broadcast_to(bound, action.shape) for bound in (self.low, self.high))
        )
