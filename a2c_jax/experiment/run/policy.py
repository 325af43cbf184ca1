"""Trained policies as functions of observations, which can be saved and loaded anywhere.

A policy is saved as an exported program of XLA for CPU, CUDA and TPU, together with its parameters.
Whoever loads it needs neither the network nor the environment; no code is imported or unpickled.
JAX reads exported programs for at least six months after the version that wrote them. Observations
that are trees may consist of dictionaries, lists and tuples.
"""

import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np

from a2c_jax import checks, record_checks
from a2c_jax.agents import as_agent
from a2c_jax.experiment.files import write_together
from a2c_jax.experiment.run.saving import named_arrays
from a2c_jax.types import Agent, AgentState, Environment, Network, Params

_PLATFORMS = ("cpu", "cuda", "tpu")
_MAX_BATCH = 2**20
_GREEDY, _SAMPLED, _STATE = "greedy", "sampled", "state."


class Policy:
    """A policy: ``policy(obs)`` is the most probable action, ``policy(obs, key)`` a sample.

    Observations are one, or a batch ``[B, *O]``, of JAX or of NumPy; actions are NumPy arrays,
    clipped to the action space, so that gymnasium's ``env.step`` takes them.

    Attributes:
        arrays: the parameters, and moments if there are any, by their paths.
    """

    def __init__(self, arrays: dict[str, np.ndarray], greedy: Any, sampled: Any) -> None:
        """Takes exported functions of ``(arrays, obs [B, *O])`` and ``(arrays, obs, key data)``."""
        self.arrays = arrays
        self._exported = {_GREEDY: greedy, _SAMPLED: sampled}
        self._greedy, self._sampled = jax.jit(greedy.call), jax.jit(sampled.call)

    @functools.cached_property
    def params(self) -> Any:
        """The parameters as nested dictionaries, as flax has them; lists become dictionaries."""
        tree: dict[str, Any] = {}
        for path, array in self.arrays.items():
            *parents, name = path.split(".")
            branch = functools.reduce(lambda node, key: node.setdefault(key, {}), parents, tree)
            branch[name] = array
        return tree["params"]

    def __call__(self, obs: Any, key: jax.Array | None = None) -> np.ndarray:
        """The most probable action for an observation, or with a key a sampled one.

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
        if key is None:
            actions = self._greedy(self.arrays, batch)
        else:
            checks.key("key", key)
            actions = self._sampled(self.arrays, batch, jax.random.key_data(key))
        return np.asarray(actions[0] if is_one else actions)

    @property
    def _observation(self) -> Any:
        exported = self._exported[_GREEDY]
        (_, obs), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
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
        arrays: Any = {_STATE + name: array for name, array in self.arrays.items()} | programs
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


def make_policy(env: Environment, network: Network | Agent, params: Params | AgentState) -> Policy:
    """The policy of a network, or of an agent, with its parameters.

    Args:
        env: gives the shapes of an observation and the action space.
        network: the network whose policy it is, or an agent.
        params: the network's parameters, or the agent's state.

    Raises:
        ValueError: if the agent has a memory, or the parameters are of another network.
    """
    agent = as_agent(env, network)
    if jax.tree.leaves(jax.eval_shape(lambda: agent.memory(1))):
        raise ValueError("network is an agent with a memory, which a Policy lacks; call its act.")
    template = jax.eval_shape(agent.init, jax.random.key(0))
    state = record_checks.agent_state(params, template)
    arrays, tree = named_arrays(state), jax.tree.structure(state)

    def act(arrays: dict[str, Any], obs: Any, key: Any = None) -> Any:
        batch = (jax.tree.leaves(obs)[0].shape[0],)
        noise = None
        if key is not None:
            noise = agent.noise(jax.random.wrap_key_data(key, impl="threefry2x32"), batch)
        state = jax.tree.unflatten(tree, [arrays[name] for name in names])
        return env.action_space.clip(agent.act(state, (), obs, noise)[1])

    names = list(arrays)
    # JAX's random bits need to know that they are fewer than 2**32.
    (batch,) = jax.export.symbolic_shape("batch", constraints=[f"batch <= {_MAX_BATCH}"])
    obs = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((batch, *leaf.shape), leaf.dtype), env.observation
    )
    export = jax.export.export(jax.jit(act), platforms=_PLATFORMS)
    key = jax.ShapeDtypeStruct((2,), np.uint32)
    return Policy(arrays, export(arrays, obs), export(arrays, obs, key))


def save_policy(
    path: Path | str, env: Environment, network: Network | Agent, params: Params | AgentState
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
        (shapes, _), _ = jax.tree.unflatten(greedy.in_tree, greedy.in_avals)
        # NumPy stores types that it does not know, such as bfloat16, as raw bytes.
        arrays = {
            name: content[_STATE + name].view(like.dtype).reshape(like.shape)
            for name, like in shapes.items()
        }
    except Exception as error:  # a damaged file can cause any error
        raise ValueError(
            f"path is {str(path)!r}, which holds no policy ({type(error).__name__}: {error}); give "
            "a file of save_policy."
        ) from error
    return Policy(arrays, greedy, sampled)
