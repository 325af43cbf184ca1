"""Trained policies as functions of observations, which can be saved and loaded anywhere.

A policy is saved as an exported program of XLA for CPU, CUDA and TPU, with its parameters. Loading
needs neither the network nor the environment, and imports or unpickles no code. JAX reads exported
programs for at least six months after the version that wrote them.
"""

import functools
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from a2c_jax import checks, record_checks
from a2c_jax.agents import AnyNetwork, as_agent
from a2c_jax.experiment.files import npz_writer, read_npz, write_together
from a2c_jax.experiment.run.checkpoints import named_arrays
from a2c_jax.types import AgentState, Environment, MaskedObservation, Params

jax.export.register_namedtuple_serialization(
    MaskedObservation, serialized_name="a2c_jax.MaskedObservation"
)

_FORMAT, _MOST_BYTES = 2, 2**26  # bytes of an exported function


class Policy:
    """A policy: ``policy(obs)`` is the most probable action, ``policy(obs, key)`` a sample.

    A policy with a memory is played with :meth:`step`. Observations are one or a batch ``[B, *O]``,
    or trees of them: dictionaries, lists, tuples and masked observations. Actions are NumPy arrays,
    clipped to the action space. ``arrays`` holds the parameters, and moments if there are any, by
    their paths; ``memory`` is that before the first observation of an episode.
    """

    def __init__(
        self, arrays: dict[str, Any], memory: list[Any], greedy: Any, sampled: Any
    ) -> None:
        """Takes exported functions of ``(arrays, memory, obs [B, *O])``, then also key data."""
        self.arrays, self.memory = arrays, memory
        self._exported = {"greedy": greedy, "sampled": sampled}
        self._greedy, self._sampled = jax.jit(greedy.call), jax.jit(sampled.call)
        (_, _, self._observation), _ = jax.tree.unflatten(greedy.in_tree, greedy.in_avals)

    @functools.cached_property
    def params(self) -> Any:
        """The parameters as nested dictionaries, as flax has them; lists become dictionaries."""
        return unflatten_dict(self.arrays, sep=".")["params"]

    def __call__(self, obs: Any, key: jax.Array | None = None) -> np.ndarray:
        """The most probable action for an observation, or with a key a sampled one."""
        if self.memory:
            raise ValueError("This policy has a memory; call action, memory = step(obs, memory).")
        return self.step(obs, key=key)[0]

    def step(
        self, obs: Any, memory: list[Any] | None = None, key: jax.Array | None = None
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """The action for an observation, or a batch ``[B, *O]``, and the memory after it.

        ``memory`` is what the step before returned; None at the first step of an episode.
        """
        expected = self._observation
        if isinstance(obs, list) and not isinstance(expected, list):
            obs = np.asarray(obs)
        given, wanted = (str(jax.tree.structure(tree)) for tree in (obs, expected))
        if given != wanted:
            raise ValueError(f"obs has the structure {given}; give {wanted}.")
        is_one = np.ndim(jax.tree.leaves(obs)[0]) == jax.tree.leaves(expected)[0].ndim - 1

        def to_batch(leaf: Any, like: Any) -> np.ndarray:
            rows = np.asarray(leaf, like.dtype)[None] if is_one else np.asarray(leaf, like.dtype)
            if rows.shape[1:] != (one := like.shape[1:]):
                raise ValueError(f"obs has shape {np.shape(leaf)}; give {one}, or a batch of them.")
            return rows

        batch = jax.tree.map(to_batch, obs, expected)
        number = jax.tree.leaves(batch)[0].shape[0]
        needed = [(number, *one.shape) for one in self.memory]
        if memory is None:
            memory = list(map(np.broadcast_to, self.memory, needed))
        elif is_one:
            memory = [one[None] for one in memory]
        if (shapes := [np.shape(one) for one in memory]) != needed:
            raise ValueError(
                f"memory has the shapes {shapes}, but {number} rows of obs need {needed}; give "
                "what the step before returned."
            )
        if key is None:
            results = self._greedy(self.arrays, memory, batch)
        else:
            checks.key("key", key)
            results = self._sampled(self.arrays, memory, batch, jax.random.key_data(key))
        return jax.tree.map(lambda x: np.asarray(x[0] if is_one else x), results)

    def save(self, path: Path | str) -> Path:
        """Writes the policy to a file of :func:`numpy.savez`, which ends in ``.npz``."""
        path = _npz(path)
        arrays = {
            "format": np.asarray(_FORMAT),
            **{f"state.{name}": array for name, array in self.arrays.items()},
            **{f"memory.{i}": array for i, array in enumerate(self.memory)},
            **{n: np.frombuffer(x.serialize(), np.uint8) for n, x in self._exported.items()},
        }
        write_together(path.parent, {path.name: npz_writer(arrays, compress=True)})
        return path


def _npz(path: Path | str) -> Path:
    return Path(f"{str(path).removesuffix('.npz')}.npz")


def make_policy(env: Environment, network: AnyNetwork, params: Params | AgentState) -> Policy:
    """The policy of a network with its parameters, or of an agent with its state."""
    agent = as_agent(env, network)
    fresh, memory_tree = jax.tree.flatten(agent.memory(1))
    state = record_checks.agent_state(params, jax.eval_shape(agent.init, jax.random.key(0)))
    arrays, tree = named_arrays(state), jax.tree.structure(state)

    def act(leaves: dict[str, Any], rows: list[Any], obs: Any, key: Any = None) -> Any:
        noise = None
        if key is not None:
            batch = (jax.tree.leaves(obs)[0].shape[0],)
            noise = agent.noise(jax.random.wrap_key_data(key, impl="threefry2x32"), batch)
        state = jax.tree.unflatten(tree, [leaves[name] for name in arrays])
        memory, actions = agent.act(state, jax.tree.unflatten(memory_tree, rows), obs, noise)
        return env.action_space.clip(actions), jax.tree.leaves(memory)

    # JAX's random bits need to know that they are fewer than 2**32.
    (batch,) = jax.export.symbolic_shape("batch", constraints=[f"batch <= {2**20}"])
    memory = [np.asarray(one[0]) for one in fresh]
    rows, obs = jax.tree.map(
        lambda one: jax.ShapeDtypeStruct((batch, *one.shape), one.dtype), (memory, env.observation)
    )
    export = jax.export.export(jax.jit(act), platforms=("cpu", "cuda", "tpu"))
    key = jax.ShapeDtypeStruct((2,), np.uint32)
    return Policy(arrays, memory, export(arrays, rows, obs), export(arrays, rows, obs, key))


def save_policy(
    path: Path | str, env: Environment, network: AnyNetwork, params: Params | AgentState
) -> Path:
    """Saves the policy of a network with its parameters; see :func:`make_policy`."""
    return make_policy(env, network, params).save(path)


def load_policy(path: Path | str) -> Policy:
    """Loads a saved policy; needs neither its network nor its environment."""
    content: dict[str, Any] = {}
    try:
        file = _npz(path).resolve()
        content = {n: read_npz(file, _MOST_BYTES, f"{n}.npy").get("") for n in ("format", "greedy")}
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']}, and this version reads {_FORMAT}")
        greedy = jax.export.deserialize(bytearray(content["greedy"]))
        (state, rows, _), _ = jax.tree.unflatten(greedy.in_tree, greedy.in_avals)
        size = sum(math.prod(one.shape) * one.dtype.itemsize for one in state.values())
        content = read_npz(file, 2 * _MOST_BYTES + size)
        sampled = jax.export.deserialize(bytearray(content["sampled"]))
        # NumPy stores types that it does not know, such as bfloat16, as raw bytes.
        arrays = {n: content[f"state.{n}"].view(x.dtype).reshape(x.shape) for n, x in state.items()}
        memory = [content[f"memory.{i}"].view(x.dtype) for i, x in enumerate(rows)]
        memory = [one.reshape(x.shape[1:]) for one, x in zip(memory, rows, strict=True)]
        return Policy(arrays, memory, greedy, sampled)
    except Exception as error:  # a damaged file can cause any error
        why = f"holds no policy ({error}); give a file of save_policy"
        if content.get("greedy") is not None and content.get("format") is None:
            why = "is of the version before and cannot be read by this one; save the policy again"
        raise ValueError(f"path is {str(path)!r}, which {why}.") from error
