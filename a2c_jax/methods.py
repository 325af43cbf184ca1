"""The article's methods by name, each with its own settings."""

import dataclasses
from typing import Any, ClassVar

from a2c_jax import checks
from a2c_jax.advantages import (
    gae,
    n_step,
    reinforce,
    reinforce_with_baseline,
    sarsa,
    td_actor_critic,
)
from a2c_jax.agents import AnyNetwork, checked_agent
from a2c_jax.algorithms.a3c import a3c, random_order, round_robin
from a2c_jax.algorithms.actor_critic import actor_critic
from a2c_jax.algorithms.q_actor_critic import checked_action_values, q_actor_critic
from a2c_jax.types import Agent, Algorithm, Environment, Estimator


@dataclasses.dataclass(frozen=True)
class Method:
    """A method: an estimator, and the algorithm that uses it.

    Each method is a subclass; its fields are its own settings.

    Attributes:
        advantages: the estimator of advantages and targets.
        values_actions: whether the critic values each action, Q(s, ·).
    """

    advantages: ClassVar[Estimator] = staticmethod(n_step)
    values_actions: ClassVar[bool] = False

    def estimator(self) -> Estimator:
        """Makes the estimator."""
        return self.advantages

    def agent(
        self, env: Environment, network: AnyNetwork, num_envs: int, *, training: bool
    ) -> Agent:
        """Makes the agent of a network, to train or to act, after a check that it fits."""
        return checked_agent(env, network, num_envs)

    def algorithm(self, *parts: Any, **shared: Any) -> Algorithm:
        """Makes the algorithm from environment, agent, optimizer and shared settings."""
        return actor_critic(*parts, **shared)

    def num_rollouts(self) -> int:
        """Number of rollouts in an update."""
        return 1

    def optimizer_steps(self) -> int:
        """Number of optimizer steps in an update, as a schedule counts them."""
        return 1


class Reinforce(Method):
    """See :func:`a2c_jax.reinforce`."""

    advantages = staticmethod(reinforce)


class ReinforceWithBaseline(Method):
    """See :func:`a2c_jax.reinforce_with_baseline`."""

    advantages = staticmethod(reinforce_with_baseline)


class TDActorCritic(Method):
    """See :func:`a2c_jax.td_actor_critic`."""

    advantages = staticmethod(td_actor_critic)


class A2C(Method):
    """See :func:`a2c_jax.actor_critic` with :func:`a2c_jax.n_step`."""


@dataclasses.dataclass(frozen=True)
class GAE(Method):
    """See :func:`a2c_jax.gae`.

    Attributes:
        gae_lambda: from 0 (TD actor-critic) to 1 (A2C); may be traced.
    """

    gae_lambda: float = 0.95

    def estimator(self) -> Estimator:
        """Makes the estimator."""
        checks.unit_interval("gae_lambda", self.gae_lambda)
        return gae(self.gae_lambda)


@dataclasses.dataclass(frozen=True)
class QActorCritic(Method):
    """See :func:`a2c_jax.q_actor_critic`.

    Attributes:
        expected: bootstrap from the expectation over actions instead of one action.
    """

    expected: bool = False
    advantages = staticmethod(sarsa)
    values_actions = True

    def agent(
        self, env: Environment, network: AnyNetwork, num_envs: int, *, training: bool
    ) -> Agent:
        """Makes the agent, whose critic values actions; to act, no next action is known."""
        expected = self.expected or not training
        return checked_action_values(env, network, num_envs, expected=expected)

    def algorithm(self, *parts: Any, **shared: Any) -> Algorithm:
        """Makes the algorithm."""
        return q_actor_critic(*parts, **shared)


@dataclasses.dataclass(frozen=True)
class A3C(Method):
    """See :func:`a2c_jax.a3c`.

    Attributes:
        num_workers: number of workers, each with its own ``num_envs`` environments.
        random_order: apply the workers' gradients in a new random order in each round.
        shared_statistics: share one optimizer state among all workers.
    """

    num_workers: int = 4
    random_order: bool = False
    shared_statistics: bool = True

    def algorithm(self, *parts: Any, **shared: Any) -> Algorithm:
        """Makes the algorithm."""
        return a3c(
            *parts,
            num_workers=self.num_workers,
            order=random_order if self.random_order else round_robin,
            shared_statistics=self.shared_statistics,
            **shared,
        )

    def num_rollouts(self) -> int:
        """Number of rollouts in an update: one for each worker."""
        return checks.positive_int("num_workers", self.num_workers)

    def optimizer_steps(self) -> int:
        """Number of optimizer steps in an update: one per worker if they share a state, else 1."""
        return self.num_workers if self.shared_statistics else 1


METHODS: dict[str, Method] = {
    "reinforce": Reinforce(),
    "reinforce-with-baseline": ReinforceWithBaseline(),
    "q-actor-critic": QActorCritic(),
    "td-actor-critic": TDActorCritic(),
    "a2c": A2C(),
    "gae": GAE(),
    "a3c": A3C(),
}
"""The methods by name, in the order of the article."""


def method_name(method: Method) -> str:
    """The name of a method, regardless of its settings."""
    return next(name for name, known in METHODS.items() if type(known) is type(method))
