"""Streams of random numbers: every number that is folded into a key, in one list.

A run has one key. With JAX's default generator ``jax.random.split(key, 3)[i]`` is
``fold_in(key, i)``, so the first three streams are those of a split. An update uses
``fold_in(updates_key, update)``.
"""

import enum

import jax

from a2c_jax.types import Key

_NO_UPDATE = 2**32 - 1  # no update, environment or step has this number


class Stream(enum.IntEnum):
    """The meaning of each number that is folded into a key.

    Attributes:
        PARAMETERS: initial parameters; folded into a seed's key.
        ENVIRONMENTS: initial states of the environments; folded into a seed's key.
        UPDATES: the updates' key; folded into a seed's key.
        EVALUATION: episodes of evaluations; folded into a seed's key.
        FIRST_ACTION: actions drawn before the first update; folded into the updates' key.
        ARRIVAL: order in which workers' gradients are applied; folded into an update's key.
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
