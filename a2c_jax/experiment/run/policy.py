"""Trained policies as functions of observations, which can be saved and loaded anywhere.

A policy is saved as an exported program of XLA for CPU, CUDA and TPU, together with its parameters.
Whoever loads it needs neither the network nor the environment; no code is imported or unpickled.
JAX reads exported programs for at least six months after the version that wrote them. Observations
that are trees may consist of dictionaries, lists, tuples and masked observations.
"""

import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from a2c_jax import checks, record_checks
from a2c_jax.agents import AnyNetwork, as_agent
from a2c_jax.experiment.files import write_together
from a2c_jax.experiment.run.checkpoints import named_arrays
from a2c_jax.types import AgentState, Environment, MaskedObservation, Params

jax.export.register_namedtuple_serialization(
    MaskedObservation, serialized_name="a2c_jax.MaskedObservation"
)

_PLATFORMS = ("cpu", "cuda", "tpu")
_MAX_BATCH = 2**20
_GREEDY, _SAMPLED, _STATE, _MEMORY = "greedy", "sampled", "state.", "memory."


class Policy:
    """A policy: ``policy(obs)`` is the most probable action, ``policy(obs, key)`` a sample.

    A policy with a memory is played with :meth:`step`. Observations are one, or a batch
    ``[B, *O]``, of JAX or of NumPy; actions are NumPy arrays, clipped to the action space, so that
    gymnasium's ``env.step`` takes them.

    Attributes:
        arrays: the parameters, and moments if there are any, by their paths.
        memory: the memory before the first observation of an episode, as a list of arrays.
    """

    def __init__(
        self, arrays: dict[str, np.ndarray], memory: list[np.ndarray], greedy: Any, sampled: Any
    ) -> None:
        """Takes exported functions of ``(arrays, memory, obs [B, *O])``, then also key data."""
        self.arrays, self.memory = arrays, memory
        self._exported = {_GREEDY: greedy, _SAMPLED: sampled}
        self._greedy, self._sampled = jax.jit(greedy.call), jax.jit(sampled.call)

    @functools.cached_property
    def params(self) -> Any:
        """The parameters as nested dictionaries, as flax has them; lists become dictionaries."""
        return unflatten_dict(self.arrays, sep=".")["params"]

    def __call__(self, obs: Any, key: jax.Array | None = None) -> np.ndarray:
        """The most probable action for an observation, or with a key a sampled one.

        Raises:
            ValueError: if the observation has another structure or shape, or the policy has a
                memory.
        """
        if self.memory:
            raise ValueError("This policy has a memory; call action, memory = step(obs, memory).")
        return self.step(obs, key=key)[0]

    def step(
        self, obs: Any, memory: list[Any] | None = None, key: jax.Array | None = None
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """The action for an observation, and the memory after it.

        Args:
            obs: one observation, or a batch ``[B, *O]``.
            memory: what the step before returned; None at the first step of an episode.
            key: to sample the action; by default it is the most probable one.

        Raises:
            ValueError: if the observation has another structure or shape.
        """
        expected = self._observation
        if isinstance(obs, list) and not isinstance(expected, list):
            obs = np.asarray(obs)
        given, wanted = (str(jax.tree.structure(tree)) for tree in (obs, expected))
        if given != wanted:
            raise ValueError(f"obs has the structure {given}; give {wanted}.")
        is_one = np.ndim(jax.tree.leaves(obs)[0]) == jax.tree.leaves(expected)[0].ndim - 1
        batch = jax.tree.map(lambda leaf, like: _as_batch(leaf, like, is_one), obs, expected)
        number = jax.tree.leaves(batch)[0].shape[0]
        if memory is None:
            rows = [np.broadcast_to(one, (number, *one.shape)) for one in self.memory]
        else:
            rows = [one[None] for one in memory] if is_one else memory
        shapes = [(number, *one.shape) for one in self.memory]
        if [np.shape(one) for one in rows] != shapes:
            raise ValueError(
                f"memory has the shapes {[np.shape(one) for one in rows]}, but {number} rows of "
                f"obs need {shapes}; give what the step before returned."
            )
        if key is None:
            results = self._greedy(self.arrays, rows, batch)
        else:
            checks.key("key", key)
            results = self._sampled(self.arrays, rows, batch, jax.random.key_data(key))
        actions, after = jax.tree.map(lambda x: np.asarray(x[0] if is_one else x), results)
        return actions, after

    @property
    def _observation(self) -> Any:
        exported = self._exported[_GREEDY]
        (_, _, obs), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
        return obs

    def save(self, path: Path | str) -> Path:
        """Writes the policy to a file of :func:`numpy.savez`, which ends in ``.npz``.

        Raises:
            OSError: if it could not be written; then no file has changed.
        """
        path = _npz(path)
        programs = {
            name: np.frombuffer(exported.serialize(), np.uint8)
            for name, exported in self._exported.items()
        }
        memory = {f"{_MEMORY}{i}": array for i, array in enumerate(self.memory)}
        state = {_STATE + name: array for name, array in self.arrays.items()}
        arrays: Any = state | memory | programs
        write_together(path.parent, {path.name: lambda file: np.savez_compressed(file, **arrays)})
        return path


def _npz(path: Path | str) -> Path:
    path = Path(path)
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")


def _as_batch(leaf: Any, like: Any, is_one: bool) -> np.ndarray:
    array = np.asarray(leaf, like.dtype)
    array = array[None] if is_one else array
    if array.shape[1:] != like.shape[1:]:
        raise ValueError(
            f"obs has shape {np.shape(leaf)}; give {like.shape[1:]}, or a batch of them."
        )
    return array


def make_policy(env: Environment, network: AnyNetwork, params: Params | AgentState) -> Policy:
    """The policy of a network, or of an agent, with its parameters.

    Args:
        env: gives the shapes of an observation and the action space.
        network: the network whose policy it is, or an agent.
        params: the network's parameters, or the agent's state.

    Raises:
        ValueError: if the parameters are of another network.
    """
    agent = as_agent(env, network)
    fresh, memory_tree = jax.tree.flatten(agent.memory(1))
    template = jax.eval_shape(agent.init, jax.random.key(0))
    state = record_checks.agent_state(params, template)
    arrays, tree = named_arrays(state), jax.tree.structure(state)

    def act(arrays: dict[str, Any], rows: list[Any], obs: Any, key: Any = None) -> Any:
        batch = (jax.tree.leaves(obs)[0].shape[0],)
        noise = None
        if key is not None:
            noise = agent.noise(jax.random.wrap_key_data(key, impl="threefry2x32"), batch)
        state = jax.tree.unflatten(tree, [arrays[name] for name in names])
        memory, actions = agent.act(state, jax.tree.unflatten(memory_tree, rows), obs, noise)
        return env.action_space.clip(actions), jax.tree.leaves(memory)

    names = list(arrays)
    # JAX's random bits need to know that they are fewer than 2**32.
    (batch,) = jax.export.symbolic_shape("batch", constraints=[f"batch <= {_MAX_BATCH}"])
    obs = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((batch, *leaf.shape), leaf.dtype), env.observation
    )
    rows = [jax.ShapeDtypeStruct((batch, *one.shape[1:]), one.dtype) for one in fresh]
    export = jax.export.export(jax.jit(act), platforms=_PLATFORMS)
    key = jax.ShapeDtypeStruct((2,), np.uint32)
    memory = [np.asarray(one[0]) for one in fresh]
    return Policy(arrays, memory, export(arrays, rows, obs), export(arrays, rows, obs, key))


def save_policy(
    path: Path | str, env: Environment, network: AnyNetwork, params: Params | AgentState
) -> Path:
    """Saves the policy of a network with its parameters; see :func:`make_policy`."""
    return make_policy(env, network, params).save(path)


def load_policy(path: Path | str) -> Policy:
    """Loads a saved policy; needs neither its network nor its environment.

    Raises:
        ValueError: if there is no such file, or it is damaged.
    """
    try:
        with _npz(path).open("rb") as file:
            content = dict(np.load(file, allow_pickle=False))
        greedy, sampled = (
            jax.export.deserialize(bytearray(content[name].tobytes()))
            for name in (_GREEDY, _SAMPLED)
        )
        (shapes, rows, _), _ = jax.tree.unflatten(greedy.in_tree, greedy.in_avals)
        # NumPy stores types that it does not know, such as bfloat16, as raw bytes.
        arrays = {
            name: content[_STATE + name].view(like.dtype).reshape(like.shape)
            for name, like in shapes.items()
        }
        memory = [
            content[f"{_MEMORY}{i}"].view(like.dtype).reshape(like.shape[1:])
            for i, like in enumerate(rows)
        ]
    except Exception as error:  # a damaged file can cause any error
        raise ValueError(
            f"path is {str(path)!r}, which holds no policy ({type(error).__name__}: {error}); give "
            "a file of save_policy."
        ) from error
    return Policy(arrays, memory, greedy, sampled)
