"""Kinds of networks by name, each with its own settings."""

import dataclasses
from collections.abc import Callable, Sequence

from a2c_jax.torsos import conv_actor_critic, gru_actor_critic
from a2c_jax.types import Environment, Network, RecurrentNetwork

NetworkMaker = Callable[[Environment, Sequence[int]], Network]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A kind of network; this one is made by the preset's function, of perceptrons.

    Each other kind is a subclass; its fields are its own settings.
    """

    def network(
        self, env: Environment, hidden_sizes: Sequence[int], preset: NetworkMaker
    ) -> Network | RecurrentNetwork:
        """Makes the network; ``preset`` is the function that makes the preset's."""
        return preset(env, hidden_sizes)


@dataclasses.dataclass(frozen=True)
class Convolutional(Architecture):
    """See :func:`a2c_jax.conv_actor_critic`.

    Attributes:
        conv_features: number of filters.
        conv_size: height and width of a filter.
        layer_norm: normalise the sums of each layer before its activation.
        shared_torso: share the layers before the heads between policy and value.
    """

    conv_features: int = 16
    conv_size: int = 3
    layer_norm: bool = False
    shared_torso: bool = True

    def network(
        self, env: Environment, hidden_sizes: Sequence[int], preset: NetworkMaker
    ) -> Network:
        """Makes the network."""
        return conv_actor_critic(
            env,
            hidden_sizes,
            self.conv_features,
            self.conv_size,
            layer_norm=self.layer_norm,
            shared=self.shared_torso,
        )


@dataclasses.dataclass(frozen=True)
class Gated(Architecture):
    """See :func:`a2c_jax.gru_actor_critic`.

    Attributes:
        memory_size: numbers in the memory of the recurrent unit.
    """

    memory_size: int = 64

    def network(
        self, env: Environment, hidden_sizes: Sequence[int], preset: NetworkMaker
    ) -> RecurrentNetwork:
        """Makes the network."""
        return gru_actor_critic(env, hidden_sizes, self.memory_size)


ARCHITECTURES: dict[str, Architecture] = {
    "mlp": Architecture(),
    "conv": Convolutional(),
    "gru": Gated(),
}
"""The kinds of networks by name."""


def architecture_name(architecture: Architecture) -> str:
    """The name of a kind of network, regardless of its settings."""
    known = ARCHITECTURES.items()
    return next(name for name, one in known if type(one) is type(architecture))
