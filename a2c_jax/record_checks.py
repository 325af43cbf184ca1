"""Checks that records fit each other: environments, networks and transitions.

They evaluate shapes and types only, and raise one clear sentence before anything is compiled.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax.errors import FlaxError

from a2c_jax import checks
from a2c_jax.spaces import Discrete
from a2c_jax.types import (
    Agent,
    AgentState,
    ApplyFn,
    Environment,
    Network,
    Observation,
    Params,
    RecallFn,
    RecurrentNetwork,
    Timestep,
    Transition,
)


def single_array(env: Environment) -> tuple[int, ...]:
    """Returns the shape of an observation, or raises ValueError unless it is one array."""
    if not isinstance(env.observation, jax.ShapeDtypeStruct):
        raise ValueError(
            f"{env.name} observes a {type(env.observation).__name__}, but this network takes one "
            "array; give a network of your own, or an environment that observes one array."
        )
    return env.observation.shape


def discrete(env: Environment) -> int:
    """Returns the number of actions, or raises ValueError unless the action space is Discrete."""
    if not isinstance(env.action_space, Discrete):
        raise ValueError(
            f"{env.name} has the action space {env.action_space!r}, but a critic of each action "
            "needs Discrete actions; use actor_critic, or choose another environment."
        )
    return env.action_space.n


def transitions(transitions: Transition) -> None:
    """Raises ValueError unless rewards and flags are ``[T, N]``, observations ``[T, N, ...]``."""
    reward = checks.floats("reward", transitions.reward)
    if reward.ndim != 2:  # noqa: PLR2004
        raise ValueError(f"reward has shape {reward.shape}; give [T, N], time first.")
    checks.flags(
        "reward", reward, terminated=transitions.terminated, truncated=transitions.truncated
    )
    for name, tree in (("obs", transitions.obs), ("next_obs", transitions.next_obs)):
        for shape in map(jnp.shape, jax.tree.leaves(tree)):
            if shape[:2] != reward.shape:
                raise ValueError(
                    f"{name} has shape {shape}, but reward has {reward.shape}; give [T, N, ...]."
                )


def check_env(env: Environment) -> None:
    """Checks an environment by its shapes and types; runs nothing.

    ``step`` must return states and observations of the shapes and types that ``reset`` returns, a
    scalar reward, and two scalar flags of type bool; observations must be as in the record.

    Raises:
        ValueError: one sentence that names what is wrong.
    """
    if not isinstance(env, Environment):
        raise ValueError(
            f"env is a {type(env).__name__}; give an Environment, such as make_env('CartPole-v1')."
        )
    key = jax.random.key(0)
    state, obs = jax.eval_shape(env.reset, key)
    observation(env, obs)
    step = jax.eval_shape(env.step, key, state, env.action_space.action)
    if not isinstance(step, Timestep):
        raise ValueError(
            f"The step of {env.name} returns a {type(step).__name__}; return a Timestep(env_state, "
            "obs, reward, terminated, truncated)."
        )
    observation(env, step.obs)
    for name, before, after in (("state", state, step.env_state), ("observation", obs, step.obs)):
        if _kinds(before) != _kinds(after):
            raise ValueError(
                f"The {name} of {env.name} is {_kinds(before)} after reset but {_kinds(after)} "
                "after step; make both the same."
            )
    wanted = {"reward": "float32[]", "terminated": "bool[]", "truncated": "bool[]"}
    for name, kind in step._asdict().items():
        if name in wanted and _kinds(kind) != wanted[name]:
            raise ValueError(f"The {name} of {env.name} is {_kinds(kind)}; make it {wanted[name]}.")


def _kinds(tree: Any) -> Any:
    """The types and shapes of a tree's arrays, such as ``float32[4]``."""
    return jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", tree)


def observation(env: Environment, obs: Any, leading: tuple[int, ...] = ()) -> None:
    """Raises ValueError unless ``obs`` has the structure and shapes ``[*leading, *O]``."""
    for leaf in jax.tree.leaves(env.observation):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            raise ValueError(
                f"The observation of {env.name} has a {type(leaf).__name__} in its record; give "
                "jax.ShapeDtypeStruct(shape, type) for each array."
            )
    expected = jax.tree.map(lambda leaf: (*leading, *leaf.shape), env.observation)
    given = jax.tree.map(lambda leaf: tuple(leaf.shape), obs)
    if given != expected:
        raise ValueError(
            f"The observation of {env.name} is {given}, but its record says {expected}; make "
            "Environment.observation agree with what reset and step return."
        )


def network(
    env: Environment,
    network: Network | RecurrentNetwork,
    num_envs: int,
    num_outputs: int,
    values: tuple[int, ...] = (),
) -> None:
    """Raises ValueError unless a network fits an environment; evaluates shapes only.

    The policy must have ``num_outputs`` outputs; the value must have the shape ``values``.
    """
    if isinstance(network, RecurrentNetwork):
        network = _after_first(network)
    if not isinstance(network, Network):
        raise ValueError(
            f"network is a {type(network).__name__}; give a Network(init, policy, value), such as "
            "mlp_actor_critic(env)."
        )
    batch = (1, checks.positive_int("num_envs", num_envs))
    obs = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((*batch, *leaf.shape), leaf.dtype), env.observation
    )
    try:
        params = jax.eval_shape(network.init, jax.random.key(0))
        outputs, given = (
            jax.eval_shape(function, params, obs).shape[len(batch) :]
            for function in (network.policy, network.value)
        )
    except (TypeError, ValueError, FlaxError) as error:
        raise ValueError(
            f"network does not take the observations of {env.name}, {_kinds(env.observation)}: "
            f"{error}"
        ) from error
    if outputs != (num_outputs,):
        raise ValueError(
            f"network.policy outputs {_numbers(outputs)}, but the action space "
            f"{env.action_space!r} of {env.name} needs {num_outputs}; make the last layer match."
        )
    if given != values:
        raise ValueError(
            f"network.value returns {_shape(given)} for observations [..., *O], but "
            f"{_shape(values)} is needed; index its result, or take mlp_actor_critic(env) for "
            "actor_critic and mlp_q_actor_critic(env) for q_actor_critic."
        )


def no_memory(network: Any, user: str) -> None:
    """Raises ValueError if a network or an agent has a memory, which ``user`` does not unroll."""
    may_remember = isinstance(network, RecurrentNetwork | Agent)
    if may_remember and jax.tree.leaves(jax.eval_shape(lambda: network.memory(1))):
        raise ValueError(
            f"network is recurrent, but {user} cannot unroll a memory; use actor_critic or a3c, or "
            "give a network without a memory."
        )


def _after_first(network: RecurrentNetwork) -> Network:
    """The network at the first observation of an episode."""

    def at_first(function: RecallFn) -> ApplyFn:
        def apply(params: Params, obs: Observation) -> jax.Array:
            inputs = network.encode(params, obs)
            fresh = network.memory(jax.tree.leaves(obs)[0].shape[1])
            fresh = jax.tree.map(lambda x: x[None], fresh)
            memory = network.remember(params, fresh, inputs)
            if _kinds(memory) != _kinds(fresh):
                raise ValueError(
                    f"remember of the network returns {_kinds(memory)} for {_kinds(fresh)}; make "
                    "both the same."
                )
            return function(params, memory, obs)

        return apply

    return Network(network.init, at_first(network.policy), at_first(network.value))


def agent_state(params: Params | AgentState, expected: AgentState) -> AgentState:
    """Returns an agent's state with given parameters, or raises ValueError unless they fit it.

    Args:
        params: the parameters, or the agent's whole state.
        expected: the shapes of the agent's state.
    """
    if not isinstance(params, AgentState):
        if jax.tree.leaves(expected.moments):
            raise ValueError(
                "params lacks the agent's moments; give its whole state, as result.state.agent is."
            )
        params = AgentState(params, expected.moments)
    arrays = jax.tree.map(jnp.asarray, params)
    ours, theirs = (by_path(_kinds(tree)) for tree in (arrays, expected))
    for path in sorted(ours.keys() | theirs.keys()):
        if ours.get(path) != theirs.get(path):
            raise ValueError(
                f"params has {ours.get(path, 'nothing')} at {path}, but the network has "
                f"{theirs.get(path, 'nothing')}; give parameters of the same network."
            )
    return arrays


def by_path(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths, such as ``params.policy.kernel``."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(['...', *map(str, shape)])}]"


def _numbers(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if shape else "a single number"
