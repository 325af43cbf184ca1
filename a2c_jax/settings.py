"""Settings of a training run as plain data, and the algorithm, network and agent they make."""

import dataclasses
import os
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import flax.linen as nn
import jax
import msgspec
import numpy as np
import optax

from a2c_jax import checks
from a2c_jax.advantages import (
    gae,
    n_step,
    normalized_advantages,
    reinforce,
    reinforce_with_baseline,
    sarsa,
    td_actor_critic,
)
from a2c_jax.agents import as_agent, checked_agent
from a2c_jax.algorithms.a3c import a3c, random_order, round_robin
from a2c_jax.algorithms.actor_critic import actor_critic
from a2c_jax.algorithms.article import Defects, article
from a2c_jax.algorithms.q_actor_critic import checked_action_values, q_actor_critic
from a2c_jax.layers import orthogonal, uniform_fan_in
from a2c_jax.masking import is_masked, masked, unmasked
from a2c_jax.networks import mlp_actor_critic, mlp_q_actor_critic, scaled
from a2c_jax.normalization import normalized, scaled_rewards
from a2c_jax.torsos import Perceptron, conv_actor_critic, gru_actor_critic
from a2c_jax.types import Agent, Algorithm, Environment, Estimator, Network, RecurrentNetwork

MakeOptimizer = Callable[[optax.ScalarOrSchedule], optax.GradientTransformation]

_ESTIMATORS: dict[str, Estimator] = {
    "reinforce": reinforce,
    "reinforce-with-baseline": reinforce_with_baseline,
    "q-actor-critic": sarsa,
    "td-actor-critic": td_actor_critic,
    "a2c": n_step,
    "gae": gae(1.0),  # see method_estimator
    "a3c": n_step,
}
METHODS = tuple(_ESTIMATORS)
"""The methods that learn from rollouts, in the order of the article."""

Method = Literal[
    "reinforce", "reinforce-with-baseline", "q-actor-critic", "td-actor-critic", "a2c", "gae",
    "a3c", "article",
]  # fmt: skip

# float32 has no finite number above the last one.
Count = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
_Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
_NotNegative = Annotated[float, msgspec.Meta(ge=0, le=3e38)]
_Positive = Annotated[float, msgspec.Meta(gt=0, le=3e38)]
_Finite = Annotated[float, msgspec.Meta(ge=-3e38, le=3e38)]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of one training run.

    Numbers may also be traced scalars; see :func:`build`. Settings that only some methods or
    networks use are named after these.

    Attributes:
        method: the method; ``article`` is the article's own loop, see :func:`a2c_jax.article`.
        network: the kind of network: perceptrons, a convolution, or a gated recurrent unit.
        total_steps: environment steps of each seed.
        num_envs: environments that a seed steps in parallel.
        num_steps: steps of each environment between two updates.
        num_resets: starting states drawn for a rollout, from which its new episodes start; by
            default one for every step. Fewer are faster where a reset is expensive.
        discount: discount factor of future rewards.
        normalize_advantages: shift and scale the advantages of each rollout.
        value_coef: weight of the value loss.
        entropy_coef: weight of the entropy at the first update.
        final_entropy_coef: weight of the entropy just after the last update, to which it changes
            linearly; None keeps it constant.
        learning_rate: learning rate at the first update.
        final_learning_rate: learning rate just after the last update.
        rate_power: shape of the decay: the fraction ``(1 - progress) ** rate_power`` of the
            difference between the two rates is left. 1 is linear; more falls faster at first.
        max_grad_norm: limit of the global norm of gradients; infinity disables clipping.
        optimizer: the optimizer.
        optimizer_decay: decay of the average of squared gradients; by default 0.99 for rmsprop
            and 0.999 for adam.
        optimizer_eps: number that rmsprop and adam add to the root of that average.
        hidden_sizes: units of each hidden layer.
        activation: after each hidden layer; by default tanh, and relu for conv.
        layer_init: initialisation of perceptrons: orthogonal, or uniform as in PyTorch.
        policy_init: gain of the policy's last layer, unless initialisation is uniform; small
            gains make the initial policy nearly uniform.
        log_std: initial log standard deviation of continuous actions; None makes it depend on the
            observation.
        observation_scale: factors of an observation's features; one number applies to all
            features, and an empty list disables scaling.
        value_scale: unit of values: the critic's layers output values divided by it. Divide
            ``value_coef`` by its square.
        normalize_observations: shift and scale observations to a mean of 0 and a variance of 1,
            in place of observation_scale.
        normalize_rewards: learn from rewards divided by the deviation of the discounted return, in
            place of value_scale; value_coef is then multiplied by its square.
        gae_lambda: gae: from 0 (TD actor-critic) to 1 (A2C).
        expected: q-actor-critic: bootstrap from the expectation over actions.
        num_workers: a3c: number of workers, each with its own ``num_envs`` environments.
        random_order: a3c: apply the workers' gradients in a new random order in each round.
        shared_statistics: a3c: share one optimizer state among all workers.
        conv_features: conv: number of filters.
        conv_size: conv: height and width of a filter.
        layer_norm: conv: normalise the sums of each layer before its activation.
        shared_torso: conv: share the layers before the heads between policy and value.
        memory_size: gru: numbers in the memory.
        num_episodes: article: episodes of each seed, with one update after each.
        detached_critic: article: this and the following are defects of the printed loop, see
            :class:`a2c_jax.Defects`.
        detached_entropy: article.
        cross_entropy: article.
        entropy_penalty: article.
        entropy_total: article.
        bootstrap_after_fall: article.

    Raises:
        ValueError: if a setting has another type, lies outside its range or is no known name.
    """

    method: Method = "a2c"
    network: Literal["mlp", "conv", "gru"] = "mlp"
    total_steps: Annotated[int, msgspec.Meta(ge=1)] = 300_000
    num_envs: Count = 8
    num_steps: Count = 5
    num_resets: Count | None = None
    discount: _Fraction = 0.98
    normalize_advantages: bool = False
    value_coef: _NotNegative = 0.5
    entropy_coef: _NotNegative = 0.0
    final_entropy_coef: _NotNegative | None = None
    learning_rate: _Positive = 2e-3
    final_learning_rate: _NotNegative = 0.0
    rate_power: _Positive = 1.0
    max_grad_norm: Annotated[float, msgspec.Meta(gt=0)] = 0.5
    optimizer: Literal["rmsprop", "adam", "sgd"] = "rmsprop"
    optimizer_decay: _Fraction | None = None
    optimizer_eps: _NotNegative = 1e-5
    hidden_sizes: tuple[Count, ...] = (64, 64)
    activation: Literal["tanh", "relu", "elu", "gelu", "silu"] | None = None
    layer_init: Literal["orthogonal", "uniform"] = "orthogonal"
    policy_init: _NotNegative = 0.01
    log_std: _Finite | None = 0.0
    observation_scale: tuple[_Positive, ...] = ()
    value_scale: _Positive = 1.0
    normalize_observations: bool = False
    normalize_rewards: bool = False
    gae_lambda: _Fraction = 0.95
    expected: bool = False
    num_workers: Count = 4
    random_order: bool = False
    shared_statistics: bool = True
    conv_features: Count = 16
    conv_size: Count = 3
    layer_norm: bool = False
    shared_torso: bool = True
    memory_size: Count = 64
    num_episodes: Count = 3_000
    detached_critic: bool = False
    detached_entropy: bool = False
    cross_entropy: bool = False
    entropy_penalty: bool = False
    entropy_total: bool = False
    bootstrap_after_fall: bool = False

    def __post_init__(self) -> None:
        """Converts every value to Python's own type, and checks its range."""
        for name, kind in KINDS.items():
            value = getattr(self, name)
            if checks.is_known(value):
                object.__setattr__(self, name, typed(name, value, kind))

    @property
    def length_setting(self) -> str:
        """The name of the setting for the length of a run."""
        return "num_episodes" if self.method == "article" else "total_steps"

    @property
    def num_rollouts(self) -> int:
        """Number of rollouts in an update: one for each worker."""
        return self.num_workers if self.method == "a3c" else 1


KINDS: dict[str, Any] = get_type_hints(Settings, include_extras=True)
"""The type of every setting, with its range."""

_ONLY_FOR: dict[str, tuple[str, ...]] = {
    "gae": ("gae_lambda",),
    "q-actor-critic": ("expected",),
    "a3c": ("num_workers", "random_order", "shared_statistics"),
    "article": ("num_episodes", *Defects._fields),
    "mlp": ("layer_init",),
    "conv": ("conv_features", "conv_size", "layer_norm", "shared_torso"),
    "gru": ("memory_size",),
}
_NOT_FOR_ARTICLE = (
    "total_steps", "num_envs", "num_steps", "num_resets", "normalize_advantages",
    "final_entropy_coef", "final_learning_rate", "rate_power", "max_grad_norm",
    "normalize_observations", "normalize_rewards",
)  # fmt: skip


def unused_settings(settings: Settings) -> set[str]:
    """The settings that the method, the network and the optimizer do not use."""
    others = _ONLY_FOR.keys() - {settings.method, settings.network}
    unused = {name for owner in others for name in _ONLY_FOR[owner]}
    if settings.method == "article":
        unused |= {*_NOT_FOR_ARTICLE}
    if settings.optimizer == "sgd":
        unused |= {"optimizer_decay", "optimizer_eps"}
    if settings.network == "mlp" and settings.layer_init == "uniform":
        unused |= {"policy_init"}
    return unused


def typed(name: str, value: Any, kind: Any) -> Any:
    """Converts a value of JSON, Python, NumPy or JAX to a type; whole floats become ints.

    Raises:
        ValueError: if it has another type, lies outside the range or is no known name.
    """
    names = choices(kind)
    if names and isinstance(value, str):
        return checks.known_name("algorithm" if name == "method" else name, value, names)
    plain = value.tolist() if isinstance(value, np.ndarray | np.generic | jax.Array) else value
    path = os.fspath(value) if isinstance(value, os.PathLike) else plain
    for candidate in (plain, _with_ints(plain), path):
        try:
            return msgspec.convert(candidate, kind)
        except (msgspec.ValidationError, UnicodeError) as error:
            reason = str(error)
    for ours, theirs in _WORDS.items():
        reason = reason.replace(ours, theirs)
    raise ValueError(f"{name} is {checks.shown(value)}; {reason.partition(' - at ')[0]}.")


_WORDS = {
    "Expected": "give", ", got": ", not", "`": "", ">=": "of at least", ">": "above",
    "<=": "of at most", "<": "below", "float": "a number", "int": "a whole number",
    "array": "a list", "str": "a name", "bool": "true or false", " | null": " or None",
    "null": "None", "object": "a table",
}  # fmt: skip


def choices(kind: Any) -> tuple[str, ...]:
    """The names among which a value of this type is chosen; none for other types."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next(filter(None, map(choices, get_args(kind))), ())


def _with_ints(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_with_ints(each) for each in value]
    if isinstance(value, np.generic):
        return _with_ints(value.item())
    return int(value) if isinstance(value, float) and value.is_integer() else value


def num_updates(settings: Settings) -> int:
    """The number of whole updates in ``total_steps``; a remainder of steps is not run.

    An update of A3C is a round, in which each worker takes one optimizer step. An update of the
    article's loop is an episode.

    Raises:
        ValueError: if no update fits.
    """
    if settings.method == "article":
        return settings.num_episodes
    steps = settings.num_rollouts * settings.num_envs * settings.num_steps
    return whole_updates(settings.total_steps, steps)


def whole_updates(total_steps: int, steps_per_update: int) -> int:
    """The number of whole updates in a number of steps.

    Raises:
        ValueError: if no update fits.
    """
    if total_steps < steps_per_update:
        raise ValueError(
            f"total_steps is {total_steps}, less than the {steps_per_update} of a single update; "
            "give at least that many."
        )
    return total_steps // steps_per_update


def build(
    settings: Settings,
    env: Environment,
    *,
    network: Network | RecurrentNetwork | None = None,
    optimizer: MakeOptimizer | None = None,
    estimator: Estimator | None = None,
) -> Algorithm:
    """Makes the algorithm of settings for an environment.

    Gradients are clipped by global norm. The learning rate decays over the steps that the
    optimizer takes in :func:`num_updates` updates, over which the entropy coefficient changes
    linearly if it has a final one. Numbers that are traced stay traced, so this can be called
    inside ``vmap`` to sweep over them.

    Args:
        settings: the settings.
        env: the environment.
        network: in place of the settings' own; it is scaled, and heeds action masks, as they say.
        optimizer: in place of the settings' own: ``optimizer(rate)`` is an optax transformation.
        estimator: of advantages, in place of the method's own.

    Raises:
        ValueError: if settings exclude each other, or the network does not fit.
    """
    agent = make_agent(settings, env, network=network, training=True)
    make = optimizer or _optimizer(settings)
    if settings.method == "article":
        coefs = {name: getattr(settings, name) for name in ("value_coef", "entropy_coef")}
        defects = Defects(*(getattr(settings, name) for name in Defects._fields))
        rate: Any = settings.learning_rate
        return article(env, agent, make(rate), discount=settings.discount, **coefs, defects=defects)
    shared: dict[str, Any] = {
        "num_envs": settings.num_envs,
        "num_steps": settings.num_steps,
        "discount": settings.discount,
        "estimator": _estimator(settings, estimator),
        "value_coef": settings.value_coef * _value_scale(settings, replaced=True) ** 2,
        "entropy_coef": _entropy_coef(settings),
        "num_resets": settings.num_resets,
    }
    parts = env, agent, optax.chain(_clip(settings.max_grad_norm), make(_rate(settings)))
    if settings.method == "a3c":
        order = random_order if settings.random_order else round_robin
        shared["shared_statistics"] = settings.shared_statistics
        return a3c(*parts, num_workers=settings.num_workers, order=order, **shared)
    return (q_actor_critic if settings.method == "q-actor-critic" else actor_critic)(
        *parts, **shared
    )


def method_estimator(settings: Settings) -> Estimator:
    """The estimator of the method, without normalisation."""
    is_gae = settings.method == "gae"
    return gae(settings.gae_lambda) if is_gae else _ESTIMATORS[settings.method]


def _estimator(settings: Settings, estimator: Estimator | None) -> Estimator:
    estimator = method_estimator(settings) if estimator is None else estimator
    if not settings.normalize_advantages:
        return estimator
    if settings.num_envs * settings.num_steps == 1:
        raise ValueError(
            "normalize_advantages is True, but num_envs * num_steps is 1 and a single "
            "advantage would always become 0; give more steps, or False."
        )
    return normalized_advantages(estimator)


def _rate(settings: Settings) -> optax.Schedule:
    of_workers = settings.method == "a3c" and settings.shared_statistics
    return optax.polynomial_schedule(
        settings.learning_rate,
        settings.final_learning_rate,
        settings.rate_power,
        num_updates(settings) * (settings.num_workers if of_workers else 1),
    )


def _optimizer(settings: Settings) -> MakeOptimizer:
    decay, eps = settings.optimizer_decay, settings.optimizer_eps
    if settings.optimizer == "rmsprop":
        decay = 0.99 if decay is None else decay
        return lambda rate: optax.rmsprop(rate, decay=decay, eps=eps, eps_in_sqrt=False)
    if settings.optimizer == "adam":
        return lambda rate: optax.adam(rate, b2=0.999 if decay is None else decay, eps=eps)
    return optax.sgd


def _clip(max_grad_norm: float) -> optax.GradientTransformation:
    if checks.is_known(max_grad_norm) and max_grad_norm == float("inf"):
        return optax.identity()
    return optax.clip_by_global_norm(max_grad_norm)


def _entropy_coef(settings: Settings) -> Any:
    first, last = settings.entropy_coef, settings.final_entropy_coef
    return first if last is None else optax.linear_schedule(first, last, num_updates(settings))


def _value_scale(settings: Settings, *, replaced: bool) -> Any:
    """The unit of values, which scaled rewards replace; or what they replaced, otherwise 1."""
    return settings.value_scale if settings.normalize_rewards == replaced else 1.0


def make_network(
    settings: Settings, env: Environment, network: Network | RecurrentNetwork | None = None
) -> Network | RecurrentNetwork:
    """Makes the network that :func:`build` trains; it heeds the environment's action masks.

    Raises:
        ValueError: if the method needs a critic of actions, and the network has none.
    """
    inner = unmasked(env)
    plain: Any = _plain_network(settings, inner) if network is None else network
    made: Any = scaled(
        plain,
        inner,
        observation_scale=() if settings.normalize_observations else settings.observation_scale,
        value_scale=_value_scale(settings, replaced=False),
    )
    return masked(made, env) if is_masked(env) else made


def _plain_network(settings: Settings, env: Environment) -> Network | RecurrentNetwork:
    default = "relu" if settings.network == "conv" else "tanh"
    activation, sizes = getattr(nn, settings.activation or default), settings.hidden_sizes
    heads: dict[str, Any] = {
        "policy_init": orthogonal(settings.policy_init),
        "value_init": orthogonal(1.0),
    }
    if settings.network != "mlp":
        if settings.method == "q-actor-critic":
            raise ValueError(
                "algorithm is q-actor-critic, whose critic values actions, but network "
                f"{settings.network} has a critic of states; give network mlp, or another "
                "algorithm."
            )
        heads["log_std"] = settings.log_std
        if settings.network == "gru":
            torso = Perceptron(sizes, activation)
            return gru_actor_critic(env, sizes, settings.memory_size, torso, **heads)
        return conv_actor_critic(
            env,
            sizes,
            settings.conv_features,
            settings.conv_size,
            activation,
            settings.layer_norm,
            settings.shared_torso,
            **heads,
        )
    init = orthogonal()
    if settings.layer_init == "uniform":
        init = heads["policy_init"] = heads["value_init"] = uniform_fan_in()
    if settings.method == "q-actor-critic":
        return mlp_q_actor_critic(env, sizes, activation, init, **heads)
    return mlp_actor_critic(env, sizes, activation, init, **heads, log_std=settings.log_std)


def make_agent(
    settings: Settings,
    env: Environment,
    *,
    network: Network | RecurrentNetwork | None = None,
    training: bool = False,
) -> Agent:
    """Makes the agent that :func:`build` trains, by default to evaluate or record its policy.

    Its state is the ``agent`` of a :class:`a2c_jax.LearnerState`.
    """
    made = make_network(settings, env, network)
    if settings.method == "article":
        return as_agent(env, made)
    num_envs = settings.num_rollouts * settings.num_envs
    if settings.method == "q-actor-critic":  # to act, no next action is known
        expected = settings.expected or not training
        agent = checked_action_values(env, made, num_envs, expected=expected)
    else:
        agent = checked_agent(env, made, num_envs)
    if settings.normalize_observations:
        agent = normalized(agent, env)
    if settings.normalize_rewards:
        agent = scaled_rewards(agent, num_envs, settings.discount)
    return agent
