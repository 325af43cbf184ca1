"""The article's methods by name: what makes each, out of settings that all of them share."""

from collections.abc import Callable
from typing import Any, NamedTuple

from a2c_jax.a3c import a3c
from a2c_jax.actor_critic import actor_critic
from a2c_jax.advantages import (
    gae,
    n_step,
    reinforce,
    reinforce_with_baseline,
    td_actor_critic,
)
from a2c_jax.q_actor_critic import q_actor_critic
from a2c_jax.types import Algorithm, Estimator, Scalar


class Method(NamedTuple):
    """A method as a choice of parts.

    Attributes:
        algorithm: :func:`a2c_jax.actor_critic` or another with its arguments.
        estimator: makes the estimator of state values from λ; None where the critic is one
            of actions.
        uses: the settings that only some methods use, and this one does.
        settings: names and values that suit it on CartPole-v1, in place of the preset's.
    """

    algorithm: Callable[..., Algorithm]
    estimator: Callable[[Scalar], Estimator] | None
    uses: frozenset[Any] = frozenset()  # of names; Any, so that no flag is made of it
    settings: tuple[tuple[str, Any], ...] = ()


_NO_BASELINE = ("normalize_advantages", False)  # the mean that is subtracted is one

# Without a value to complete it, a return is cut where the rollout ends: rollouts as long as an
# episode leave most of them whole.
_LONG_ROLLOUTS = (("num_envs", 2), ("num_steps", 500))

METHODS = {
    "reinforce": Method(
        actor_critic, lambda lambda_: reinforce, settings=(*_LONG_ROLLOUTS, _NO_BASELINE)
    ),
    "reinforce-with-baseline": Method(
        actor_critic, lambda lambda_: reinforce_with_baseline, settings=_LONG_ROLLOUTS
    ),
    "q-actor-critic": Method(
        q_actor_critic,
        None,
        uses=frozenset({"expected"}),
        settings=(
            ("num_steps", 16),
            ("learning_rate", 5e-3),
            ("final_learning_rate", 0.0),
            _NO_BASELINE,
            # Q is near 1 / (1 - discount) for every action: only an entropy as heavy keeps
            # the policy from becoming certain before the critic tells them apart.
            ("entropy_coef", 1.0),
        ),
    ),
    "td-actor-critic": Method(actor_critic, lambda lambda_: td_actor_critic),
    "a2c": Method(actor_critic, lambda lambda_: n_step),
    "gae": Method(actor_critic, gae, uses=frozenset({"gae_lambda"})),
    "a3c": Method(
        a3c,
        lambda lambda_: n_step,
        uses=frozenset({"num_workers", "random_order", "shared_statistics"}),
    ),
}
"""The methods by name, in the order of the article."""
