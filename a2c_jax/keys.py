"""Streams of random numbers: what is folded into which key, in one list.

A run has one key. With JAX's default generator ``jax.random.split(key, 3)[i]`` is
``fold_in(key, i)``, so the first three streams are those of a split. An update uses
``fold_in(updates_key, update)``.
"""

import enum

import jax

from a2c_jax.types import Key

_NO_UPDATE = 2**32 - 1  # no update, environment or step has this number


class Stream(enum.IntEnum):
    """What a number that is folded into a key stands for.

    Attributes:
        PARAMETERS: of a seed's key: the initial parameters.
        ENVIRONMENTS: of a seed's key: where the environments begin.
        UPDATES: of a seed's key: the key that the updates' numbers are folded into.
        EVALUATION: of a seed's key: the episodes of evaluations.
        FIRST_ACTION: of the updates' key: actions drawn before the first update.
        ARRIVAL: of an update's key: the order in which workers' gradients are applied.
    """

    PARAMETERS = 0
    ENVIRONMENTS = 1
    UPDATES = 2
    EVALUATION = 0x6576616C
    FIRST_ACTION = _NO_UPDATE
    ARRIVAL = _NO_UPDATE - 1


def stream(key: Key, name: Stream) -> Key:
    """The key of a stream."""
    return jax.random.fold_in(key, int(name))
