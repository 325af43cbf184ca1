"""What the fused kernel is compiled for, and the arrays that it reads, fills and works in.

One block of 128 threads is one seed. The last axis of every array is spread over the threads: it
holds hidden units (``[columns]``, see :mod:`a2c_jax.fused_layout`) or environments (``[lanes]``,
padded). What both need, a number of one environment, goes through shared memory as a scalar.

Mosaic GPU puts barriers around the store of a vector, and none around that of a scalar, which
every thread carries out. A scalar's place is therefore written once between two vectors' stores.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from a2c_jax.fused_layout import NUM_OBS, NUM_OUTPUTS, SECOND, Layout
from a2c_jax.types import Scalar

Ref = Any
"""A reference to an array, read and written by indexing."""


class Static(NamedTuple):
    """What the kernel is compiled for.

    Attributes:
        layout: of the parameters.
        num_envs: N.
        num_steps: T.
        lanes: N, padded.
        max_episode_steps: time limit.
        activation: of the hidden layers.
        slope: its derivative, as a function of its result.
        normalize_advantages: whether to.
    """

    layout: Layout
    num_envs: int
    num_steps: int
    lanes: int
    max_episode_steps: int
    activation: Callable[[jax.Array], jax.Array]
    slope: Callable[[jax.Array], jax.Array]
    normalize_advantages: bool

    @property
    def batch(self) -> int:
        """Transitions of an update."""
        return self.num_envs * self.num_steps


class Scalars(NamedTuple):
    """The numbers that may be traced, in the order of the array that carries them.

    The corrections are ``1 - b1^count`` and ``1 - b2^count`` of Adam.
    """

    rate: Scalar
    correction1: Scalar
    correction2: Scalar
    max_norm: Scalar
    discount: Scalar
    lambda_: Scalar
    value_coef: Scalar
    entropy_coef: Scalar


class Inputs(NamedTuple):
    """In global memory; of the parameters and what is like them, rows."""

    scalars: Ref
    params: Ref
    mu: Ref
    nu: Ref
    turned: Ref  # the second kernels, transposed
    is_policy: Ref  # [columns], 1 where the unit is the policy's, else 0
    is_real: Ref  # [lanes], 1 where there is an environment, else 0
    cart: Ref  # [4, lanes]
    time: Ref  # [lanes], int32
    returns: Ref  # [lanes]
    lengths: Ref  # [lanes]
    noise: Ref  # [T, 2, lanes]
    resets: Ref  # [T, 4, lanes]


class Outputs(NamedTuple):
    """In global memory, as in :class:`Inputs`; the metrics in the order of their record."""

    params: Ref
    mu: Ref
    nu: Ref
    cart: Ref
    time: Ref
    returns: Ref
    lengths: Ref
    metrics: Ref


class Scratch(NamedTuple):
    """In shared memory, all float32, flags as 0 and 1."""

    obs: Ref  # [T + 1, 4, lanes]
    successor: Ref  # [4, lanes], before any reset
    outputs: Ref  # [T, 3, lanes]: logits and value; in the end the loss's gradient by them
    next_value: Ref  # [T, lanes], where the next row is not the successor; 0 if terminated
    advantage: Ref  # [T, lanes]
    target: Ref  # [T, lanes]
    action: Ref  # [T, lanes]
    terminated: Ref  # [T, lanes]
    cut_off: Ref  # [T, lanes], where the next row is not the successor
    units: Ref  # [columns], activations of the first hidden layer of two
    deltas: Ref  # [columns], the loss's gradient by the sums of the second
    second: Ref  # the second kernels
    turned: Ref  # and transposed
    grads: Ref  # like params


class Memory(NamedTuple):
    """All of it."""

    given: Inputs
    result: Outputs
    local: Scratch


def scratch_shapes(static: Static) -> Scratch:
    """The shape of each array of :class:`Scratch`."""
    rows, columns = static.layout.shape
    steps, lanes = static.num_steps, static.lanes
    second = (max(rows - SECOND, 1), columns)
    by_step = (steps, lanes)
    return Scratch(
        obs=(steps + 1, NUM_OBS, lanes),
        successor=(NUM_OBS, lanes),
        outputs=(steps, NUM_OUTPUTS, lanes),
        next_value=by_step,
        advantage=by_step,
        target=by_step,
        action=by_step,
        terminated=by_step,
        cut_off=by_step,
        units=(columns,),
        deltas=(columns,),
        second=second,
        turned=second,
        grads=(rows, columns),
    )


def as_memory(refs: tuple[Ref, ...]) -> Memory:
    """The records of the references that a kernel is called with, in order."""
    inputs, outputs = len(Inputs._fields), len(Inputs._fields) + len(Outputs._fields)
    return Memory(Inputs(*refs[:inputs]), Outputs(*refs[inputs:outputs]), Scratch(*refs[outputs:]))
